package wal_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// Under FOR ALL TABLES the stream brings the gateway's own tables too. Nobody gets their rows, and what the gateway writes for
// itself is no transaction that it would write a checkpoint for.
func TestP73OwnTablesUnderForAllTables(t *testing.T) {
	t.Parallel()
	url := database(t, orders, `create publication "`+publication+`" for all tables with (publish_via_partition_root = true)`)
	g := start(t, url)
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
	g.expect(t, "insert orders 1,bread")
	eventually(t, "the checkpoint has it", func() bool {
		return query[bool](t, g.server.Pool, "select commit_lsn > '0/0' from mtbreactive.checkpoint")
	})
	received := g.source.Stats().Transactions
	for _, own := range []string{
		"update mtbreactive.checkpoint set saved_at = now()",
		"insert into mtbreactive.checkpoint select 'another slot', system_id, timeline, commit_lsn, end_lsn, saved_at, epoch, reached_lsn, released_lsn, postmaster_start from mtbreactive.checkpoint",
		"delete from mtbreactive.checkpoint where slot = 'another slot'",
		"insert into mtbreactive.setup (kind, name) values ('slot', 'x')",
		"truncate mtbreactive.setup, mtbreactive.outbox",
		"begin; select mtbreactive.set_origin('nobody'); savepoint s; insert into mtbreactive.setup (kind, name) values ('slot', 'y'); rollback to s; commit",
	} {
		pgtest.Exec(t, url, own)
		g.pass(t, lsn(t, g.written(t)))
		if now := g.source.Stats().Transactions; now != received {
			t.Errorf("%s: %d transactions were received, want none", own, now-received)
		}
	}
	pgtest.Exec(t, url, "begin; insert into orders values (2, 'wine'); update mtbreactive.checkpoint set saved_at = now(); select mtbreactive.set_origin('till'); commit")
	g.expect(t, "insert orders 1,bread", "insert orders 2,wine")
	if want := []string{"", "till"}; !slices.Equal(g.origins, want) {
		t.Errorf("origins %q, want %q", g.origins, want)
	}
}

// The same in a transaction that is sent while it is in progress.
func TestP73OwnTablesInAStreamedTransaction(t *testing.T) {
	t.Parallel()
	url := database(t, orders, `create publication "`+publication+`" for all tables with (publish_via_partition_root = true)`)
	pgtest.Exec(t, url, "alter database "+pgtest.Query[string](t, url, "select current_database()")+" set logical_decoding_work_mem = '64kB'")
	g := start(t, url)
	pgtest.Exec(t, url, "begin; insert into mtbreactive.setup (kind, name) select 'slot', repeat('x', 100) || n from generate_series(1, 3000) n; "+
		"savepoint s; select mtbreactive.set_origin('taken back'); rollback to s; delete from mtbreactive.setup; commit")
	g.pass(t, lsn(t, g.written(t)))
	if received := g.source.Stats().Transactions; received != 0 {
		t.Errorf("%d transactions were received, want none", received)
	}
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
	g.expect(t, "insert orders 1,bread")
	if want := []string{""}; !slices.Equal(g.origins, want) {
		t.Errorf("origins %q, want %q", g.origins, want)
	}
}

// missOutbox writes to the log where there is no publication of the outbox, as before an upgrade.
func missOutbox(t *testing.T, url string) {
	t.Helper()
	pgtest.Exec(t, url, "drop publication mtbreactive_outbox", "insert into orders values (1, 'unread')",
		"create publication mtbreactive_outbox for table mtbreactive.outbox with (publish = 'insert')")
}

// A slot that is older than the publication of the outbox, as after an upgrade: once, clients are told of the gap, and why.
func TestASlotOlderThanTheOutboxIsRecreatedOnce(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	missOutbox(t, url)
	g = start(t, url)
	pgtest.Exec(t, url, "begin; select mtbreactive.set_origin('till'); insert into orders values (2, 'wine'); commit")
	g.awaitLine(t, "insert orders 2,wine")
	if lines := g.recorded(); !slices.Contains(lines, "reset publication") || slices.Contains(lines, "insert orders 1,unread") {
		t.Errorf("clients were told %q", lines)
	}
	last := g.source.Stats().Reset
	if last.Reason != cdc.ResetPublication || !strings.Contains(last.Detail, "mtbreactive_outbox") {
		t.Errorf("the reset says %+v", last)
	}
	if g.origins[len(g.origins)-1] != "till" {
		t.Errorf("origins %q", g.origins)
	}
	connects := g.source.Stats().Connects
	pgtest.Exec(t, url, "insert into orders values (3, 'beer')")
	g.awaitLine(t, "insert orders 3,beer")
	if now := g.source.Stats().Connects; now != connects {
		t.Errorf("the stream began %d times more", now-connects)
	}
}

// With setup: check the slot stays. The refusal has the SQL.
func TestASlotOlderThanTheOutboxIsRefusedWithSetupCheck(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	missOutbox(t, url)
	g = run(t, url, wal.SetupCheck, 1<<20)
	<-g.ended
	err := g.stop()
	if err == nil || !strings.Contains(err.Error(), "mtbreactive_outbox") || !strings.Contains(err.Error(), "pg_drop_replication_slot") {
		t.Errorf("error %v", err)
	}
}

// Every fault of the outbox' publication is found, and the SQL mends it.
func TestThePublicationOfTheOutboxIsJudged(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	server := newServer(t, url)
	prepare(t, server)
	finding := func() wal.Finding {
		facts, want := wanted(t, server)
		for _, f := range facts.Findings(want) {
			if f.Check == "publication mtbreactive_outbox" {
				return f
			}
		}
		t.Fatal("nothing is said of the publication")
		return wal.Finding{}
	}
	if f := finding(); f.Level != wal.Good {
		t.Errorf("as it is made: %+v", f)
	}
	pgtest.Exec(t, url, "create publication everything for all tables")
	facts, want := wanted(t, server)
	if !slices.ContainsFunc(facts.Findings(want), func(f wal.Finding) bool { return f.Check == "publication everything" && f.Level == wal.Warn }) {
		t.Error("nothing is said of who gets our tables too")
	}
	pgtest.Exec(t, url, "drop publication everything")
	for sql, want := range map[string]string{
		"drop publication mtbreactive_outbox":                                                                             "does not exist",
		"alter publication mtbreactive_outbox drop table mtbreactive.outbox":                                              "lacks mtbreactive.outbox",
		"alter publication mtbreactive_outbox add table orders":                                                           "has other tables",
		"alter publication mtbreactive_outbox set (publish = 'insert, delete')":                                           "publishes other operations",
		"alter publication mtbreactive_outbox set (publish = 'update')":                                                   "publishes other operations",
		"alter publication mtbreactive_outbox set table mtbreactive.outbox where (kind = 'origin')":                       "lacks mtbreactive.outbox, or some of its rows",
		"alter publication mtbreactive_outbox set table mtbreactive.outbox (id, kind)":                                    "lacks mtbreactive.outbox, or some of its rows or columns",
		"drop publication mtbreactive_outbox; create publication mtbreactive_outbox for all tables":                       "is FOR ALL TABLES",
		"drop publication mtbreactive_outbox; create publication mtbreactive_outbox for table orders, mtbreactive.outbox": "has other tables",
	} {
		pgtest.Exec(t, url, sql)
		f := finding()
		if f.Level < wal.Mendable || !strings.Contains(f.Detail, want) {
			t.Errorf("%s: %+v", sql, f)
		}
		pgtest.Exec(t, url, f.Fix)
		if f := finding(); f.Level != wal.Good {
			t.Errorf("%s: when it was mended: %+v", sql, f)
		}
	}
}

// The first entry for an object stays: it says how the object was before.
func TestWhatSetupMadeIsRemembered(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	server := newServer(t, url)
	prepare(t, server)
	remember := func(m wal.Made) {
		t.Helper()
		if err := server.Record(t.Context(), server.Pool, m); err != nil {
			t.Fatal(err)
		}
	}
	remember(wal.Made{Kind: wal.MadeIdentity, Name: `"public"."orders"`, Before: "DEFAULT"})
	remember(wal.Made{Kind: wal.MadeIdentity, Name: `"public"."orders"`, Before: "FULL"}) // what it was first stays
	remember(wal.Made{Kind: wal.MadePublicationTable, Name: `"public"."orders"`})
	got := query[string](t, server.Pool, "select string_agg(concat_ws('|', kind, name, publication, before), ' ' order by kind) from mtbreactive.setup where name like '%orders%'")
	if want := `publication table|"public"."orders"|` + publication + `| replica identity|"public"."orders"||DEFAULT`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	pgtest.Exec(t, url, "drop table mtbreactive.setup")
	remember(wal.Made{Kind: wal.MadeSlot, Name: "x"}) // nothing fails for want of it
}
