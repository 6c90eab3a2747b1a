package integration_test

import (
	"strings"
	"testing"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestExcludedColumnsAreNeverOnTheWire(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create table member (id int primary key, team_id int, name text, password text)`,
		`insert into member values (1, 5, 'Mira', 'hunter2')`)
	c := connect(t, serve(t, database, `
reactive:
  - table: member
    scopes: [team_id]
    snapshot: {limit: 10}
    columns: {exclude: [password]}
`))
	v := c.subscribeWithSnapshot("member", "team_id", "5")
	pgtest.Exec(t, database,
		`update member set password = 'hunter2, changed'`,
		`update member set name = 'Mira B.', password = 'hunter2, again'`,
		`insert into member values (2, 5, 'Tom', 'hunter2')`,
		`delete from member where id = 1`)
	c.until("the last change has come", func() bool { return len(v.rows) == 1 && v.rows["id:2"] != nil })
	for _, e := range v.events {
		for _, r := range []row{e.PrimaryKey, e.Row, e.Changed} {
			if text := r.String(); strings.Contains(text, "password") || strings.Contains(text, "hunter2") {
				t.Errorf("%s shows {%s}", e.Type, text)
			}
		}
	}
	v.equals(t, database, `select id, team_id, name from member`)
}

// The stream does not say whether a column that is new was renamed or added: the channel is closed rather than that what
// was to be hidden shows under another name.
func TestAnExcludedColumnThatIsRenamedClosesItsChannel(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create table member (id int primary key, team_id int, name text, password text)`,
		`insert into member values (1, 5, 'Mira', 'hunter2')`)
	g := serve(t, database, `
reactive:
  - {table: member, scopes: [team_id], columns: {exclude: [password]}}
`)
	c := connect(t, g)
	c.subscribe("member", "team_id", "5")
	pgtest.Exec(t, database, `alter table member rename password to password_hash`, `update member set name = 'Mira B.'`)
	c.expectClose(websocket.StatusServiceRestart, "service restart")
	c = connect(t, g)
	c.send(`{"type":"subscribe","channel":"member","scope":{"col":"team_id","value":5}}`)
	c.expect(`{"type":"error","code":"unknown_channel"}`)
}

func TestAnExcludedColumnThatIsRenamedIsInNoSnapshot(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create table member (id int primary key, team_id int, name text, password text)`,
		`insert into member values (1, 5, 'Mira', 'hunter2')`)
	c := connect(t, serve(t, database, `
reactive:
  - {table: member, scopes: [team_id], snapshot: {limit: 10}, columns: {exclude: [password]}}
`))
	pgtest.Exec(t, database, `alter table member rename password to password_hash`)
	c.send(`{"type":"subscribe","channel":"member","scope":{"col":"team_id","value":5}}`)
	c.views[`member{"col":"team_id","value":5}`] = newView("member", `{"col":"team_id","value":5}`, "team_id", "5")
	c.expect(`{"type":"subscribed","channel":"member","scope":{"col":"team_id","value":5}}`, `{"type":"error","code":"snapshot_unavailable"}`)
}

func TestAnExcludedColumnThatIsDroppedEndsNothing(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create table member (id int primary key, team_id int, name text, password text)`)
	c := connect(t, serve(t, database, `
reactive:
  - {table: member, scopes: [team_id], columns: {exclude: [password]}}
`))
	v := c.subscribe("member", "team_id", "5")
	pgtest.Exec(t, database, `alter table member drop column password`, `insert into member values (1, 5, 'Mira')`)
	c.until("the change has come", func() bool { return len(v.events) == 1 })
}
