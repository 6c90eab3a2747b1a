package integration_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// hostile is what a role makes that may create in a schema: operators for the types of all columns that the gateway's SQL
// compares, functions, types, relations and casts that have the names of built-in ones. Each operator says yes to everything.
const hostile = `
create function %[1]s.evil(anyelement, anyelement) returns bool language plpgsql as 'begin return true; end';
create function %[1]s.evil_enum(anyenum, anyenum) returns bool language plpgsql as 'begin return true; end';
create function %[1]s.evil_array(anyarray, anyarray) returns bool language plpgsql as 'begin return true; end';
do $$
declare
	one text;
	pair text[];
	operator text;
begin
	foreach operator in array array['=', '<>', '<', '>', '<=', '>=', '~', '!~', '@>'] loop
		foreach one in array array['varchar', 'text', 'name', '"char"', 'int2', 'int4', 'int8', 'uuid', 'bool', 'oid', 'xid', 'xid8', 'pg_lsn',
			'timestamptz', 'regclass', 'regproc', 'regtype', 'numeric', 'float8', 'interval', 'date', 'bpchar'] loop
			execute format('create function %[1]s.evil_%%s(%%s, %%s) returns bool language plpgsql as ''begin return true; end''', md5(one || operator), one, one);
			execute format('create operator %[1]s.%%s (leftarg = %%s, rightarg = %%s, function = %[1]s.evil_%%s)', operator, one, one, md5(one || operator));
		end loop;
		for pair in select array[a, b] from unnest(array['name', 'text', 'varchar', 'int2', 'int4', 'int8', 'oid', '"char"', 'regclass', 'regproc']) a,
			unnest(array['name', 'text', 'varchar', 'int2', 'int4', 'int8', 'oid', '"char"', 'regclass', 'regproc']) b where a <> b
		loop
			execute format('create function %[1]s.evil_%%s(%%s, %%s) returns bool language plpgsql as ''begin return true; end''',
				md5(pair::text || operator), pair[1], pair[2]);
			execute format('create operator %[1]s.%%s (leftarg = %%s, rightarg = %%s, function = %[1]s.evil_%%s)', operator, pair[1], pair[2], md5(pair::text || operator));
		end loop;
		execute format('create operator %[1]s.%%s (leftarg = anyenum, rightarg = anyenum, function = %[1]s.evil_enum)', operator);
		execute format('create operator %[1]s.%%s (leftarg = anyarray, rightarg = anyarray, function = %[1]s.evil_array)', operator);
	end loop;
	for pair in select array[f.proname::text, pg_get_function_identity_arguments(f.oid), pg_get_function_result(f.oid), f.oid::text]
		from pg_proc f where f.pronamespace = 'pg_catalog'::regnamespace and f.prokind = 'f' and not f.proretset and f.proname = any (array['current_setting', 'set_config',
			'has_table_privilege', 'has_schema_privilege', 'has_any_column_privilege', 'pg_current_snapshot', 'pg_is_in_recovery', 'to_regclass', 'current_schemas',
			'current_database', 'pg_get_expr', 'format_type', 'quote_ident', 'pg_partition_root', 'now', 'row_security_active', 'lower', 'concat', 'pg_backend_pid',
			'pg_try_advisory_lock', 'pg_advisory_lock', 'pg_advisory_unlock', 'pg_logical_emit_message', 'version', 'array_position', 'to_jsonb'])
		and f.provariadic = 0 and pg_get_function_result(f.oid) !~ 'any' and pg_get_function_identity_arguments(f.oid) !~ 'any|OUT'
	loop
		execute format('create function %[1]s.%%I(%%s) returns %%s language plpgsql as ''begin raise exception $x$hostile$x$; end''', pair[1], pair[2], pair[3]);
	end loop;
end $$;
create function %[1]s.unnest(text[]) returns setof text language plpgsql as 'begin raise exception $x$hostile$x$; end';
create function %[1]s.unnest(oid[]) returns setof oid language plpgsql as 'begin raise exception $x$hostile$x$; end';
create function %[1]s.check_value(anyelement) returns bool language plpgsql as 'begin return true; end';
create domain %[1]s.text as pg_catalog.text check (%[1]s.check_value(value));
create domain %[1]s.int8 as pg_catalog.int8 check (%[1]s.check_value(value));
create domain %[1]s.regclass as pg_catalog.regclass check (%[1]s.check_value(value));
create domain %[1]s.pg_lsn as pg_catalog.pg_lsn check (%[1]s.check_value(value));
create view %[1]s.pg_class as select 1 as oid, %[1]s.check_value(1);
create view %[1]s.pg_publication as select 1 as oid, %[1]s.check_value(1);`

// attacked is a database whose role finds everything that the hostile role has made before what is built in, and where anybody
// may create. safe is a URL for the test itself.
func attacked(t *testing.T, sql ...string) (database, safe string) {
	t.Helper()
	database = newDatabase(t, sql...)
	safe = database + "&search_path=pg_catalog"
	mallory := "mallory_" + slotOf(t, database)
	pgtest.Exec(t, safe, `create role `+mallory+` login`, `grant create, usage on schema public to public`,
		`grant create on database `+slotOf(t, database)+` to `+mallory)
	t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+mallory) })
	t.Cleanup(func() { pgtest.Exec(t, safe, `drop owned by `+mallory) })
	as := strings.Replace(safe, "postgres@", mallory+"@", 1)
	pgtest.Exec(t, as, fmt.Sprintf(hostile, "public"), `create schema postgres`, fmt.Sprintf(hostile, "postgres"))
	pgtest.Exec(t, safe, `alter database `+slotOf(t, database)+` set search_path = "$user", public, pg_catalog`,
		`alter database `+slotOf(t, database)+` set track_functions = 'all'`)
	return database, safe
}

// ran counts the calls of functions of the hostile role. They are counted also in transactions that read only.
func ran(t *testing.T, safe string) int {
	t.Helper()
	return pgtest.Query[int](t, safe, `select coalesce(sum(calls), 0)::int from pg_stat_user_functions where schemaname in ('public', 'postgres')`)
}

// nobodysCode ends the gateway, and fails the test if code of the hostile role ran. A session counts at its end at the latest. That
// it would have been seen, is tried afterwards.
func nobodysCode(t *testing.T, g *gateway, database, safe string) {
	t.Helper()
	g.stop(interrupt)
	eventually(t, "the gateway's sessions have ended", func() bool {
		return pgtest.Query[bool](t, safe, `select not exists (select from pg_stat_activity where datname = current_database() and application_name = 'reactive-gw')`)
	})
	if n := ran(t, safe); n != 0 {
		functions := pgtest.Query[string](t, safe, `select string_agg(schemaname || '.' || funcname, ' ') from pg_stat_user_functions`)
		t.Errorf("hostile code ran %d times: %s", n, functions)
	}
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	var same bool
	if err := conn.QueryRow(t.Context(), `select 'a'::varchar = 'b'::varchar`).Scan(&same); err != nil || !same {
		t.Errorf("the operators are no danger: %v", err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a hostile operator is seen to run", func() bool { return ran(t, safe) > 0 })
}

func TestS1NobodysOperatorsRunAsTheGateway(t *testing.T) {
	t.Parallel()
	database, safe := attacked(t,
		`create schema app`, `create type app.mood as enum ('glad', 'sad')`, `create domain app.feeling as app.mood`,
		`create table app.thing (id int primary key, v varchar, t text, i int8, u uuid, m app.mood, f app.feeling, b bool)`,
		`insert into app.thing values (1, 'a', 'a', 1, '0b5e9d4c-8f1a-4c57-9a51-6f0d3b2a1c00', 'glad', 'glad', true),
			(2, 'b', 'b', 2, 'c0ffee00-8f1a-4c57-9a51-6f0d3b2a1c00', 'sad', 'sad', false)`,
		`create table app.member (thing varchar, u varchar, primary key (thing, u))`, `insert into app.member values ('a', 'ada')`)
	i := newIssuer(t)
	yaml := i.settings + `
reactive:
  - {table: app.thing, channel: thing, scopes: [id, v, t, i, u, m, f, b], snapshot: {limit: 10, orderBy: t DESC}}
`
	g := serve(t, database, yaml)
	c := connectAs(t, g, i.token("ada", time.Hour))
	for column, value := range map[string]string{
		"id": "1", "v": `"a"`, "t": `"a"`, "i": "1", "u": `"0b5e9d4c-8f1a-4c57-9a51-6f0d3b2a1c00"`, "m": `"glad"`, "f": `"glad"`, "b": "true",
	} {
		v := c.subscribeWithSnapshot("thing", column, value)
		v.equals(t, safe, `select * from app.thing where id = 1`)
	}
	pgtest.Exec(t, safe, `update app.thing set t = 'x' where id = 2`)
	if code, stdout, stderr := doctorOf(t, database, yaml); code != 0 {
		t.Errorf("doctor: exit code %d\n%s%s", code, stdout, stderr)
	}
	nobodysCode(t, g, database, safe)
}

func TestS1NobodysOperatorsDecide(t *testing.T) {
	t.Parallel()
	for name, authorize := range map[string]string{
		"member": `{member: {table: app.member, scope: thing, user: u}}`,
		"sql":    `{sql: "select exists (select 1 from app.member m where m.thing = $scope and m.u = $ctx.sub)"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database, safe := attacked(t, `create schema app`,
				`create table app.thing (id int primary key, v varchar)`, `insert into app.thing values (1, 'a'), (2, 'b')`,
				`create table app.member (thing varchar, u varchar, primary key (thing, u))`, `insert into app.member values ('a', 'ada')`,
				`create table app.list (thing varchar primary key, project varchar)`, `insert into app.list values ('a', 'p'), ('b', 'q')`)
			i := newIssuer(t)
			g := serve(t, database, i.settings+fmt.Sprintf(`
reactive:
  - {table: app.thing, channel: thing, scopes: [v], authorize: %s, snapshot: {limit: 10}}
  - {table: app.list, channel: list, scopes: [project], resolveScopes: {sql: "select l.project from app.list l where l.thing = $row.thing"}, snapshot: {limit: 10}}
`, authorize))
			c := connectAs(t, g, i.token("ada", time.Hour))
			mine := c.subscribeWithSnapshot("thing", "v", `"a"`)
			mine.equals(t, safe, `select * from app.thing where id = 1`)
			c.send(`{"type":"subscribe","channel":"thing","scope":{"col":"v","value":"b"}}`)
			c.expect(`{"type":"error","code":"forbidden"}`)
			c.subscribeWithSnapshot("list", "project", `"q"`).equals(t, safe, `select * from app.list where thing = 'b'`)
			nobodysCode(t, g, database, safe)
		})
	}
}
