package integration_test

import (
	"testing"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestTruncateSendsSubscribersAway(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	c, other := connect(t, g), connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	other.subscribe("conversation", "id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'Ready?')`)
	c.until("the message has come", func() bool { return len(v.events) == 1 })
	pgtest.Exec(t, database, `truncate message`)
	c.expectClose(websocket.StatusServiceRestart, "service restart")
	other.subscribe("conversation", "id", "2") // whoever watches other tables stays
}

func TestTruncateIsAnEmptySnapshotWhereThereAreSnapshots(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks, `insert into message values (1, 1, 'Ready?')`)
	c := connect(t, serve(t, database, snapshots))
	v := c.subscribeWithSnapshot("message", "conversation_id", "1")
	pgtest.Exec(t, database, `begin; truncate message; insert into message values (2, 1, 'Once more'); commit`)
	c.until("the set is what is left", func() bool { return v.snapshots == 2 && len(v.rows) == 1 })
	v.equals(t, database, messagesOf("1"))
}
