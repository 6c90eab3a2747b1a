package integration_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// typing serves messages from the log, and who is typing, which is no table, from events.
const typing = `
reactive:
  - table: message
    scopes: [conversation_id]
  - table: typing
    source: hook
    scopes: [conversation_id]
`

// An event has its place among the rows of its transaction, and one frame follows the other in that order.
func TestAnEmittedEventIsOrderedWithTheRowsOfItsTransaction(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, typing))
	c.subscribe("message", "conversation_id", "1")
	c.subscribe("typing", "conversation_id", "1")
	pgtest.Exec(t, database, `
		begin;
		insert into message values (1, 1, 'before');
		select mtbreactive.set_origin('tab 7');
		select mtbreactive.emit('afterInsert', 'public', 'typing', '{"user": "ann", "conversation_id": 1}', '{"user": "ann"}');
		insert into message values (2, 1, 'behind');
		select mtbreactive.emit('[
			{"type": "afterUpdate", "schemaName": "public", "tableName": "typing", "primaryKey": {"user": "ann"},
			 "row": {"user": "ann", "conversation_id": 1, "fast": [true, 1.50]}, "changed": {"fast": [true, 1.50]}},
			{"type": "afterDelete", "schemaName": "public", "tableName": "typing", "primaryKey": {"user": "ann"},
			 "row": {"user": "ann", "conversation_id": 1, "fast": [true, 1.50]}}]');
		commit`)
	const message, typist = `"channel":"message","scope":{"col":"conversation_id","value":1}`, `"channel":"typing","scope":{"col":"conversation_id","value":1}`
	c.expect(
		`{"type":"change",`+message+`,"event":{"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"before"}}}`,
		`{"type":"change",`+typist+`,"event":{"type":"afterInsert","schemaName":"public","tableName":"typing","primaryKey":{"user":"ann"},"row":{"conversation_id":1,"user":"ann"}}}`,
		`{"type":"change",`+message+`,"event":{"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey":{"id":2},"row":{"id":2,"conversation_id":1,"body":"behind"}}}`,
		`{"type":"change",`+typist+`,"event":{"type":"afterUpdate","schemaName":"public","tableName":"typing","primaryKey":{"user":"ann"},"row":{"conversation_id":1,"fast":[true,1.50],"user":"ann"},"changed":{"fast":[true,1.50]}}}`,
		`{"type":"change",`+typist+`,"event":{"type":"afterDelete","schemaName":"public","tableName":"typing","primaryKey":{"user":"ann"},"row":{"conversation_id":1,"fast":[true,1.50],"user":"ann"}}}`,
	)
}

func TestP44AnEventOfARolledBackTransactionIsNeverSent(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, typing))
	v := c.subscribe("typing", "conversation_id", "1")
	const event = `'{"type":"afterInsert","schemaName":"public","tableName":"typing","primaryKey":{"id":"%"},"row":{"conversation_id":1,"id":"%"}}'`
	of := func(id string) string { return strings.ReplaceAll(event, "%", id) }
	pgtest.Exec(t, database,
		`begin; select mtbreactive.emit(`+of("rolled back")+`); rollback`,
		`begin; savepoint s; select mtbreactive.emit(`+of("rolled back to")+`); rollback to s; select mtbreactive.emit(`+of("kept")+`); commit`,
		`begin; select mtbreactive.emit(`+of("rolled back as a block is")+`); do $$ begin perform mtbreactive.emit(`+of("in a block")+`); raise 'no'; exception when others then null; end $$; rollback`,
		`select mtbreactive.emit(`+of("last")+`)`)
	c.until("the last event has come", func() bool { return v.rows[`id:"last"`] != nil })
	if len(v.events) != 2 || v.rows[`id:"kept"`] == nil {
		t.Errorf("events %v, want that which was kept and the last one", v.events)
	}
}

// What is no good is refused where it is emitted or, where SQL does not know, logged and counted. Neither stops the stream.
func TestEmittedEventsThatAreNoGood(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, typing)
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	for call, want := range map[string]string{
		`emit('afterInsert', 'public', 'message', '{"id": 1}')`:      "table public.message is in publication mtbreactive",
		`emit('inserted', 'public', 'typing', '{}', '{"id": 1}')`:    "type is none of",
		`emit('afterInsert', 'public', 'typing', '{}')`:              "no primary key of public.typing",
		`emit('afterInsert', 'public', 'typing', '[]', '{"id": 1}')`: "row is no JSON object",
		`emit('afterInsert', null, 'typing', '{}', '{"id": 1}')`:     "schemaName is missing",
		`emit('"typing"')`: "neither a JSON object nor an array",
		`emit('[1]')`:      "an event is no JSON object",
		`emit('[]')`:       "no event",
		`emit('afterInsert', 'public', 'typing', jsonb_build_object('x', repeat('x', 1100000)), '{"id": 1}')`: "more than 1 MiB",
		`set_origin(repeat('x', 257))`: "more than 256 bytes",
	} {
		if err := tryExec(t, database, `select mtbreactive.`+call); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: %v, want %q", call, err, want)
		}
	}
	pgtest.Exec(t, database,
		`select mtbreactive.emit('afterInsert', 'public', 'nothing', '{"conversation_id": 1}', '{"id": 1}')`,
		`select mtbreactive.emit('afterInsert', 'public', 'typing', '{"id": 1}', '{"id": 1}')`,
		`insert into mtbreactive.outbox (kind, content) values ('event', 'no JSON'), ('origin', '\xff')`,
		`insert into message values (1, 1, 'The stream goes on')`)
	c.until("the message has come", func() bool { return len(v.events) == 1 })
	if refused := g.metric(`reactive_ingest_errors_total{source="emit"}`); refused != 3 {
		t.Errorf("%v events are counted as refused, want 3", refused)
	}
	if line := g.awaitLogged("event refused: clients are not told of it"); line["source"] != "emit" {
		t.Errorf("the log says %v", line)
	}
}

// A role emits that was granted it. Nobody else does.
func TestS4WhoWasGrantedItEmits(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, typing))
	v := c.subscribe("typing", "conversation_id", "1")
	role := "app_" + slotOf(t, database)
	pgtest.Exec(t, database, `create role `+role+` login`, `grant usage on schema mtbreactive to `+role)
	as := strings.Replace(database, "postgres@", role+"@", 1)
	for _, forbidden := range []string{
		`select mtbreactive.emit('afterInsert', 'public', 'typing', '{"id": 0, "conversation_id": 1}', '{"id": 0}')`,
		`select mtbreactive.emit('{"type": "afterInsert", "schemaName": "public", "tableName": "typing", "primaryKey": {"id": 0}, "row": {"conversation_id": 1}}')`,
		`select mtbreactive.set_origin('forged')`,
		`select mtbreactive.outbox_write('event', '{}')`,
		`insert into mtbreactive.outbox (kind, content) values ('event', '{}')`,
		`delete from mtbreactive.outbox`,
	} {
		if code := sqlState(tryExec(t, as, forbidden)); code != pgerrcode.InsufficientPrivilege {
			t.Errorf("without a grant, %s: %q, want %s", forbidden, code, pgerrcode.InsufficientPrivilege)
		}
	}
	pgtest.Exec(t, database, `grant execute on function mtbreactive.emit(text, text, text, jsonb, jsonb, jsonb, jsonb), mtbreactive.set_origin(text) to `+role)
	t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+role) })
	t.Cleanup(func() { pgtest.Exec(t, database, `drop owned by `+role) })
	pgtest.Exec(t, as, `begin; select mtbreactive.set_origin('granted');
		select mtbreactive.emit('afterInsert', 'public', 'typing', '{"id": 1, "conversation_id": 1}', '{"id": 1}'); commit`)
	c.until("the event has come", func() bool { return len(v.events) == 1 })
	if left := pgtest.Query[int](t, database, `select count(*) from mtbreactive.outbox`); left != 0 {
		t.Errorf("%d rows stay in the outbox", left)
	}
}

// sqlState is the code of an error that PostgreSQL gave.
func sqlState(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code
	}
	return ""
}

// Nothing that every role may write is believed: no logical message, and no table of the outbox' name in another schema. The role
// that forges has no right in schema mtbreactive.
func TestS4AForgedEventReachesNobody(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	mallory := "mallory_" + slotOf(t, database)
	pgtest.Exec(t, database, `create role `+mallory+` login`, `create schema hers authorization `+mallory,
		`create table hers.outbox (id bigint primary key, kind text, content bytea)`, `alter table hers.outbox owner to `+mallory)
	t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+mallory) })
	t.Cleanup(func() { pgtest.Exec(t, database, `drop owned by `+mallory) })
	pgtest.Exec(t, database, `create publication mtbreactive for all tables with (publish_via_partition_root = true)`)
	g := serve(t, database, typing)
	c := connect(t, g)
	v, w := c.subscribe("typing", "conversation_id", "1"), c.subscribe("message", "conversation_id", "1")
	const forged = `{"type":"afterInsert","schemaName":"public","tableName":"typing","primaryKey":{"id":1},"row":{"conversation_id":1}}`
	pgtest.Exec(t, strings.Replace(database, "postgres@", mallory+"@", 1),
		`select pg_logical_emit_message(true, 'mtbreactive', '`+forged+`')`,
		`select pg_logical_emit_message(false, 'mtbreactive', '`+forged+`')`,
		`begin; select pg_logical_emit_message(true, 'mtbreactive@' || pg_current_xact_id(), '`+forged+`'); commit`,
		`begin; select pg_logical_emit_message(true, 'mtbreactive.origin', 'forged'); insert into hers.outbox values (1, 'event', '`+forged+`'); commit`,
		`create table pg_temp.outbox (kind text, content bytea); insert into pg_temp.outbox values ('event', '`+forged+`')`)
	pgtest.Exec(t, database, `insert into message values (1, 1, 'last')`)
	c.until("the message behind them has come", func() bool { return len(w.events) == 1 })
	if len(v.events) > 0 {
		t.Errorf("a client was told %v", v.events)
	}
	if refused := g.metric(`reactive_ingest_errors_total{source="emit"}`); refused != 0 {
		t.Errorf("%v of them were looked at", refused)
	}
}

// tryExec runs a statement that may fail.
func tryExec(t *testing.T, database, sql string) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, sql)
	return err
}

// A transaction that is so big that the server sends it while it is in progress is no different.
func TestEventsOfATransactionThatIsStreamed(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	pgtest.Exec(t, database, `alter database `+slotOf(t, database)+` set logical_decoding_work_mem = '64kB'`)
	c := connect(t, serve(t, database, typing))
	v := c.subscribe("typing", "conversation_id", "1")
	const event = `'{"type":"afterInsert","schemaName":"public","tableName":"typing","primaryKey":{"id":"%"},"row":{"conversation_id":1,"id":"%"}}'`
	emit := func(id string) string { return `select mtbreactive.emit(` + strings.ReplaceAll(event, "%", id) + `);` }
	rows := func(from string) string {
		return `insert into message select n, 2, repeat('x', 100) from generate_series(` + from + `, ` + from + ` + 1999) n;`
	}
	gone := strings.Replace(rows("10000"), ", 2,", ", 1,", 1) // a row that must not reach who sees conversation 1
	w := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `begin;`+emit("first")+rows("1")+
		`savepoint s;`+emit("rolled back")+gone+emit("rolled back too")+`savepoint t;`+rows("12000")+`release t;`+emit("also")+rows("14000")+`rollback to s;`+
		emit("second")+`savepoint u;`+rows("20000")+`release u;`+emit("third")+rows("30000")+`savepoint v;`+emit("fourth")+`release v;`+rows("40000")+
		emit("last")+`commit`)
	c.until("the last event has come", func() bool { return v.rows[`id:"last"`] != nil })
	var ids []string
	for _, e := range v.events {
		ids = append(ids, e.PrimaryKey.String())
	}
	if got := strings.Join(ids, " "); got != `id:"first" id:"second" id:"third" id:"fourth" id:"last"` || len(w.events) > 0 {
		t.Errorf("events %s, and %d of messages that were rolled back", got, len(w.events))
	}
	const streamed = `select stream_txns > 0 from pg_stat_replication_slots join pg_replication_slots using (slot_name) where database = current_database()`
	eventually(t, "the server says that it streamed", func() bool { return pgtest.Query[bool](t, database, streamed) })
}

// Messages of the log are in the encoding of the database: emit writes them in UTF-8 whatever that is.
func TestEventsInADatabaseThatIsNotUTF8(t *testing.T) {
	t.Parallel()
	base := newDatabase(t)
	name := slotOf(t, base) + "_l1"
	pgtest.Exec(t, maintenance(base), `create database `+name+` encoding 'LATIN1' locale 'C' template template0`)
	database := strings.Replace(base, slotOf(t, base), name, 1)
	t.Cleanup(func() {
		awaitFreeSlot(t, database)
		pgtest.Exec(t, database, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()`)
		pgtest.Exec(t, maintenance(base), `drop database `+name)
	})
	pgtest.Exec(t, database, conversations, messages)
	installTrigger(t, database, "", "conversation")
	c := connect(t, serveListening(t, database, typing+`
  - {table: conversation, source: notify, scopes: [id]}
ingest: {notify: {trustNotify: true}}
`))
	v, w := c.subscribe("typing", "conversation_id", "1"), c.subscribe("conversation", "id", "1")
	pgtest.Exec(t, database, `set client_encoding = 'UTF8'`,
		`select mtbreactive.emit('afterInsert', 'public', 'typing', '{"id": "Käthe", "conversation_id": 1}', '{"id": "Käthe"}')`,
		`insert into conversation values (1, 'Grüße')`)
	c.until("both events have come", func() bool { return len(v.events) == 1 && len(w.events) == 1 })
	if v.rows[`id:"Käthe"`] == nil || w.rows["id:1"].String() != `id:1 title:"Grüße"` {
		t.Errorf("rows %v and %v", v.rows, w.rows)
	}
}
