package integration_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestW13AMovedRowLeavesOneScopeAndEntersTheOther(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	launch, lunch := connect(t, g), connect(t, g)
	from := launch.subscribe("message", "conversation_id", "1")
	to := lunch.subscribe("message", "conversation_id", "2")
	pgtest.Exec(t, database,
		`insert into message values (1, 1, 'Soup?')`,
		`update message set conversation_id = 2, body = 'Soup!' where id = 1`)
	launch.until("it has left", func() bool { return len(from.events) == 2 })
	lunch.until("it has come", func() bool { return len(to.events) == 1 })
	if got := from.events[1]; got.Type != "afterDelete" || string(got.Row["body"]) != `"Soup?"` {
		t.Errorf("where it left: %s of {%s}, want afterDelete of the row as it was there", got.Type, got.Row)
	}
	if got := to.events[0]; got.Type != "afterInsert" || string(got.Row["body"]) != `"Soup!"` {
		t.Errorf("where it came: %s of {%s}, want afterInsert of the row as it is", got.Type, got.Row)
	}
}

func TestARowWithoutAScopeValueIsInNoView(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create table task (id int primary key, assignee_id int)`)
	c := connect(t, serve(t, database, `
reactive:
  - table: task
    scopes: [assignee_id]
`))
	v := c.subscribe("task", "assignee_id", "7")
	pgtest.Exec(t, database,
		`insert into task values (1, null)`,
		`update task set assignee_id = 7`,
		`update task set assignee_id = null`)
	c.until("it has come and gone", func() bool { return len(v.events) == 2 })
	if v.events[0].Type != "afterInsert" || v.events[1].Type != "afterDelete" {
		t.Errorf("%s, then %s", v.events[0].Type, v.events[1].Type)
	}
}
