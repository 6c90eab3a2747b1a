package integration_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// whispers is a table of messages that may be meant for one user alone.
const whispers = `create table whisper (id int primary key, conversation_id int, reader text, body text)`

// forTheirReader shows whispers to everybody who may read them. options are further lines of the table's entry.
func forTheirReader(options ...string) string {
	entry := "reactive:\n  - table: whisper\n    scopes: [conversation_id]\n    filterRow: \"row.reader == null || row.reader == ctx.sub\"\n"
	for _, option := range options {
		entry += "    " + option + "\n"
	}
	return entry
}

// whispersFor is the SELECT that a user's view has to equal.
func whispersFor(user string) string {
	return fmt.Sprintf(`select * from whisper where conversation_id = 1 and (reader is null or reader = '%s')`, user)
}

// Whoever may not see a row gets nothing of it, whatever becomes of it; whoever saw it learns that it is gone.
func TestW24EachClientSeesTheRowsThatItsFilterShows(t *testing.T) {
	t.Parallel()
	for name, options := range map[string][]string{"at once": nil, "in batches": {"batchMs: 20"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			database := newDatabase(t, whispers, `insert into whisper values (1, 1, null, 'Hello'), (2, 1, 'ada', 'for Ada'), (3, 1, 'bob', 'for Bob'), (4, 1, 'eve', 'for Eve')`)
			g := serve(t, database, i.settings+forTheirReader(append(options, "snapshot: {limit: 100}")...))
			views, clients := map[string]*view{}, map[string]*client{}
			for _, user := range []string{"ada", "bob"} {
				clients[user] = connectAs(t, g, i.token(user, time.Hour))
				views[user] = clients[user].subscribeWithSnapshot("whisper", "conversation_id", "1")
				views[user].equals(t, database, whispersFor(user))
			}
			pgtest.Exec(t, database,
				`update whisper set reader = 'bob', body = 'no longer for Ada' where id = 2`, // from one to the other
				`update whisper set reader = 'ada' where id = 1`,                             // from everybody to one
				`update whisper set body = 'not for Ada' where id = 3`,
				`update whisper set id = 30 where id = 3`,
				`insert into whisper values (5, 1, 'bob', 'for Bob')`,
				`delete from whisper where id in (4, 5)`,
				`update whisper set reader = null, body = 'for all' where id = 30`,
				`insert into whisper values (9, 1, null, 'the last')`)
			events := map[string][]string{}
			for user, c := range clients {
				c.until("the last has come", func() bool { return views[user].rows["id:9"] != nil })
				views[user].equals(t, database, whispersFor(user))
				for _, e := range views[user].events {
					events[user] = append(events[user], e.Type+" "+string(e.PrimaryKey["id"]))
				}
			}
			for user, want := range map[string]string{
				"ada": "afterDelete 2, afterUpdate 1, afterInsert 30, afterInsert 9",
				"bob": "afterInsert 2, afterDelete 1, afterUpdate 3, afterDelete 3, afterInsert 30, afterInsert 5, afterDelete 5, afterUpdate 30, afterInsert 9",
			} {
				if got := strings.Join(events[user], ", "); got != want {
					t.Errorf("%s got %s\nwant %s", user, got, want)
				}
			}
		})
	}
}

// Where the filter comes to an error nobody sees the row, and operators see that.
func TestAFilterThatFailsShowsNothing(t *testing.T) {
	onAnyServer(t)
	i := newIssuer(t)
	database := newDatabase(t, whispers, `insert into whisper values (1, 1, null, 'Hello')`)
	g := serve(t, database, i.settings+`
reactive:
  - {table: whisper, scopes: [conversation_id], snapshot: {limit: 10}, filterRow: "row.reader.size() < 9"}
`)
	c := connectAs(t, g, i.token("ada", time.Hour))
	v := c.subscribeWithSnapshot("whisper", "conversation_id", "1")
	if len(v.rows) != 0 {
		t.Errorf("the snapshot shows %v", v.rows)
	}
	pgtest.Exec(t, database, `update whisper set body = 'hunter2'`, `insert into whisper values (2, 1, 'ada', 'Hello')`)
	c.until("the other row has come", func() bool { return v.rows["id:2"] != nil })
	if len(v.events) != 1 {
		t.Errorf("got %v", v.events)
	}
	if _, metrics := g.ask("/metrics"); !strings.Contains(metrics, `reactive_filter_errors_total{channel="whisper"} 2`) {
		t.Errorf("no such figure in the metrics")
	}
	if g.awaitLogged("filterRow gave no answer, so the row is not shown"); strings.Contains(g.stderr.String(), "hunter2") {
		t.Errorf("the log:\n%s", g.stderr)
	}
}

// A filter may look at what no client is sent, and at integers that clients get as strings.
func TestAFilterSeesColumnsThatClientsDoNot(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t, `create table letter (id int primary key, box int, level bigint, opens timestamptz)`,
		`insert into letter values (1, 1, 9007199254740993, '2026-01-01'), (2, 1, 3, '2026-01-01'), (3, 1, 9007199254740993, '2030-01-01')`)
	g := serve(t, database, i.settings+`
bigintAs: string
reactive:
  - table: letter
    scopes: [box]
    snapshot: {limit: 10}
    filterRow: "row.level == 9007199254740993 && row.opens < '2027'"
    columns: {exclude: [level, opens]}
`)
	c := connectAs(t, g, i.token("ada", time.Hour))
	v := c.subscribeWithSnapshot("letter", "box", "1")
	pgtest.Exec(t, database,
		`update letter set level = 9007199254740993 where id = 2`,
		`update letter set level = 9007199254740992 where id = 1`,
		`insert into letter values (9, 1, 9007199254740993, '2026-05-05')`)
	c.until("the last has come", func() bool { return v.rows["id:9"] != nil })
	v.equals(t, database, `select id, box from letter where level = 9007199254740993 and opens < '2027-01-01'`)
}

// What the filter looks at is part of what the before images have to hold.
func TestAFilterNeedsFullBeforeImages(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, whispers)
	serve(t, database, "reactive:\n  - {table: whisper, scopes: [id], filterRow: row.reader == null}\n")
	if got := pgtest.Query[string](t, database, `select relreplident::text from pg_class where relname = 'whisper'`); got != "f" {
		t.Errorf("replica identity %s", got)
	}
}

// Without the before image it is not known who had the row: views begin anew, or connections end.
func TestAFilterWithoutBeforeImagesNeverGuesses(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t, whispers, `insert into whisper values (1, 1, 'ada', 'for Ada')`)
	g := serve(t, database, i.settings+`
reactive:
  - {table: whisper, scopes: [id], snapshot: {limit: 10}, filterRow: "row.reader == null || row.reader == ctx.sub"}
`)
	c := connectAs(t, g, i.token("ada", time.Hour))
	v := c.subscribeWithSnapshot("whisper", "id", "1")
	pgtest.Exec(t, database, `alter table whisper replica identity default`, `update whisper set reader = 'bob', body = 'for Bob'`)
	c.until("the view has begun anew", func() bool { return v.snapshots == 2 })
	if len(v.rows) != 0 {
		t.Errorf("the view still has %v", v.rows)
	}
}

func TestAFilterColumnThatIsAlteredClosesItsChannel(t *testing.T) {
	t.Parallel()
	for name, alteration := range map[string]string{
		"renamed":         `alter table whisper rename reader to listener`,
		"dropped":         `alter table whisper drop reader`,
		"of another type": `alter table whisper alter reader type json using null`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			database := newDatabase(t, whispers, `insert into whisper values (1, 1, 'bob', 'for Bob')`)
			g := serve(t, database, i.settings+forTheirReader("columns: {exclude: [reader]}", "snapshot: {limit: 5}"))
			c := connectAs(t, g, i.token("ada", time.Hour))
			v := c.subscribeWithSnapshot("whisper", "conversation_id", "1")
			if len(v.rows) != 0 {
				t.Errorf("the snapshot shows %v", v.rows)
			}
			pgtest.Exec(t, database, alteration)
			late := connectAs(t, g, i.token("ada", time.Hour))
			late.send(`{"type":"subscribe","channel":"whisper","scope":{"col":"conversation_id","value":1}}`)
			late.views[`whisper{"col":"conversation_id","value":1}`] = newView("whisper", `{"col":"conversation_id","value":1}`, "conversation_id", "1")
			late.expect(`{"type":"subscribed","channel":"whisper","scope":{"col":"conversation_id","value":1}}`, `{"type":"error","code":"snapshot_unavailable"}`)
			pgtest.Exec(t, database, `update whisper set body = 'still for Bob'`)
			c.expectClose(websocket.StatusServiceRestart, "service restart")
		})
	}
}

func TestAFilterThatCannotWorkEndsTheStart(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, whispers)
	for filter, want := range map[string]string{
		"row.raeder == null": "reactive.yaml:4:16: table public.whisper has no column raeder: write reader",
		"row.reader == ":     "reactive.yaml:4:16: filterRow, line 1, column 15: Syntax error",
		"row.reader + 'x'":   "reactive.yaml:4:16: filterRow comes to a string",
		"row.reader == sub":  "reactive.yaml:4:16: filterRow, line 1, column 15: undeclared reference to 'sub'",
		"row == {}":          "reactive.yaml:4:16: filterRow: row stands alone",
		"has(row.reader)":    "reactive.yaml:4:16: filterRow: has(row.reader) is always true",
	} {
		g := start(t, database, fmt.Sprintf("reactive:\n  - table: whisper\n    scopes: [conversation_id]\n    filterRow: %q\n", filter))
		if code := g.wait(); code != 2 || !strings.Contains(g.stderr.String(), want) {
			t.Errorf("%s: exit code %d, want 2 and %q in\n%s", filter, code, want, g.stderr)
		}
	}
}
