package wal_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

func TestComparisonsAreOfTheTypesThemselves(t *testing.T) {
	t.Parallel()
	url := database(t,
		"create schema ext", "create extension citext schema ext", "create type mood as enum ('glad', 'sad')", "create domain feeling as mood",
		"create domain address as ext.citext", "create domain label as varchar(5)", "create type pair as (a int, b feeling)", "create type risky as enum ('x')",
		"create function run(risky) returns text language sql as $$select 'x'$$", "create cast (risky as text) with function run(risky) as implicit",
		"create type spoken as enum ('x')", "create cast (spoken as text) with inout as implicit",
		`create table t (v varchar(5), t text, i2 int2, i8 int8, u uuid, b bool, m mood, f feeling, c ext.citext, a address, l label, n name, o oid, d date, x xid,
			ch char(3), arr int[], p pair, ps pair[], r risky, s spoken, j json, rng int4range, num numeric)`,
		`insert into t (v, t, i2, i8, u, b, m, f, c, a, l, n, o, d, x, ch, arr, s, rng, num) values ('a', 'a', 1, 1, 'c0ffee00-8f1a-4c57-9a51-6f0d3b2a1c00', true, 'glad', 'glad',
			'Ann', 'Ann', 'a', 'a', 1, '2024-02-29', '7', 'a', '{1}', 'x', '[1,2)', 1.50)`)
	server := newServer(t, url)
	oid := query[uint32](t, server.Pool, "select 't'::regclass::oid")
	for column, c := range map[string]struct{ operator, value, text string }{
		"v": {"OPERATOR(pg_catalog.=)", "a", "a"}, "t": {"OPERATOR(pg_catalog.=)", "a", "a"}, "i2": {"OPERATOR(pg_catalog.=)", "1", "1"},
		"i8": {"OPERATOR(pg_catalog.=)", "1", "1"}, "u": {"OPERATOR(pg_catalog.=)", "C0FFEE00-8f1a-4c57-9a51-6f0d3b2a1c00", "c0ffee00-8f1a-4c57-9a51-6f0d3b2a1c00"},
		"b": {"OPERATOR(pg_catalog.=)", "t", "true"}, "m": {"OPERATOR(pg_catalog.=)", "glad", "glad"}, "f": {"OPERATOR(pg_catalog.=)", "glad", "glad"},
		"c": {"OPERATOR(ext.=)", "ANN", "Ann"}, "a": {"OPERATOR(ext.=)", "ann", "Ann"}, "l": {"OPERATOR(pg_catalog.=)", "a", "a"},
		"n": {"OPERATOR(pg_catalog.=)", "a", "a"}, "o": {"OPERATOR(pg_catalog.=)", "1", "1"}, "d": {"OPERATOR(pg_catalog.=)", "2024-02-29", "2024-02-29"},
		"x": {"OPERATOR(pg_catalog.=)", "7", "7"}, "ch": {"OPERATOR(pg_catalog.=)", "a", "a"}, "arr": {"OPERATOR(pg_catalog.=)", "{1}", "{1}"},
		"s": {"OPERATOR(pg_catalog.=)", "x", "x"}, "rng": {"OPERATOR(pg_catalog.=)", "[1,1]", "[1,2)"}, "num": {"OPERATOR(pg_catalog.=)", "1.5", "1.50"},
	} {
		found, err := wal.Comparisons(t.Context(), server.Pool, oid, column)
		if err != nil {
			t.Errorf("%s: %v", column, err)
			continue
		}
		name := wal.Quote(column)
		sql := "select " + found[0].Text(name) + " from public.t where " + found[0].Of(name) + " " + found[0].Operator() + " $1"
		result := queryText(t, server, sql, c.value)
		if found[0].Operator() != c.operator || result != c.text {
			t.Errorf("%s: %s: %q, want %s and %q", column, sql, result, c.operator, c.text)
		}
	}
	// Those whose values cannot be read, or not be compared, without code that users may have written.
	for _, column := range []string{"p", "ps", "r", "j", "nowhere"} {
		if found, err := wal.Comparisons(t.Context(), server.Pool, oid, "i8", column); !errors.Is(err, wal.ErrIncomparable) || wal.Temporary(err) {
			t.Errorf("%s: %+v, %v", column, found, err)
		}
	}
}

// queryText sends the value as text of an unknown type, as the gateway does.
func queryText(t *testing.T, server *wal.Server, sql, value string) string {
	t.Helper()
	conn, err := server.Pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	result := conn.Conn().PgConn().ExecParams(t.Context(), sql, [][]byte{[]byte(value)}, nil, nil, nil).Read()
	if result.Err != nil {
		t.Fatalf("%s: %v", sql, result.Err)
	}
	if len(result.Rows) == 0 {
		return "no row"
	}
	return string(result.Rows[0][0])
}

// The owner of a table can put another thing in its place, or give a column a type of their own. None of their code runs.
func TestS1ATableThatItsOwnerSwaps(t *testing.T) {
	t.Parallel()
	const trap = `create function evil() returns text language plpgsql immutable as $$begin raise exception 'hostile'; end$$`
	for name, swap := range map[string]string{
		"a view":                        `alter table member rename to hidden; create view member as select u, evil() as thing from hidden`,
		"a view with a column tableoid": `alter table member rename to hidden; create view member as select 1::oid as tableoid, u, evil() as thing from hidden`,
		"a materialized view":           `alter table member rename to hidden; create materialized view member as select * from hidden`,
		"a type with a cast": `create type own as enum ('a'); create function run(own) returns text language plpgsql as $$begin raise exception 'hostile'; end$$;
			create cast (own as text) with function run(own) as implicit; alter table member alter thing type own using thing::own`,
		"a composite with a domain": `create domain checked as text check (evil() = value); create type own as (a checked);
			alter table member alter thing type own using null`,
		"a foreign partition": `drop table member; create extension file_fdw; create server files foreign data wrapper file_fdw;
			create table member (u text, thing text) partition by list (thing);
			create foreign table far partition of member for values in ('a') server files options (program 'touch /tmp/hostile')`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := database(t, trap, `create table member (u text, thing text)`, `insert into member values ('ada', 'a')`)
			server := newServer(t, url)
			table := wal.TableName{Schema: "public", Name: "member"}
			check, err := wal.CheckTable(t.Context(), server.Pool, table, "u", "thing")
			if err != nil {
				t.Fatal(err)
			}
			ask := func() error {
				return check.Within(t.Context(), server.Pool, func(tx pgx.Tx) error {
					_, err := tx.Exec(t.Context(), "select thing from public.member where thing OPERATOR(pg_catalog.=) 'a'")
					return err
				})
			}
			if err := ask(); err != nil {
				t.Fatal(err)
			}
			pgtest.Exec(t, url, swap)
			err = ask()
			if err == nil || strings.Contains(err.Error(), "hostile") {
				t.Errorf("asked with %v", err)
			}
			for _, expected := range []error{wal.ErrNotATable, wal.ErrAltered, wal.ErrIncomparable} {
				if errors.Is(err, expected) {
					return
				}
			}
			t.Errorf("error %v", err)
		})
	}
}
