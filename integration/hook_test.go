package integration_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

const hookToken = "correct horse battery staple"

// hooked serves who is typing, which is no table, and members, which is one, by POST.
const hooked = `
ingest:
  hook: {tokenEnv: SHOP_TOKEN}
reactive:
  - table: message
    scopes: [conversation_id]
  - table: typing
    source: hook
    scopes: [conversation_id, user]
    filterRow: "!row.secret || row.user == 'ann'"
    columns: {exclude: [note]}
    batchMs: 1
  - table: member
    source: hook
    scopes: [conversation_id]
    snapshot: {limit: 100}
`

const members = `create table member (conversation_id bigint, user_id text, since timestamptz not null default now(), primary key (conversation_id, user_id))`

func serveHook(t *testing.T, database string) *gateway {
	t.Helper()
	g := startWith(t, []string{"SHOP_TOKEN=" + hookToken}, database, hooked)
	g.awaitServing()
	g.awaitReady()
	return g
}

// post sends events and returns what the gateway answers.
func (g *gateway) post(body string) (status int, answer string) {
	g.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	address := strings.Replace(strings.TrimSuffix(g.clients, "/ws"), "ws://", "http://", 1) + "/ingest"
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+hookToken)
	r.Header.Set("Content-Type", "application/json")
	r.Close = true // no connection is kept that a shutdown would wait for
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		g.t.Fatal(err)
	}
	return response.StatusCode, strings.TrimSpace(string(text))
}

func TestEventsOfWhatIsNoTable(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, members, twoTalks)
	g := serveHook(t, database)
	c := connect(t, g)
	here, ann := c.subscribe("typing", "conversation_id", "42"), c.subscribe("typing", "user", `"ann"`)
	for _, v := range []*view{here, ann} {
		v.keys = []string{"user"}
	}
	typing := func(kind, more string) string {
		return `{"type":"` + kind + `","schemaName":"public","tableName":"typing","primaryKey":{"user":"ann"},` + more + `}`
	}
	status, answer := g.post(`[` + typing("afterInsert", `"row":{"user":"ann","conversation_id":42,"secret":false,"note":"canary"}`) + `,` +
		typing("afterUpdate", `"row":{"user":"ann","conversation_id":42,"secret":true,"keys":[1,{}]},"changed":{"secret":true,"keys":[1,{}]},"before":{"secret":false}`) + `]`)
	if status != http.StatusAccepted || !regexp.MustCompile(`^\{"position":"[0-9A-F]+/[0-9A-F]+\+1"\}$`).MatchString(answer) {
		t.Fatalf("%d %s", status, answer)
	}
	c.until("both views have both events", func() bool { return len(here.events) == 2 && len(ann.events) == 2 })
	if got := here.rows[`user:"ann"`].String(); got != `conversation_id:42 keys:[1,{}] secret:true user:"ann"` {
		t.Errorf("the row is %s", got)
	}
	// The row moves: it leaves one view and stays in the other.
	g.post(typing("afterUpdate", `"row":{"user":"ann","conversation_id":43,"secret":true,"keys":[1,{}]},"changed":{"conversation_id":43},"before":{"conversation_id":42}`))
	c.until("the move has come", func() bool { return len(here.events) == 3 && len(ann.events) == 3 })
	if here.events[2].Type != "afterDelete" || ann.events[2].Type != "afterUpdate" {
		t.Errorf("the move is %s for the one view and %s for the other", here.events[2].Type, ann.events[2].Type)
	}
	// One that nobody may see.
	g.post(`{"type":"afterInsert","schemaName":"public","tableName":"typing","primaryKey":{"user":"bob"},"row":{"user":"bob","conversation_id":42,"secret":true}}`)
	g.post(`{"type":"afterInsert","schemaName":"public","tableName":"typing","primaryKey":{"user":"carl"},"row":{"user":"carl","conversation_id":"42","secret":false}}`)
	c.until("one that everybody may see has come", func() bool { return len(here.events) == 4 })
	if got := here.rows[`user:"carl"`].String(); got != `conversation_id:"42" secret:false user:"carl"` {
		t.Errorf("got %+v", here.events[3])
	}
}

// Events of a table have the catalog's types and key, and a snapshot is there for who comes later.
func TestEventsOfATableThatIsNotCaptured(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, members, twoTalks)
	g := serveHook(t, database)
	c := connect(t, g)
	v := c.ask("member", "conversation_id", "1")
	v.keys = []string{"conversation_id", "user_id"}
	c.until("the snapshot has come", func() bool { return v.snapshots == 1 })
	pgtest.Exec(t, database, `insert into member values (1, 'ann', '2024-02-29 12:00+00')`)
	status, answer := g.post(`{"type":"afterInsert","schemaName":"public","tableName":"member",
		"primaryKey":{"conversation_id":"1","user_id":"ann","since":"2024-02-29T12:00:00+00:00"}}`)
	if status != http.StatusAccepted {
		t.Fatalf("%d %s", status, answer)
	}
	c.until("the event has come", func() bool { return len(v.events) == 1 })
	v.equals(t, database, `select * from member`)
	if got := v.events[0].PrimaryKey.String(); got != `conversation_id:1 user_id:"ann"` {
		t.Errorf("the key is %s", got)
	}
	later := connect(t, g)
	w := later.ask("member", "conversation_id", "1")
	w.keys = v.keys
	later.until("the snapshot has come", func() bool { return w.snapshots == 1 })
	w.equals(t, database, `select * from member`)
	// Who has a snapshot gets events as well: nobody can tell whether it showed them.
	g.post(`{"type":"afterUpdate","schemaName":"public","tableName":"member","primaryKey":{"conversation_id":1,"user_id":"ann"},
		"row":{"since":"infinity"},"changed":{"since":"infinity"}}`)
	later.until("the update has come", func() bool { return len(w.events) == 1 })
}

// What is refused reaches nobody, and the answer says what to do.
func TestEventsThatTheHookRefuses(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, members, twoTalks)
	g := serveHook(t, database)
	for body, want := range map[string]struct {
		status int
		says   string
	}{
		`{"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1}}`: {409, `table "public"."message" is captured from the log`},
		`{"type":"afterInsert","schemaName":"public","tableName":"conversation","primaryKey":{"id":1}}`:                               {404, `table "public"."conversation" is not served`},
		`{"type":"afterInsert","schemaName":"public","tableName":"member","primaryKey":{"conversation_id":"x","user_id":"ann"}}`:      {422, `column "conversation_id" has a value that is none of its type`},
		`{"type":"afterInsert",`: {400, `the text ends too early`},
	} {
		status, answer := g.post(body)
		var refused struct {
			Error struct{ Message string }
		}
		if err := json.Unmarshal([]byte(answer), &refused); err != nil || status != want.status || !strings.Contains(refused.Error.Message, want.says) {
			t.Errorf("%s: %d %s", body, status, answer)
		}
	}
	if refused, events := g.metric(`reactive_ingest_errors_total{source="hook"}`), g.metric(`reactive_ingest_events_total{source="hook"}`); refused != 4 || events != 0 {
		t.Errorf("%v refused, %v events", refused, events)
	}
}

// What is wrong with the sources ends the start, and says what to write.
func TestSourcesThatAreRefusedAtTheStart(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, members, `create publication mtbreactive for table message`, `alter table member add tags text[]`)
	for name, c := range map[string]struct{ env, yaml, want string }{
		"no token":         {"", hooked, "reactive.yaml:3:20: the environment variable SHOP_TOKEN is not set: set it to a random text"},
		"a short token":    {"SHOP_TOKEN=secret", hooked, "has less than 16 characters"},
		"published":        {"", "reactive:\n  - {table: message, source: hook, scopes: [conversation_id]}\n", `reactive.yaml:2:30: table public.message is in publication mtbreactive, so its changes come from the log: ALTER PUBLICATION "mtbreactive" DROP TABLE ONLY "public"."message"`},
		"no scopes":        {"", "reactive:\n  - {table: member, source: hook}\n", "scopes is missing"},
		"nothing listens":  {"", "reactive:\n  - {table: member, source: notify, scopes: [user_id]}\n", "source is notify, and nothing listens: write ingest: {notify: {channel: mtbreactive, trustNotify: true}}"},
		"a snapshot":       {"", "reactive:\n  - {table: typing, source: hook, scopes: [user_id], snapshot: {limit: 5}}\n", "there is no table public.typing that a snapshot could be taken of"},
		"a filtered array": {"", "reactive:\n  - {table: member, source: hook, scopes: [user_id], filterRow: \"'a' in row.tags\"}\n", "column tags is an array or composite"},
		"a typo":           {"", "reactive:\n  - {table: member, source: hook, scopes: [userid]}\n", "table public.member has no column userid: write user_id"},
	} {
		t.Run(name, func(t *testing.T) {
			var env []string
			if c.env != "" {
				env = []string{c.env}
			}
			g := startWith(t, env, database, c.yaml)
			if code := g.wait(); code != 2 || !strings.Contains(g.stderr.String(), c.want) {
				t.Errorf("exit code %d, want 2 and %q\n%s", code, c.want, g.stderr)
			}
		})
	}
	if made := pgtest.Query[int](t, database, `select count(*) from pg_replication_slots where database = current_database()`); made != 0 {
		t.Error("the database was changed")
	}
}
