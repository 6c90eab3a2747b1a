package wal_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// P70: with a column list in a publication of somebody else, and from version 18 on with a generated column that it leaves
// out, the server refuses updates of a table that has REPLICA IDENTITY FULL. Such tables keep the identity that they have.
func TestP70WhatPublicationsOfOthersForbid(t *testing.T) {
	t.Parallel()
	url := database(t, orders,
		"create table listed (id int primary key, name text, secret text)", "create publication warehouse for table listed (id, name)",
		"create table measured (id int, day int, v int, primary key (id, day)) partition by range (day)",
		"create table measured_1 partition of measured for values from (0) to (10)",
		"create publication lake for table measured (id, day) with (publish_via_partition_root = true)",
		"create table computed (id int primary key, a int, b int generated always as (a * 2) stored)", "create publication plain for table computed",
		"create table unkeyed (id int, primary key (id) deferrable)", "create publication news for table unkeyed (id) with (publish = 'insert')",
		"create table whole (id int primary key, a int)", "create publication filter for table whole where (id > 0)")
	server := newServer(t, url)
	stop := application(t, url, "1s",
		"insert into listed values (1, 'a', 'b')", "update listed set secret = 'c'", "delete from listed",
		"insert into measured values (1, 1, 1)", "update measured set v = 2", "delete from measured",
		"insert into computed values (1, 1)", "update computed set a = 2", "delete from computed",
		"insert into unkeyed values (1)", "update unkeyed set id = 2", "delete from unkeyed",
		"insert into whole values (1, 1)", "update whole set a = 2", "delete from whole")
	facts, want := wanted(t, server)
	if _, err := server.Ensure(t.Context(), facts, want); err != nil {
		t.Fatal(err)
	}
	stop()
	computed := "f"
	if facts.Version >= 180000 {
		computed = "d"
	}
	want2 := "computed " + computed + ", listed d, measured d, measured_1 d, orders f, unkeyed f, whole f"
	if got := query[string](t, server.Pool, "select string_agg(relname || ' ' || relreplident::text, ', ' order by relname) from pg_class where relkind in ('r', 'p') and relnamespace = 'public'::regnamespace"); got != want2 {
		t.Errorf("replica identities %s, want %s", got, want2)
	}
	for _, table := range []string{"listed", "measured", "computed", "unkeyed", "whole"} {
		if got := state(server, table); got.Progress != wal.Ready {
			t.Errorf("%s is %s (%s)", table, got.Progress, got.Detail)
		}
	}
	// Where the key is not enough, the table is left out with the reason.
	facts, want = wanted(t, server, "secret")
	said := ""
	for _, f := range facts.Findings(want) {
		if f.Level == wal.Fail && f.Table.Name == "listed" {
			said += f.Detail + " " + f.Fix
		}
	}
	if !strings.Contains(said, "publication warehouse has a column list") || !strings.Contains(said, `from publication "warehouse"`) {
		t.Errorf("said of listed: %s", said)
	}
}

// S1: who may name a table must not write lines of what an operator is given to run.
func TestS1NamesStayInTheirLine(t *testing.T) {
	t.Parallel()
	const end = "\n; alter role mallory superuser; --"
	evil, other := wal.Quote("x"+end), wal.Quote("\\y\r\n")
	url := database(t, orders, "create table "+evil+" ("+evil+" int primary key, b int)", "create table "+other+" ("+other+" int, b int)",
		"create publication "+wal.Quote(publication)+" for table "+other+" (b)")
	server := newServer(t, url)
	facts, want := wanted(t, server, "b", "x"+end)
	text := ""
	for _, f := range facts.Findings(want) {
		text += f.Fix + "\n" + f.Or + "\n"
	}
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "--") && (strings.HasPrefix(line, ";") || strings.HasPrefix(strings.ToLower(line), "alter role")) {
			t.Errorf("a line is %q of\n%s", line, text)
		}
	}
	if got, want := wal.Quote("a\n\\\""), `U&"a\000A\\"""`; got != want {
		t.Errorf("quoted: %s, want %s", got, want)
	}
	if got, want := wal.Line("a \"b\" \\\n"), `a "b" \\\n`; got != want {
		t.Errorf("line: %s, want %s", got, want)
	}
	pgtest.Exec(t, url, "drop publication "+wal.Quote(publication))
	prepare(t, server)
	got := plan(t, server)
	if !slices.ContainsFunc(got, func(sql string) bool { return strings.Contains(sql, `U&"x\000A; alter`) }) {
		t.Errorf("got\n  %s", strings.Join(got, "\n  "))
	}
	for _, sql := range got {
		if err := server.Undo(t.Context(), "", strings.Split(sql, "\n")...); err != nil {
			t.Error(err)
		}
	}
}

// P70: partitions that an application makes later get no replica identity where no primary key can be it.
func TestP70PartitionsToComeStayWritable(t *testing.T) {
	t.Parallel()
	url := database(t, orders,
		"create table keyed (id int, day int, primary key (id, day)) partition by range (day)", "create table keyed_1 partition of keyed for values from (0) to (1)",
		"create table late (id int, day int, primary key (id, day) deferrable) partition by range (day)", "create table late_1 partition of late for values from (0) to (1)",
		"create table bare (id int, day int) partition by range (day)", "create table bare_1 partition of bare for values from (0) to (1)",
		"create table under (id int, day int) partition by range (day)", "create table under_1 partition of under for values from (0) to (9) partition by range (id)")
	server := newServer(t, url)
	facts, want := all(t, server)
	for i := range want.Tables {
		want.Tables[i].Optional = true
	}
	if _, err := server.Ensure(t.Context(), facts, want); err != nil {
		t.Fatal(err)
	}
	for name, progress := range map[string]wal.Progress{"orders": wal.Ready, "keyed": wal.Ready, "late": wal.LeftOut, "bare": wal.LeftOut, "under": wal.LeftOut} {
		if got := state(server, name); got.Progress != progress {
			t.Errorf("%s is %s (%s), want it %s", name, got.Progress, got.Detail, progress)
		}
	}
	pgtest.Exec(t, url, "create table keyed_2 partition of keyed for values from (1) to (2)", "create table late_2 partition of late for values from (1) to (2)",
		"create table bare_2 partition of bare for values from (1) to (2)", "create table under_1_1 partition of under_1 for values from (0) to (9)")
	for _, name := range []string{"keyed", "late", "bare", "under"} {
		pgtest.Exec(t, url, "insert into "+name+" values (1, 1)", "update "+name+" set id = 2", "delete from "+name)
	}
}

// What setup changed is left where a publication of others has come to need it.
func TestUninstallHeedsPublicationsOfOthers(t *testing.T) {
	t.Parallel()
	url := database(t, "create table filtered (id int primary key, a int)", "create table by_key (id int primary key, a int)", "create publication before for table by_key where (id > 0)",
		"create table root (id int, day int, primary key (id, day)) partition by range (day)", "create table leaf partition of root for values from (0) to (9)", "alter table leaf replica identity nothing")
	server := newServer(t, url)
	prepare(t, server)
	pgtest.Exec(t, url, "create publication later for table filtered where (a > 0)", "create publication whole for table root with (publish_via_partition_root = true)")
	got := strings.Join(plan(t, server), "\n")
	for _, want := range []string{
		`ALTER TABLE ONLY "public"."by_key" REPLICA IDENTITY DEFAULT;`,
		`left replica identity of "public"."filtered": another publication filters its rows`,
		`left replica identity of "public"."leaf": another publication has the table`,
		`ALTER TABLE ONLY "public"."root" REPLICA IDENTITY DEFAULT;`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got\n%s\nwant %s", got, want)
		}
	}
	for _, sql := range plan(t, server) {
		if !strings.HasPrefix(sql, "left ") {
			if err := server.Undo(t.Context(), "", sql); err != nil {
				t.Error(err)
			}
		}
	}
	for _, table := range []string{"filtered", "by_key", "root"} {
		pgtest.Exec(t, url, "insert into "+table+" values (1, 1)", "update "+table+" set id = 2", "delete from "+table)
	}
}

// P73: who publishes all tables is told before the gateway makes any.
func TestP73ForAllTablesIsSaidBeforeTheFirstStart(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create publication everything for all tables")
	facts, want := wanted(t, newServer(t, url))
	if !slices.ContainsFunc(facts.Findings(want), func(f wal.Finding) bool {
		return f.Level == wal.Warn && f.Check == "publication everything" && strings.Contains(f.Detail, "schema mtbreactive")
	}) {
		t.Error("not said")
	}
}
