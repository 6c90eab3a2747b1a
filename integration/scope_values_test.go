package integration_test

import (
	"fmt"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// Each client gets its scope back as it wrote it, and all get the same changes.
func TestANumberAndItsDigitsAreOneScope(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, `insert into conversation values (42, 'Answers')`)
	g := serve(t, database, chat)
	spellings := []string{
		`{"col":"conversation_id","value":42}`,
		`{"col":"conversation_id","value":"42"}`,
		`{"value":"42","col":"conversation_id"}`,
		`{"col":"conversation\u005fid","value":"\u00342"}`,
	}
	var clients []*client
	for _, scope := range spellings {
		c := connect(t, g)
		c.views["message"+scope] = newView("message", scope, "conversation_id", "42")
		c.send(`{"type":"subscribe","channel":"message","scope":` + scope + `}`)
		c.expect(`{"type":"subscribed","channel":"message","scope":` + scope + `}`)
		clients = append(clients, c)
	}
	pgtest.Exec(t, database, `insert into message values (1, 42, 'the answer')`)
	for n, c := range clients {
		c.expect(`{"type":"change","channel":"message","scope":` + spellings[n] + `,"event":{"type":"afterInsert","schemaName":"public","tableName":"message",
			"primaryKey":{"id":1},"row":{"id":1,"conversation_id":42,"body":"the answer"}}}`)
	}
}

func TestScopesOfEveryType(t *testing.T) {
	t.Parallel()
	database := newDatabase(t,
		`create type mood as enum ('calm', 'Very "loud"')`,
		`create domain email as text`,
		`create table visit (id int primary key, small int2, uid uuid, open bool, mood mood, note text, code varchar(10), mail email)`)
	g := serve(t, database, `
reactive:
  - table: visit
    scopes: [small, uid, open, mood, note, code, mail]
    snapshot: {limit: 10}
`)
	const uid = "0f8fad5b-d9cb-469f-a165-70867728950e"
	c := connect(t, g)
	var views []*view
	for _, scope := range []struct{ column, sent, shown string }{
		{"small", `-7`, `-7`},
		{"uid", `"{0F8FAD5B-D9CB-469F-A165-70867728950E}"`, `"` + uid + `"`},
		{"open", `true`, `true`},
		{"mood", `"Very \"loud\""`, `"Very \"loud\""`},
		{"note", `"42"`, `"42"`},
		{"code", `"Ä 🎂"`, `"Ä 🎂"`},
		{"mail", `"mira@example.com"`, `"mira@example.com"`},
	} {
		v := c.ask("visit", scope.column, scope.sent)
		v.value = scope.shown
		c.until("the subscription begins", func() bool { return v.subscribed > 0 && v.snapshots > 0 })
		views = append(views, v)
	}
	const values = `-7, '` + uid + `', true, 'Very "loud"', '42', 'Ä 🎂', 'mira@example.com'`
	pgtest.Exec(t, database,
		`insert into visit values (2, 7, gen_random_uuid(), false, 'calm', '42 ', 'ä 🎂', 'Mira@example.com')`, // in none of the views
		`insert into visit values (1, `+values+`)`)
	for _, v := range views {
		c.until(fmt.Sprintf("the row is in the view of %s", v.scope), func() bool { return len(v.events) == 1 })
		v.equals(t, database, `select * from visit where id = 1`)
	}
	// And the same by a snapshot, from another connection.
	c = connect(t, g)
	for _, seen := range views {
		v := c.subscribeWithSnapshot("visit", seen.column, seen.value)
		v.equals(t, database, `select * from visit where id = 1`)
	}
}
