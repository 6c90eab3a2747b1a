package integration_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// sessionOf runs statements in a session that stays open until the test ends.
func sessionOf(t *testing.T, database string, statements ...string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	inSession(t, conn, statements...)
	return conn
}

func inSession(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// application writes until stop is called. It fails the test where the server refuses a statement or lets one wait longer
// than the lock timeout.
func application(t *testing.T, database, lockTimeout string, statements ...string) (stop func()) {
	t.Helper()
	conn := sessionOf(t, database, "set lock_timeout = '"+lockTimeout+"'")
	inSession(t, conn, statements...)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		for ctx.Err() == nil {
			for _, sql := range statements {
				if _, err := conn.Exec(context.Background(), sql); err != nil {
					done <- fmt.Errorf("%s: %w", sql, err)
					return
				}
			}
		}
		done <- nil
	}()
	return func() {
		t.Helper()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the application: %v", err)
		}
	}
}

// P70: while a dump reads a table, the application writes to it, the gateway serves the others, and says what it waits for.
func TestP70TheGatewayStartsBesideADump(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks, "alter table message replica identity nothing")
	dump := sessionOf(t, database, "begin isolation level repeatable read", "lock table message in access share mode")
	stop := application(t, database, "200ms", "insert into message values (1, 1, 'a')", "update message set body = 'b'", "delete from message")
	g := serve(t, database, "")
	c, _ := connectExtended(t, g, nil)
	c.send(subscribeTo(1, ""))
	if f := c.await("error"); f.Code != "unavailable" {
		t.Errorf("who subscribes to a table that waits is told %q", f.Code)
	}
	connect(t, g).subscribe("conversation", "id", "1")
	base := connect(t, g)
	base.send(subscribeTo(1, ""))
	base.expectClose(1013, "try again later")
	if _, status := g.ask("/status"); !strings.Contains(status, "tables locked") || !strings.Contains(status, "public.message") {
		t.Errorf("the status does not name the table:\n%s", status)
	}
	const locked = `reactive_tables_unserved{reason="locked"}`
	if got := g.metric(locked); got != 1 {
		t.Errorf("%s is %v", locked, got)
	}
	if line := g.awaitLogged("setup: tables are not served yet, for they could not be altered: others hold locks on them"); line["tables"] != "public.message" {
		t.Errorf("the log says %v", line)
	}
	inSession(t, dump, "rollback")
	eventually(t, "the table is served", func() bool {
		return g.metric(locked) == 0 && g.metric(`reactive_tables_unserved{reason="draining"}`) == 0
	})
	stop()
	c.awaitPassed(database)
	c.send(subscribeTo(1, ""))
	c.await("subscribed")
	pgtest.Exec(t, database, "insert into message values (7, 1, 'now')", "delete from message")
	if got := c.await("transaction").told() + c.await("transaction").told(); !strings.Contains(got, "afterInsert 7") || !strings.Contains(got, "afterDelete 7") {
		t.Errorf("told %s", got)
	}
}

// A transaction is open across the start that adds the table. The stream will only have its second half, and no snapshot has
// the first half before it commits: the channel opens when it is over.
func TestP70AnOpenTransactionAcrossTheStartIsShownWhole(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks, "alter table message replica identity full")
	serve(t, database, "reactive:\n  - {table: conversation, scopes: [id]}\n").stop(interrupt)
	awaitFreeSlot(t, database)
	writer := sessionOf(t, database, "begin", "insert into message values (1, 1, 'before')")
	g := serve(t, database, snapshots)
	c, _ := connectExtended(t, g, nil)
	c.send(subscribeTo(1, ""))
	if f := c.await("error"); f.Code != "unavailable" {
		t.Errorf("while the transaction is open: %q, want unavailable", f.Code)
	}
	if _, status := g.ask("/status"); !strings.Contains(status, "tables draining") {
		t.Errorf("the status does not say what is waited for:\n%s", status)
	}
	inSession(t, writer, "insert into message values (2, 1, 'after')", "commit")
	eventually(t, "the channel is open", func() bool { return g.metric(`reactive_tables_unserved{reason="draining"}`) == 0 })
	c.awaitPassed(database)
	c.send(subscribeTo(1, ""))
	c.await("subscribed")
	if rows := c.await("snapshot").Rows; len(rows) != 2 {
		t.Errorf("the snapshot has %v, want both messages", rows)
	}
	pgtest.Exec(t, database, "update message set body = 'seen' where id = 1")
	if got := c.await("transaction").told(); !strings.Contains(got, "afterUpdate 1") || strings.Contains(got, "afterInsert") {
		t.Errorf("told %s, want the update alone: the snapshot has the rest", got)
	}
}

// P71: with and without a configuration, tables that inherit from a served one stay writable, and are no part of it.
func TestP71ServedTablesThatOthersInheritFrom(t *testing.T) {
	t.Parallel()
	for name, yaml := range map[string]string{
		"no configuration": "",
		"named":            "reactive:\n  - {table: city, scopes: [id]}\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := newDatabase(t, `create table city (id int primary key, name text)`, `create table capital (country text) inherits (city)`,
				`create table metropolis (mayor text) inherits (capital)`, `insert into capital values (1, 'Paris', 'France')`)
			g := serve(t, database, yaml)
			c := connect(t, g)
			v := c.subscribe("city", "id", "1")
			pgtest.Exec(t, database, `update city set name = 'a'`, `update capital set name = 'b'`, `insert into metropolis values (1, 'c', 'd', 'e')`,
				`delete from capital`, `insert into city values (1, 'Lyon')`)
			c.until("the table's own row has come", func() bool { return len(v.events) == 1 })
			if len(v.events) != 1 || v.events[0].TableName != "city" {
				t.Errorf("events %+v, want that of the table itself", v.events)
			}
			if code, stdout, _ := doctor(t, database); code != 0 || strings.Contains(stdout, "FAIL") {
				t.Errorf("doctor: exit code %d\n%s", code, stdout)
			}
		})
	}
}

// P73: without a configuration what others own is left out and named, and all else is served.
func TestP73AStartWithoutConfigurationLeavesOutWhatOthersOwn(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	role := "gateway_" + slotOf(t, database)
	pgtest.Exec(t, database, `create role `+role+` login replication`, `grant create on database `+slotOf(t, database)+` to `+role,
		`grant usage, create on schema public to `+role, `alter table conversation owner to `+role)
	t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+role) })
	t.Cleanup(func() { pgtest.Exec(t, database, `reassign owned by `+role+` to postgres`, `drop owned by `+role) })
	as := strings.Replace(database, "postgres@", role+"@", 1)
	g := serve(t, as, "")
	c := connect(t, g)
	c.subscribe("conversation", "id", "1")
	c.send(subscribeTo(1, ""))
	c.expect(`{"type":"error","code":"unknown_channel"}`)
	if line := g.awaitLogged("setup: tables are left out: reactive-gw doctor says why, with the SQL for their owners"); line["tables"] != "public.message" {
		t.Errorf("the log says %v", line)
	}
	_, text := g.ask("/status")
	var status struct {
		Conditions []struct{ Name, Detail, Do string }
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil || !strings.Contains(text, "tables left out") || !strings.Contains(text, `ALTER PUBLICATION`) && !strings.Contains(text, "ALTER TABLE") {
		t.Errorf("the status does not say who has to do what: %v\n%s", err, text)
	}
	if got := g.metric(`reactive_tables_unserved{reason="left_out"}`); got != 1 {
		t.Errorf("%v tables are left out", got)
	}
	code, stdout, _ := doctor(t, as)
	if code != 0 || !strings.Contains(stdout, "table public.message: is not served: ") || !strings.Contains(stdout, "-- as ") {
		t.Errorf("doctor: exit code %d\n%s", code, stdout)
	}
	pgtest.Exec(t, database, "insert into message values (1, 1, 'a')", "update message set body = 'b'", "delete from message")
}

// One may run doctor's SQL statement by statement, and stop anywhere: no application is refused what it writes.
func TestP70DoctorsOrderIsSafeAtEachStatement(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks, `create table post_tag (post int, tag int)`,
		`alter table message replica identity nothing`,
		`create table ordered (id int, primary key (id) deferrable)`,
		`create table mixed (id int, primary key (id) deferrable)`,
		`create publication mtbreactive for table mixed with (publish = 'insert')`) // and whose options have to change
	const yaml = "setup: check\nreactive:\n  - {table: message, scopes: [conversation_id]}\n  - {table: ordered, scopes: [id]}\n  - {table: mixed, scopes: [id]}\n"
	writes := []string{"insert into message values (1, 1, 'a')", "update message set body = 'b'", "delete from message"}
	for _, table := range []string{"ordered", "mixed"} {
		writes = append(writes, "insert into "+table+" values (1)", "update "+table+" set id = 2", "delete from "+table)
	}
	file := t.TempDir() + "/reactive.yaml"
	write(t, file, yaml)
	code, sql, stderr := doctor(t, database, "--sql", "--config", file)
	if code != 1 {
		t.Fatalf("exit code %d\n%s%s", code, sql, stderr)
	}
	statements := 0
	for line := range strings.Lines(sql) {
		line = strings.TrimSpace(line)
		if line == "-- run `reactive-gw migrate up`" {
			if code, _, stderr := command(t, "migrate", "up", "--database-url", database); code != 0 {
				t.Fatalf("migrate up: %s", stderr)
			}
		}
		if line == "" || strings.HasPrefix(line, "--") {
			continue
		}
		pgtest.Exec(t, database, line)
		pgtest.Exec(t, database, writes...)
		statements++
	}
	if statements < 7 {
		t.Errorf("%d statements in\n%s", statements, sql)
	}
	serve(t, database, yaml)
}

// With many tables doctor and the log stay readable, and the SQL is complete.
func TestManyTablesAreToldInShort(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `do $$ begin for n in 1..300 loop execute format('create table t%s (id int primary key, name text)', n); end loop; end $$`)
	_, stdout, _ := doctor(t, database)
	if len(stdout) > 16<<10 || !strings.Contains(stdout, "and 290 more") {
		t.Errorf("doctor prints %d bytes", len(stdout))
	}
	_, sql, _ := doctor(t, database, "--sql")
	if got := strings.Count(sql, "REPLICA IDENTITY FULL;"); got != 300 {
		t.Errorf("%d identities in the SQL, want all", got)
	}
	if identity, member := strings.LastIndex(sql, "REPLICA IDENTITY FULL;"), strings.Index(sql, "ADD TABLE"); identity > member {
		t.Error("a table enters the publication before the identities are set")
	}
	g := serve(t, database, "")
	if lines := strings.Count(g.stderr.String(), "\n"); lines > 40 {
		t.Errorf("the start logs %d lines", lines)
	}
}
