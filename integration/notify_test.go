package integration_test

import (
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// notifying serves messages by notifications.
const notifying = `
ingest:
  notify: {channel: "Orders 'n' more", trustNotify: true}
reactive:
  - table: message
    source: notify
    scopes: [conversation_id]
    snapshot: {limit: 1000}
    columns: {exclude: [secret]}
`

// notes is messages with values of many types, of which secret never reaches a client.
const notes = `create table message (
	id bigint primary key, conversation_id bigint references conversation, body text, at timestamptz, amount numeric, parts text[],
	extra jsonb, raw bytea, span interval, twice int generated always as (3) stored, secret text)`

// installTrigger runs the command on a table.
func installTrigger(t *testing.T, database, yaml, table string) {
	t.Helper()
	file := t.TempDir() + "/reactive.yaml"
	write(t, file, yaml)
	code, stdout, stderr := command(t, "migrate", "notify-trigger", "--database-url", database, "--config", file, table)
	if code != 0 || !strings.Contains(stdout, "now notifies channel") {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

// serveListening is serve, and waits for what would make views of notifications begin anew.
func serveListening(t *testing.T, database, yaml string) *gateway {
	t.Helper()
	g := serve(t, database, yaml)
	g.awaitLogged("listening")
	return g
}

// The view is what SELECT gives, value by value, though nothing of the table comes from the log.
func TestATableThatNotifiesIsServedAsAnyOther(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, notes, twoTalks)
	installTrigger(t, database, notifying, "message")
	g := serveListening(t, database, notifying)
	c := connect(t, g)
	one, two := c.subscribeWithSnapshot("message", "conversation_id", "1"), c.subscribeWithSnapshot("message", "conversation_id", "2")
	pgtest.Exec(t, database, `set timezone = 'Asia/Tokyo'; set intervalstyle = 'iso_8601'; set bytea_output = 'escape'; set datestyle = 'German';
		insert into message values
			(1, 1, 'Grüße "x" \ ', '2024-02-29 12:00+00', 1.50, '{a,NULL,"b,c"}', '{"a": [1, null]}', '\x00ff', '1 day 2 hours', default, 'canary'),
			(9007199254740993, 1, null, 'infinity', 'NaN', '{}', 'null', '', '-1 second', default, 'canary');
		update message set body = 'edited', amount = 2 where id = 1;
		update message set conversation_id = 2 where id = 9007199254740993;
		update message set id = 2 where id = 1;
		insert into message (id, conversation_id) values (3, 1), (4, null);
		delete from message where id = 3;
		insert into message (id, conversation_id) values (3, 1)`)
	c.until("the last message has come", func() bool {
		return len(one.events) == 9
	})
	const visible = `select id, conversation_id, body, at, amount, parts, extra, raw, span, twice from message where conversation_id = `
	one.equals(t, database, visible+"1")
	two.equals(t, database, visible+"2")
	var kinds []string
	for _, e := range one.events {
		kinds = append(kinds, e.Type+" "+e.PrimaryKey.String())
	}
	if got, want := strings.Join(kinds, ", "), "afterInsert id:1, afterInsert id:9007199254740993, afterUpdate id:1, afterDelete id:9007199254740993, "+
		"afterDelete id:1, afterInsert id:2, afterInsert id:3, afterDelete id:3, afterInsert id:3"; got != want {
		t.Errorf("events %s\nwant   %s", got, want)
	}
	if changed := one.events[2].Changed.String(); changed != `amount:2 body:"edited"` {
		t.Errorf("changed {%s}", changed)
	}
	later := connect(t, g)
	later.subscribeWithSnapshot("message", "conversation_id", "1").equals(t, database, visible+"1")
	if published := pgtest.Query[int](t, database, `select count(*) from pg_publication_tables where pubname <> 'mtbreactive_outbox'`); published != 0 {
		t.Errorf("%d tables are published", published)
	}
}

// What has no room in a notification, and a TRUNCATE, make the views begin anew instead of failing the statement or going stale.
func TestWhatHasNoRoomInANotificationMakesViewsBeginAnew(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, notes, twoTalks)
	installTrigger(t, database, notifying, "message")
	c := connect(t, serveListening(t, database, notifying))
	v := c.subscribeWithSnapshot("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message (id, conversation_id, body) values (1, 1, repeat('x', 8000))`)
	c.until("a snapshot has the big message", func() bool { return v.snapshots == 2 && len(v.rows) == 1 })
	const visible = `select id, conversation_id, body, at, amount, parts, extra, raw, span, twice from message where conversation_id = 1`
	v.equals(t, database, visible)
	pgtest.Exec(t, database, `insert into message (id, conversation_id, body) values (2, 1, repeat('x', 7000))`)
	c.until("the message that fits has come", func() bool { return len(v.rows) == 2 })
	v.equals(t, database, visible)
	pgtest.Exec(t, database, `truncate message`)
	c.until("the view is empty", func() bool { return len(v.rows) == 0 })
}

// A connection that was lost is made again, and what may have been missed meanwhile is not passed over in silence.
func TestALostListeningConnectionIsSaidAndViewsBeginAnew(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, notes, twoTalks)
	installTrigger(t, database, notifying, "message")
	g := serveListening(t, database, notifying)
	c := connect(t, g)
	v := c.subscribeWithSnapshot("message", "conversation_id", "1")
	// A notification that is missed whatever the timing: it is not sent.
	pgtest.Exec(t, database, `alter table message disable trigger mtbreactive_notify`, `insert into message (id, conversation_id) values (1, 1)`,
		`alter table message enable trigger mtbreactive_notify`)
	ended := pgtest.Query[int](t, database, `select count(pg_terminate_backend(pid)) from pg_stat_activity
		where datname = current_database() and query like 'LISTEN %'`)
	if ended != 1 {
		t.Fatalf("%d connections listened", ended)
	}
	c.until("a fresh snapshot has come", func() bool { return v.snapshots == 2 && len(v.rows) == 1 })
	g.awaitLogged("notifications may have been missed: the views that they tell of begin anew")
	if gaps := g.metric("reactive_ingest_gaps_total"); gaps != 1 {
		t.Errorf("%v gaps are counted", gaps)
	}
	pgtest.Exec(t, database, `update message set body = 'heard again'`)
	c.until("changes flow again", func() bool { return string(v.rows["id:1"]["body"]) == `"heard again"` })
}

// Without a snapshot the base protocol cannot say that a view has a gap.
func TestWithoutASnapshotALostListeningConnectionSendsClientsAway(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, notes, twoTalks)
	c := connect(t, serveListening(t, database, strings.Replace(notifying, "snapshot: {limit: 1000}", "batchMs: 10", 1)))
	c.subscribe("message", "conversation_id", "1")
	pgtest.Query[int](t, database, `select count(pg_terminate_backend(pid)) from pg_stat_activity
		where datname = current_database() and query like 'LISTEN %'`)
	c.expectClose(1012, "service restart")
}

// The trigger that is in wide use puts the whole row into primaryKey, and does not say what changed.
func TestNotificationsOfOtherTriggers(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, notes, twoTalks)
	g := serveListening(t, database, notifying)
	c := connect(t, g)
	v := c.subscribeWithSnapshot("message", "conversation_id", "1")
	notify := func(payload string) {
		pgtest.Exec(t, database, `select pg_notify('Orders ''n'' more', '`+payload+`')`)
	}
	notify(`{"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey":{"id":1,"conversation_id":1,"body":"a"}}`)
	notify(`no JSON`)
	notify(`{"type":"afterInsert","schemaName":"public","tableName":"conversation","primaryKey":{"id":1}}`)
	c.expect(`{"type":"change","channel":"message","scope":{"col":"conversation_id","value":1},"event":{"type":"afterInsert","schemaName":"public",
		"tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"a"}}}`)
	notify(`{"type":"afterUpdate","schemaName":"public","tableName":"message","primaryKey":{"id":1,"conversation_id":1,"body":"b"}}`)
	c.expect(`{"type":"change","channel":"message","scope":{"col":"conversation_id","value":1},"event":{"type":"afterUpdate","schemaName":"public",
		"tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"b"},"changed":{"body":"b"}}}`)
	if refused := g.metric(`reactive_ingest_errors_total{source="notify"}`); refused != 2 {
		t.Errorf("%v notifications are counted as refused, want 2", refused)
	}
	if v.snapshots != 1 {
		t.Errorf("%d snapshots", v.snapshots)
	}
}

func TestTheNotifyTriggerOnOddNames(t *testing.T) {
	t.Parallel()
	const table = `"Häuser & ""Co"""."Order's \ Items"`
	database := newDatabase(t, `create schema "Häuser & ""Co"""`,
		`create table `+table+` ("select" int, "it's \ odd""%" text, "ID" int, primary key ("ID", "select")) partition by list ("ID")`,
		`create table "Häuser & ""Co""".part partition of `+table+` for values in (1)`)
	yaml := `
ingest:
  notify: {channel: 'it''s "odd"', trustNotify: true}
reactive:
  - table: '"Häuser & ""Co"""."Order''s \ Items"'
    channel: items
    source: notify
    scopes: [select]
    filterRow: "row.ID < 5"
`
	installTrigger(t, database, yaml, table)
	installTrigger(t, database, yaml, table) // in place of the first
	c := connect(t, serveListening(t, database, yaml))
	v := c.ask("items", "select", "7")
	v.keys = []string{"ID", "select"}
	c.until("the subscription begins", func() bool { return v.subscribed > 0 })
	pgtest.Exec(t, database, `insert into `+table+` values (7, 'x', 1)`, `update `+table+` set "it's \ odd""%" = 'y'`)
	c.until("the update has come", func() bool { return len(v.events) == 2 })
	v.equals(t, database, `select * from `+table)
	e := v.events[1]
	if e.SchemaName != `Häuser & "Co"` || e.TableName != `Order's \ Items` || e.PrimaryKey.String() != "ID:1 select:7" || e.Changed.String() != `it's \ odd"%:"y"` {
		t.Errorf("%s.%s {%s} changed {%s}", e.SchemaName, e.TableName, e.PrimaryKey, e.Changed)
	}
}

func TestNotifyTriggerSaysWhatItCannotDo(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, `create publication mtbreactive for table message`)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no table":  {nil, 2, "write migrate notify-trigger"},
		"a typo":    {[]string{"conversaton"}, 2, "there is no table public.conversaton: write public.conversation"},
		"no name":   {[]string{"a.b.c"}, 2, "is not schema.table"},
		"published": {[]string{"message"}, 1, `table public.message is in publication mtbreactive, so its changes come from the log already`},
	} {
		code, stdout, stderr := command(t, append([]string{"migrate", "notify-trigger", "--database-url", database}, c.args...)...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d\n%s%s", name, code, stdout, stderr)
		}
	}
	code, stdout, _ := command(t, "migrate", "notify-trigger", "--print", "--database-url", database, "conversation")
	if code != 0 || !strings.Contains(stdout, `on "public"."conversation"`) || !strings.Contains(stdout, "notify_change('mtbreactive')") {
		t.Errorf("--print: exit code %d\n%s", code, stdout)
	}
	if made := pgtest.Query[int](t, database, `select count(*) from pg_trigger where tgname like 'mtbreactive%'`); made != 0 {
		t.Error("--print has changed the database")
	}
}

func TestDoctorFindsATableThatNobodyNotifiesOf(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, notes, twoTalks)
	serve(t, database, notifying).stop(interrupt)
	role := "app_" + slotOf(t, database)
	pgtest.Exec(t, database, `create role `+role+` login`)
	t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+role) })
	t.Cleanup(func() { pgtest.Exec(t, database, `drop owned by `+role) })
	const missing = "warn   table public.message: has no trigger that could notify of its changes\n       -- run `reactive-gw migrate notify-trigger 'public.message'`"
	if code, stdout, _ := doctorOf(t, database, notifying); code != 0 || !strings.Contains(stdout, missing) {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	installTrigger(t, database, notifying, "public.message")
	if code, stdout, _ := doctorOf(t, database, notifying); code != 0 || !strings.Contains(stdout, "ok     table public.message: its changes come by notify") {
		t.Errorf("with a trigger: exit code %d\n%s", code, stdout)
	}
	const unreadable = `warn   table public.message: role `
	if _, stdout, _ := doctorOf(t, strings.Replace(database, "postgres@", role+"@", 1), notifying); !strings.Contains(stdout, unreadable+role+" may not read it") {
		t.Errorf("as a role that may not read it:\n%s", stdout)
	}
}
