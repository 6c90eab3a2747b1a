package wal_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// Where a table's owner has the planner calculate something, their function would run as whoever reads the table.
func TestS1WhatThePlannerWouldCalculate(t *testing.T) {
	t.Parallel()
	const table = `create table item (id int primary key, list_id int, v text)`
	for name, c := range map[string]struct {
		schema  string
		foreign bool
	}{
		"an index on an expression":       {table + `; create index on item ((evil(1)))`, true},
		"an index with a condition":       {table + `; create index on item (v) where evil(1) > 0`, true},
		"an operator":                     {table + `; create operator @#@ (rightarg = int, function = evil); create index on item ((@#@ 1))`, true},
		"statistics":                      {table + `; create statistics s on (evil(1) + id), v from item; insert into item values (1, 1, 'a'); analyze item`, true},
		"a partition key":                 {`create table item (id int, list_id int, v text) partition by list ((evil(1) + id)); create table leaf partition of item default`, true},
		"an index of a partition":         {`create table item (id int, list_id int, v text) partition by list (id); create table leaf partition of item default; create index on leaf ((evil(1)))`, true},
		"CHECK constraints":               {table + `; alter table item add check (evil(1) > 0); create table child () inherits (item)`, false},
		"a default and a stored column":   {`create table item (id int primary key, list_id int default evil(1), v text, g int generated always as (evil(1)) stored)`, false},
		"built-in functions in an index":  {table + `; create index on item (lower(v)) where length(v) > 3`, false},
		"an index of a table that has it": {table + `; create table child () inherits (item); create index on child ((evil(1)))`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := database(t)
			mallory, as := stranger(t, url, "mallory")
			pgtest.Exec(t, url, "grant create on schema public to "+mallory)
			pgtest.Exec(t, as, `create function evil(int) returns int language plpgsql immutable as $$
				begin if current_user <> '`+mallory+`' then raise exception 'hostile'; end if; return $1; end$$`)
			for statement := range strings.SplitSeq(c.schema, ";") {
				pgtest.Exec(t, as, statement)
			}
			server := newServer(t, url)
			item := wal.TableName{Schema: "public", Name: "item"}
			want := func(what string, err error) {
				t.Helper()
				if c.foreign != errors.Is(err, wal.ErrStrangersCode) || !c.foreign && err != nil || c.foreign && (wal.Temporary(err) || !strings.Contains(err.Error(), mallory)) {
					t.Errorf("%s: %v", what, err)
				}
			}
			_, err := wal.CheckTable(t.Context(), server.Pool, item, "list_id")
			want("a query of ours", err)
			trusting, err := wal.OpenPool(t.Context(), url, wal.PoolOptions{Views: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(trusting.Close)
			_, err = wal.DescribeQuery(t.Context(), trusting, "select v from public.item where list_id = $1")
			want("a query of an operator", err)
			// A view hides it from who reads the query, and not from the planner.
			pgtest.Exec(t, url, "create view seen as select * from item")
			want("a view", wal.MayPlan(t.Context(), trusting, "select v from public.seen where list_id = $1"))
			pgtest.Exec(t, url, "drop view seen")
			facts, err := server.Inspect(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, found := facts.StrangersCode[item]; found != c.foreign {
				t.Errorf("facts: %+v", facts.StrangersCode)
			}
			if !c.foreign {
				return
			}
			pgtest.Exec(t, url, facts.StrangersCode[item].Fix...)
			c.foreign = false
			err = wal.MayPlan(t.Context(), trusting, "select v from public.item where list_id = $1")
			want("what a superuser owns by now", err)
			pgtest.Exec(t, url, "drop table item cascade")
		})
	}
}

// Where the server can, it expands no view for our own queries: an owner of a schema may swap one in after every look.
func TestS1NoViewIsExpandedForUs(t *testing.T) {
	t.Parallel()
	url := database(t, "create table item (id int)", "create view seen as select * from item")
	server := newServer(t, url)
	read := func(sql string) error {
		_, err := server.Pool.Exec(t.Context(), sql)
		return err
	}
	if query[int](t, server.Pool, "select count(*)::int from pg_catalog.pg_settings where name = 'restrict_nonsystem_relation_kind'") == 0 {
		t.Skip("this server cannot")
	}
	if err := read("select from public.seen"); err == nil {
		t.Error("a view was read")
	}
	if err := errors.Join(read("select from public.item"), read("select from pg_catalog.pg_publication_tables")); err != nil {
		t.Error(err)
	}
	check, err := wal.CheckTable(t.Context(), server.Pool, wal.TableName{Schema: "public", Name: "item"}, "id")
	if err != nil {
		t.Fatal(err)
	}
	trusting, err := wal.OpenPool(t.Context(), url, wal.PoolOptions{Path: []string{"public"}, Views: true})
	if err != nil {
		t.Fatal(err)
	}
	defer trusting.Close()
	err = check.Within(t.Context(), trusting, func(tx pgx.Tx) error {
		_, err := tx.Exec(t.Context(), "select from public.seen")
		return err
	})
	if err == nil {
		t.Error("a view was read in a query of members")
	}
	if _, err := trusting.Exec(t.Context(), "select from seen"); err != nil {
		t.Errorf("operators' queries may read views: %v", err)
	}
}

// Who makes the schema after it was dropped, while a gateway runs, has none of their triggers fired by it.
func TestS2ATableOfOursThatIsMadeByAStranger(t *testing.T) {
	t.Parallel()
	url := database(t)
	server := newServer(t, url)
	mallory, as := stranger(t, url, "mallory")
	pgtest.Exec(t, url, "grant create on database "+query[string](t, server.Pool, "select current_database()")+" to "+mallory)
	pgtest.Exec(t, as, "create schema mtbreactive", "grant usage on schema mtbreactive to public",
		`create table mtbreactive.checkpoint (slot text primary key, system_id text, timeline int, commit_lsn pg_lsn, end_lsn pg_lsn, saved_at timestamptz, epoch text,
			reached_lsn pg_lsn, released_lsn pg_lsn, postmaster_start timestamptz, reset_reason text, reset_detail text, reset_at timestamptz)`,
		"create table mtbreactive.setup (kind text, name text, publication text, before text)",
		"grant all on all tables in schema mtbreactive to public",
		`create function mtbreactive.evil() returns trigger language plpgsql as $$begin raise exception 'hostile'; end$$`,
		"create trigger t before insert or update on mtbreactive.checkpoint for each statement execute function mtbreactive.evil()",
		"create trigger t before insert on mtbreactive.setup for each statement execute function mtbreactive.evil()")
	checkpoints := &wal.Checkpoints{Pool: server.Pool, Slot: server.Slot}
	_, loaded := checkpoints.Load(t.Context())
	for what, err := range map[string]error{
		"save": checkpoints.Save(t.Context(), cdc.Checkpoint{Epoch: "e"}), "begin": checkpoints.Begin(t.Context(), &wal.StoredCheckpoint{}),
		"restarted": checkpoints.Restarted(t.Context(), "e", time.Now()), "load": loaded,
		"record": server.Record(t.Context(), server.Pool, wal.Made{Kind: wal.MadeSlot, Name: "s"}),
	} {
		if !errors.Is(err, wal.ErrForeignTable) || !strings.Contains(err.Error(), mallory) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
