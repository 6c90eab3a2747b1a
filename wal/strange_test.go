package wal_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// The identifiers in the stream wrap around at 32 bits, those of snapshots do not.
func TestP23IdentifiersWrapAround(t *testing.T) {
	t.Parallel()
	c := pgtest.Cluster(t, map[string]string{"wal_level": "logical", "fsync": "off"})
	url := c.URL("postgres")
	resetwal := filepath.Join(query[string](t, newServer(t, url).Pool, "select setting from pg_config where name = 'BINDIR'"), "pg_resetwal")
	if _, err := os.Stat(resetwal); err != nil {
		t.Skipf("no program to set the identifiers with: %v", err)
	}
	data := query[string](t, newServer(t, url).Pool, "show data_directory")
	pgtest.Exec(t, url, "alter database template0 allow_connections true")
	for _, name := range []string{"postgres", "template0", "template1"} {
		pgtest.Exec(t, c.URL(name), "vacuum freeze")
	}
	if err := c.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	owner, err := os.Stat(data)
	if err != nil {
		t.Fatal(err)
	}
	// The server would look for the states of the identifiers before the first one.
	const segment = 256 << 10
	states := filepath.Join(data, "pg_xact", "0FFF")
	if err := os.WriteFile(states, make([]byte, segment), 0o600); err != nil {
		t.Fatal(err)
	}
	stat := owner.Sys().(*syscall.Stat_t)
	if err := os.Chown(states, int(stat.Uid), int(stat.Gid)); err != nil {
		t.Fatal(err)
	}
	reset := exec.CommandContext(t.Context(), resetwal, "-f", "-e", "3", "-x", "4294967000", data)
	reset.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stat.Uid, Gid: stat.Gid}}
	if out, err := reset.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, orders)
	g := start(t, url)
	s := connect(t, url)
	const rows = 400
	for i := range rows {
		s.exec(fmt.Sprintf("insert into orders values (%d, 'bread')", i))
	}
	g.awaitLine(t, fmt.Sprintf("insert orders %d,bread", rows-1))
	open := connect(t, url)
	open.exec("begin", "insert into orders values (-1, 'open')")
	v, err := cdc.ParseVisibility(query[string](t, g.server.Pool, "select pg_current_snapshot()::text"))
	if err != nil {
		t.Fatal(err)
	}
	if first, last := g.xids[0], g.xids[len(g.xids)-1]; first < last {
		t.Fatalf("identifiers from %d to %d have not wrapped around", first, last)
	}
	for i, xid := range g.xids {
		if !v.Shows(xid) {
			t.Errorf("transaction %d of %d, number %d, is not shown", i, len(g.xids), xid)
		}
	}
	open.exec("commit")
	g.awaitLine(t, "insert orders -1,open")
	if xid := g.xids[len(g.xids)-1]; v.Shows(xid) {
		t.Errorf("the open transaction, number %d, is shown", xid)
	}
}

// What a before image holds is decided by the message, not by what the table's replica identity is by now.
func TestP32ReplicaIdentityChangedMidStream(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	prepare(t, newServer(t, url))
	pgtest.Exec(t, url, "insert into orders values (1, 'a'), (2, 'b')",
		"update orders set item = 'c' where id = 1",
		"begin; update orders set item = 'd' where id = 1; alter table orders replica identity default; update orders set item = 'e' where id = 1; commit",
		"delete from orders where id = 2",
		"alter table orders replica identity nothing", "insert into orders values (3, 'f')")
	g := start(t, url) // which makes it FULL again
	pgtest.Exec(t, url, "update orders set item = 'g' where id = 3")
	g.expect(t, "insert orders 1,a", "insert orders 2,b", "update orders 1,a -> 1,c",
		"update orders 1,c -> 1,d", "update orders none -> 1,e", "delete orders 2,?", "insert orders 3,f", "update orders 3,f -> 3,g")
}

// The stream says what a label was called when the row was written. Nothing tells that it is called otherwise now, but the
// next change of a row.
func TestP35EnumLabelRenamed(t *testing.T) {
	t.Parallel()
	url := database(t, "create type mood as enum ('glad', 'sad')", "create table member (id int primary key, mood mood)")
	g := start(t, url)
	pgtest.Exec(t, url, "insert into member values (1, 'glad')", "alter type mood rename value 'glad' to 'happy'",
		"insert into member values (2, 'happy')", "update member set mood = 'sad' where id = 1")
	g.expect(t, "insert member 1,glad", "insert member 2,happy", "update member 1,happy -> 1,sad")
}

func TestP36ColumnRetypedAndTableRenamed(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url, "insert into orders values (1, '7')",
		"begin; alter table orders alter item type int using item::int; insert into orders values (2, 8); commit",
		"alter table orders rename to purchase", "insert into purchase values (3, 9)",
		"alter table purchase drop column item", "insert into purchase values (4)")
	g.awaitLine(t, "insert purchase 4")
	// A table that is rewritten does not send its rows again.
	want := []string{"insert orders 1,7", "insert orders 2,8", "insert purchase 3,9", "insert purchase 4"}
	if got := g.recorded(); !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
	const text, int4 = 25, 23
	if was, is := g.tables[0].Columns[1].TypeOID, g.tables[1].Columns[1].TypeOID; was != text || is != int4 {
		t.Errorf("the column is of type %d, then %d", was, is)
	}
}

// A change of the publication counts from its place in the log on, also within a transaction.
func TestP37PublicationAlteredInATransaction(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create table member (id int primary key)")
	g := start(t, url)
	name := `"` + publication + `"`
	pgtest.Exec(t, url,
		"begin; insert into member values (1); alter publication "+name+" drop table member; insert into member values (2); commit",
		"begin; insert into member values (3); alter publication "+name+" add table member; insert into member values (4); commit")
	g.expect(t, "insert member 1", "insert member 4")
}

// The rows of a partition come and go with it in silence; its own truncation is one too, under the table's name.
func TestP40AttachDetachAndTruncationOfAPartitionAreSilent(t *testing.T) {
	t.Parallel()
	url := database(t, "create table payment (id int, region text, primary key (id, region)) partition by list (region)",
		"create table payment_de partition of payment for values in ('de')", "create table payment_us (like payment including all)",
		"insert into payment_us values (1, 'us')")
	g := start(t, url)
	pgtest.Exec(t, url, "insert into payment values (2, 'de')",
		"alter table payment attach partition payment_us for values in ('us')", "insert into payment values (3, 'us')",
		"truncate payment_de", "alter table payment detach partition payment_us", "insert into payment values (4, 'de')")
	g.expect(t, "insert payment 2,de", "insert payment 3,us", "insert payment 4,de")
}

// Stored generated columns are part of what is streamed only where the server can publish them, from version 18 on. Rows with
// virtual ones are streamed without.
func TestP41GeneratedColumns(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	pgtest.Exec(t, url, "create table line (id int primary key, price int, double int generated always as (price * 2) stored)")
	want := []string{"insert line 1,5", "update line 1,5 -> 1,6"}
	if pgtest.Major(t) >= 18 {
		pgtest.Exec(t, url, "alter table line add triple int generated always as (price * 3) virtual")
		// Such a table cannot have REPLICA IDENTITY FULL: its updates would be refused.
		want = []string{"insert line 1,5,10", "update line none -> 1,6,12"}
	}
	g := start(t, url)
	pgtest.Exec(t, url, "insert into line values (1, 5)", "update line set price = 6")
	g.expect(t, want...)
}

// What a row filter lets in or out enters or leaves.
func TestP42RowFilterOfThePublication(t *testing.T) {
	t.Parallel()
	if pgtest.Major(t) < 15 {
		t.Skip("servers before 15 have no row filters")
	}
	url := database(t, "create table orders (id int primary key, item text)")
	g := start(t, url)
	pgtest.Exec(t, url, `alter publication "`+publication+`" set table orders where (item <> 'secret')`,
		"insert into orders values (1, 'secret'), (2, 'bread')", "update orders set item = 'wine' where id = 1",
		"update orders set item = 'secret' where id = 2", "delete from orders where id = 2", "truncate orders")
	g.expect(t, "insert orders 2,bread", "insert orders 1,wine", "delete orders 2,bread", "truncate orders")
}

// Text that has no encoding is refused before anything is changed.
func TestP52SQLASCIIIsRefused(t *testing.T) {
	t.Parallel()
	maintenance := database(t)
	own := strings.TrimSuffix(newServer(t, maintenance).Slot, slotSuffix)
	pgtest.Exec(t, maintenance, "create database "+own+"_ascii encoding 'SQL_ASCII' locale 'C' template template0")
	t.Cleanup(func() { pgtest.Exec(t, maintenance, "drop database "+own+"_ascii with (force)") })
	t.Run("start", func(t *testing.T) {
		url := strings.Replace(maintenance, own, own+"_ascii", 1)
		pgtest.Exec(t, url, orders)
		server := newServer(t, url)
		facts, want := wanted(t, server)
		_, err := server.Ensure(t.Context(), facts, want)
		if err == nil || !strings.Contains(err.Error(), "SQL_ASCII") {
			t.Errorf("error %v, want one that names the encoding", err)
		}
		if facts, err = server.Inspect(t.Context()); err != nil || facts.Publication != nil || facts.Slot != nil {
			t.Errorf("something was made: %+v, %v", facts, err)
		}
		server.Pool.Close()
	})
}
