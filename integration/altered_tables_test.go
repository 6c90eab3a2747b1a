package integration_test

import (
	"testing"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestAColumnThatIsAddedIsThereFromThenOn(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, chat))
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `begin;
		insert into message values (1, 1, 'before');
		alter table message add column edited bool;
		insert into message values (2, 1, 'after', true);
		commit`)
	c.until("both have come", func() bool { return len(v.events) == 2 })
	if _, there := v.events[0].Row["edited"]; there {
		t.Errorf("the row of before has the new column: {%s}", v.events[0].Row)
	}
	if got := string(v.events[1].Row["edited"]); got != "true" {
		t.Errorf("the new column is %q", got)
	}
}

func TestWithoutItsScopeColumnAChannelIsClosed(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	c, other := connect(t, g), connect(t, g)
	c.subscribe("message", "conversation_id", "1")
	v := other.subscribe("conversation", "id", "3")
	pgtest.Exec(t, database, `alter table message drop column conversation_id`, `insert into message values (1, 'Ready?')`)
	c.expectClose(websocket.StatusServiceRestart, "service restart")
	c = connect(t, g)
	c.send(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":1}}`)
	c.expect(`{"type":"error","code":"unknown_channel"}`)
	pgtest.Exec(t, database, `insert into conversation values (3, 'Goes on')`)
	other.until("the other channel goes on", func() bool { return len(v.events) == 1 })
}
