package wal_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

const orders = "create table orders (id int primary key, item text)"

func TestChangesOfEveryKind(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url,
		"insert into orders values (1, 'bread')",
		"update orders set item = null where id = 1",
		"insert into orders values (2, 'wine'); update orders set item = 'beer' where id = 2; delete from orders where id = 1",
		"truncate orders")
	g.expect(t, "insert orders 1,bread", "update orders 1,bread -> 1,NULL",
		"insert orders 2,wine", "update orders 2,wine -> 2,beer", "delete orders 1,NULL", "truncate orders")
	if want := []int{1, 1, 3, 1}; !slices.Equal(g.sizes, want) {
		t.Errorf("transactions of %v changes, want %v", g.sizes, want)
	}
	for _, column := range g.tables[0].Columns {
		if column.Key != (column.Name == "id") || !column.Identity {
			t.Errorf("column %+v: want id as the only key, and all as identity", column)
		}
	}
}

func TestRolledBackChangesAreNotDelivered(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url,
		"begin; insert into orders values (1, 'gone'); rollback",
		`begin; insert into orders values (2, 'kept'); savepoint one; insert into orders values (3, 'gone');
		 rollback to one; insert into orders values (4, 'kept'); savepoint two; insert into orders values (5, 'kept');
		 release two; commit`)
	g.expect(t, "insert orders 2,kept", "insert orders 4,kept", "insert orders 5,kept")
}

func TestP03CommitOrderIsTheOrder(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	early, err := g.server.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := early.Exec(t.Context(), "insert into public.orders values (1, 'written first')"); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, "insert into orders values (2, 'committed first')")
	if err := early.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.expect(t, "insert orders 2,committed first", "insert orders 1,written first")
}

func TestP30UnchangedToastIsFilledIn(t *testing.T) {
	t.Parallel()
	url := database(t, "create table message (id int primary key, body text, photo text); alter table message alter photo set storage external")
	g := start(t, url)
	pgtest.Exec(t, url,
		"insert into message values (1, 'a', repeat('B', 9000))",
		"update message set body = 'b'")
	g.expect(t, "insert message 1,a,B*9000", "update message 1,a,B*9000 -> 1,b,B*9000")
}

func TestP31KeyChangingUpdate(t *testing.T) {
	t.Parallel()
	url := database(t,
		"create table member (id int primary key, body text not null, photo text); alter table member alter photo set storage external",
		"create unique index member_body on member (id, body)", "alter table member replica identity using index member_body")
	g := start(t, url)
	pgtest.Exec(t, url,
		"insert into member values (1, 'a', repeat('B', 9000))",
		"update member set id = 2",
		"update member set photo = 'small'",
		"delete from member")
	g.expect(t, "insert member 1,a,B*9000", "update member 1,a,? -> 2,a,?", "update member none -> 2,a,small", "delete member 2,a,?")
}

func TestP34AlterTableInTransaction(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url,
		`begin; insert into orders values (1, 'a'); alter table orders add price int default 5; insert into orders values (2, 'b');
		 alter table orders drop item; insert into orders values (3, 7); commit`)
	g.expect(t, "insert orders 1,a", "insert orders 2,b,5", "insert orders 3,7")
}

// The labels of an enumeration are sent as they are, also those that came after the table was described. Messages are
// not for us.
func TestP35TypesOfTheDatabase(t *testing.T) {
	t.Parallel()
	url := database(t, "create type mood as enum ('glad')", "create table member (id int primary key, mood mood)")
	g := start(t, url)
	pgtest.Exec(t, url, "insert into member values (1, 'glad')", "alter type mood add value 'sad'",
		"insert into member values (2, 'sad')", "select pg_logical_emit_message(true, 'kitchen', 'open')", "insert into member values (3, null)")
	g.expect(t, "insert member 1,glad", "insert member 2,sad", "insert member 3,NULL")
}

// The rows are written under the old name and read under the new one.
func TestP36RenamedKeyIsStillTheKey(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	prepare(t, newServer(t, url))
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')", "alter table orders replica identity default",
		"insert into orders values (2, 'wine')", "alter table orders rename id to number", "alter table orders replica identity full",
		"insert into orders values (3, 'beer')")
	g := start(t, url)
	g.expect(t, "insert orders 1,bread", "insert orders 2,wine", "insert orders 3,beer")
	var keys []string
	for _, table := range g.tables {
		for _, c := range table.Columns {
			if c.Key {
				keys = append(keys, c.Name)
			}
		}
	}
	// Of the first order's key nothing tells: it was written with REPLICA IDENTITY FULL.
	if want := []string{"id", "number"}; !slices.Equal(keys, want) {
		t.Errorf("the keys are %v, want %v", keys, want)
	}
}

func TestP45DroppedTableStillDecodes(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create table member (id int primary key)")
	prepare(t, newServer(t, url))
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')", "drop table orders")
	g := start(t, url)
	g.expect(t, "insert orders 1,bread")
}

func TestP50RoleSettingsChangeNoValue(t *testing.T) {
	t.Parallel()
	const schema = "create table shift (id int primary key, at timestamptz, length interval, badge bytea, weight float4)"
	url := database(t, schema)
	database := strings.TrimSuffix(newServer(t, url).Slot, slotSuffix)
	for _, setting := range []string{"datestyle = 'SQL, DMY'", "timezone = 'Asia/Kolkata'", "intervalstyle = 'iso_8601'",
		"bytea_output = 'escape'", "extra_float_digits = -10", "client_encoding = 'LATIN1'"} {
		pgtest.Exec(t, url, "alter database "+database+" set "+setting)
	}
	g := start(t, url)
	pgtest.Exec(t, url, `insert into shift values (1, '2024-03-02 12:00Z', '-1 year', '\x00ff', 0.1)`)
	g.expect(t, `insert shift 1,2024-03-02 12:00:00+00,-1 years,\x00ff,0.1`)
}

func TestP52Latin1BecomesUTF8(t *testing.T) {
	t.Parallel()
	maintenance := database(t)
	own := newServer(t, maintenance)
	name := strings.TrimSuffix(own.Slot, slotSuffix) + "_latin1"
	pgtest.Exec(t, maintenance, "create database "+name+" encoding 'LATIN1' locale 'C' template template0")
	t.Cleanup(func() { pgtest.Exec(t, maintenance, "drop database "+name+" with (force)") })
	url := strings.Replace(maintenance, strings.TrimSuffix(own.Slot, slotSuffix), name, 1)
	utf8 := url + "&client_encoding=UTF8" // what this file is written in
	t.Run("stream", func(t *testing.T) {  // so that the gateway is gone when the database is dropped
		pgtest.Exec(t, utf8, `create table "größe" ("é" text primary key)`)
		g := start(t, url)
		pgtest.Exec(t, utf8, `insert into "größe" values ('café')`)
		g.expect(t, "insert größe café")
		if got := g.tables[0].Columns[0].Name; got != "é" {
			t.Errorf("the column is called %q", got)
		}
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the slot is free", func() bool { return g.walsender(t) == 0 })
		pgtest.Exec(t, url, "select pg_drop_replication_slot('"+g.server.Slot+"')")
	})
}

func TestHugeRow(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url, "insert into orders values (1, repeat('x', 3000000))", "update orders set id = 2", "insert into orders values (3, 'small')")
	g.expect(t, "insert orders 1,x*3000000", "update orders 1,x*3000000 -> 2,x*3000000", "insert orders 3,small")
}

func TestP53LargeTransactionIsOne(t *testing.T) {
	t.Parallel()
	const rows = 100_000
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url, fmt.Sprintf("insert into orders select i, 'item ' || i from generate_series(1, %d) i", rows), "insert into orders values (0, 'next')")
	g.awaitLine(t, "insert orders 0,next")
	lines := g.recorded()
	if len(lines) != rows+1 || lines[0] != "insert orders 1,item 1" || lines[rows-1] != fmt.Sprintf("insert orders %d,item %d", rows, rows) {
		t.Errorf("%d changes, from %q to %q", len(lines), lines[0], lines[rows-1])
	}
	if want := []int{rows, 1}; !slices.Equal(g.sizes, want) {
		t.Errorf("transactions of %v changes, want %v", g.sizes, want)
	}
}

func TestP40PartitionsComeUnderTheirRoot(t *testing.T) {
	t.Parallel()
	url := database(t,
		"create table payment (id int, region text, primary key (id, region)) partition by list (region)",
		"create table payment_eu partition of payment for values in ('de', 'fr') partition by list (region)",
		"create table payment_de partition of payment_eu for values in ('de')",
		"create table payment_fr partition of payment_eu for values in ('fr')",
		"create table payment_us partition of payment for values in ('us')")
	g := start(t, url)
	pgtest.Exec(t, url, "insert into payment values (1, 'de')", "update payment set id = 2", "update payment set region = 'us'",
		"truncate payment")
	g.expect(t, "insert payment 1,de", "update payment 1,de -> 2,de", "delete payment 2,de", "insert payment 2,us", "truncate payment")
}
