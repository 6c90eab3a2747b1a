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
