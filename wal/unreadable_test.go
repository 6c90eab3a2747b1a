package wal_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

const leastMaxRow = 1 << 20

// startWithMaxRow runs a gateway that holds no more than a MiB of a row.
func startWithMaxRow(t testing.TB, url string) *gateway {
	t.Helper()
	g := launch(t, url, 1<<20, func(s *wal.Source) { s.MaxRow = leastMaxRow })
	g.live(t)
	return g
}

// A change that is too long stands at its place in its transaction as one of the table. Old and new values count together.
func TestP86ARowThatIsTooLongIsAChangeOfItsTable(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create table film (id int primary key, body text)")
	g := startWithMaxRow(t, url)
	pgtest.Exec(t, url,
		"begin; insert into orders values (1, 'bread'); insert into film values (1, repeat('x', 3000000)); insert into orders values (2, 'wine'); commit",
		"update film set id = 2", // FULL: old and new
		"delete from film",       // the old image alone
		"insert into film values (3, repeat('x', 600000))",
		"update film set body = repeat('y', 600000)", // each would fit
		"insert into film values (4, 'short')")
	g.expect(t, "insert orders 1,bread", "unreadable change film", "insert orders 2,wine", "unreadable change film", "unreadable change film",
		"insert film 3,x*600000", "unreadable change film", "insert film 4,short")
	u := g.source.Stats().Unreadable
	if u.Oversized != 4 || u.Undecodable != 0 || u.Table != "public.film" || !strings.Contains(u.Detail, "maxRowBytes is 1048576") || u.Fix == "" {
		t.Errorf("unreadable: %+v", u)
	}
	if g.source.Stats().Connects != 1 {
		t.Error("the stream was interrupted")
	}
}

// What is rolled back says nothing, be it all of a transaction or a savepoint, also where the row has come already.
func TestP86ARowThatIsTooLongIsRolledBackWithItsSavepoint(t *testing.T) {
	t.Parallel()
	url := eager(t, orders)
	g := startWithMaxRow(t, url)
	s, lost := connect(t, url), connect(t, url)
	lost.exec("begin", "insert into orders values (9, repeat('x', 3000000))", fill)
	s.exec("begin", "insert into orders values (1, 'bread')", "savepoint a", "insert into orders values (2, repeat('x', 3000000))", fill)
	g.streamed(t, 2)
	s.exec("rollback to a", "insert into orders values (3, 'wine')", fill)
	lost.exec("rollback")
	g.streamed(t, 1)
	s.exec("commit")
	s.exec("begin", "insert into orders values (4, 'salt')", "savepoint a", "insert into orders values (5, repeat('x', 3000000))", fill, "release a", "commit")
	g.expect(t, "insert orders 1,bread", "insert orders 3,wine", "insert orders 4,salt", "unreadable change orders")
}

// Anybody may write logical messages: those of others are not held, whether they are of a transaction, of one that is sent while
// it is in progress, or of none.
func TestP86LogicalMessagesOfOthersAreNotHeld(t *testing.T) {
	t.Parallel()
	url := eager(t, orders)
	g := startWithMaxRow(t, url)
	s := connect(t, url)
	for _, transactional := range []string{"true", "false"} {
		pgtest.Exec(t, url, "select pg_logical_emit_message("+transactional+", 'foreign', repeat('x', 20000000))",
			"select pg_logical_emit_message("+transactional+", repeat('p', 20000000), 'x')",
			"select pg_logical_emit_message("+transactional+", 'mtbreactive', repeat('x', 20000000))")
	}
	s.exec("begin", "insert into orders values (1, 'bread')", "select pg_logical_emit_message(true, 'foreign', repeat('x', 20000000))", fill,
		"insert into orders values (2, 'wine')", "commit")
	g.expect(t, "insert orders 1,bread", "insert orders 2,wine")
	if stats := g.source.Stats(); stats.Connects != 1 || stats.Unreadable.Oversized != 0 {
		t.Errorf("%d connections, %+v", stats.Connects, stats.Unreadable)
	}
}

// Nobody is told of a table that nobody wanted.
func TestP86ARowThatIsTooLongOfATableThatNobodyWants(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create table dump (body text)", `create publication "`+publication+`" for all tables`)
	g := startWithMaxRow(t, url)
	pgtest.Exec(t, url, "insert into dump values (repeat('x', 3000000))", "insert into orders values (1, 'bread')")
	g.awaitLine(t, "insert orders 1,bread")
	if u := g.source.Stats().Unreadable; u.Oversized != 0 || u.Table != "" {
		t.Errorf("unreadable: %+v", u)
	}
}

// encoded makes a database with an encoding, calls f with its URL, and drops it.
func encoded(t *testing.T, encoding string, f func(t *testing.T, url string)) {
	t.Helper()
	maintenance := database(t)
	own := strings.TrimSuffix(newServer(t, maintenance).Slot, slotSuffix)
	name := own + "_" + strings.ToLower(encoding)
	pgtest.Exec(t, maintenance, "create database "+name+" encoding '"+encoding+"' locale 'C' template template0")
	t.Cleanup(func() { pgtest.Exec(t, maintenance, "drop database "+name+" with (force)") })
	url := strings.Replace(maintenance, own, name, 1)
	t.Run(encoding, func(t *testing.T) { // so that the gateway is gone when the database is dropped
		t.Cleanup(func() {
			slot := name + slotSuffix
			pgtest.Exec(t, url, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '"+slot+"'")
		})
		f(t, url)
	})
}

// A value that has no Unicode makes its change unreadable, and stops nothing.
func TestP85AValueWithoutUnicodeIsAChangeOfItsTable(t *testing.T) {
	t.Parallel()
	for encoding, hole := range map[string]string{"WIN1252": "81", "WIN874": "db", "ISO_8859_8": "a1"} {
		encoded(t, encoding, func(t *testing.T, url string) {
			pgtest.Exec(t, url, orders, "create table film (id int primary key, body text, note text)")
			g := start(t, url)
			pgtest.Exec(t, url,
				`begin; insert into orders values (1, 'bread'); insert into film values (1, convert_from('\x61`+hole+`', '`+encoding+`')); insert into orders values (2, 'wine'); commit`,
				"update film set note = 'seen'", "update film set body = 'plain'", "insert into film values (2, 'short')",
				"delete from film")
			g.expect(t, "insert orders 1,bread", "unreadable change film", "insert orders 2,wine", "unreadable change film", "unreadable change film",
				"insert film 2,short,NULL", "delete film 1,plain,seen", "delete film 2,short,NULL")
			u := g.source.Stats().Unreadable
			if u.Undecodable != 3 || u.Table != "public.film" || !strings.Contains(u.Detail, encoding) || g.source.Stats().Connects != 1 {
				t.Errorf("unreadable: %+v", u)
			}
			// The statement that is offered finds the rows.
			_, find, _ := strings.Cut(u.Fix, "SELECT ")
			pgtest.Exec(t, url, `insert into film values (3, convert_from('\x61`+hole+`', '`+encoding+`')), (4, 'a\b')`)
			if found := pgtest.Query[int](t, url, "select count(*) from film where ctid in (SELECT "+strings.TrimSuffix(find, ";")+")"); found != 1 {
				t.Errorf("%d rows are found by %s", found, u.Fix)
			}
			if err := g.stop(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the slot is free", func() bool { return g.walsender(t) == 0 })
		})
	}
}

// Names are decoded too. Where one has no Unicode, nothing is told of its table, and others go on.
func TestP85NamesAreDecoded(t *testing.T) {
	t.Parallel()
	encoded(t, "WIN1251", func(t *testing.T, url string) {
		utf8 := url + "&client_encoding=UTF8"
		pgtest.Exec(t, utf8, `create table "заказ" ("номер" int primary key, "хлеб" text)`, orders)
		g := start(t, url)
		pgtest.Exec(t, utf8, `insert into "заказ" values (1, 'ржаной €')`)
		g.expect(t, "insert заказ 1,ржаной €")
		if got := g.tables[0].Columns[1].Name; got != "хлеб" || !g.tables[0].Columns[0].Key {
			t.Errorf("the columns are %+v", g.tables[0].Columns)
		}
		pgtest.Exec(t, utf8, `do $$ begin execute format('alter table orders add column %I text', convert_from('\x6198', 'WIN1251')); end $$`,
			"insert into orders values (1, 'bread')", `insert into "заказ" values (2, 'ситный')`)
		g.expect(t, "insert заказ 1,ржаной €", "unreadable change orders", "insert заказ 2,ситный")

		// A stream that begins later leaves such tables out, also where anybody has made them.
		pgtest.Exec(t, utf8, `do $$ declare bad text := convert_from('\x6198', 'WIN1251'); begin
				execute format('create table %I (id int primary key)', bad);
				execute format('create schema %I', bad);
				execute format('create table %I.t (id int primary key)', bad);
				execute format('create type %I as enum (''a'')', bad || 't');
				execute format('create table typed (id int primary key, v %I)', bad || 't');
				create table parts (id int primary key) partition by list (id);
				execute format('create table %I partition of parts for values in (1)', bad || 'p');
			end $$`,
			`alter publication "`+publication+`" add table parts`, "insert into parts values (1)")
		g.awaitLine(t, "insert parts 1")
		pgtest.Exec(t, url, fmt.Sprintf("select pg_terminate_backend(%d)", g.walsender(t)))
		eventually(t, "the stream goes on", func() bool { return g.source.Stats().Connects == 2 })
		pgtest.Exec(t, utf8, `insert into "заказ" values (3, 'белый')`)
		g.awaitLine(t, "insert заказ 3,белый")
		facts, err := g.server.Inspect(t.Context())
		if err != nil || len(facts.Tables) != 1 || len(facts.Nameless) != 5 {
			t.Errorf("error %v, facts %+v", err, facts)
		}
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
		eventually(t, "the slot is free", func() bool { return g.walsender(t) == 0 })
	})
}

func TestP85EncodingsThatAreNotDecodedAreRefused(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"SQL_ASCII", "EUC_JP", "EUC_KR", "MULE_INTERNAL"} {
		if wal.Decodable(encoding) {
			t.Errorf("%s is decoded", encoding)
		}
	}
	encoded(t, "EUC_JP", func(t *testing.T, url string) {
		server := newServer(t, url)
		facts, want := wanted(t, server)
		for _, f := range server.Refused(facts, want) {
			if f.Check == "encoding" && strings.Contains(f.Detail, "EUC_JP") && strings.Contains(f.Fix, "UTF8") {
				return
			}
		}
		t.Error("it is not refused")
	})
}
