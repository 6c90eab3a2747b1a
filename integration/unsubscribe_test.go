package integration_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestAfterUnsubscribeNothingComesAnyMore(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	c := connect(t, g)
	launch := c.subscribe("message", "conversation_id", "1")
	lunch := c.subscribe("message", "conversation_id", "2")
	c.unsubscribe(launch)
	c.send(`{"type":"nothing"}`) // there is no reply to unsubscribe: the answer to this shows that it was taken
	c.expect(`{"type":"error","code":"unknown_message_type"}`)
	delete(c.views, launch.channel+launch.scope) // from here on a frame about it fails the test
	pgtest.Exec(t, database,
		`insert into message values (1, 1, 'Ready?')`,
		`insert into message values (2, 2, 'Soup')`)
	c.until("the message of the other subscription has come", func() bool { return len(lunch.events) == 1 })
}

func TestUnsubscribingWhatIsNotSubscribedHasNoReply(t *testing.T) {
	onAnyServer(t)
	g := serve(t, newDatabase(t, conversations, messages), chat)
	c := connect(t, g)
	c.send(`{"type":"unsubscribe","channel":"message","scope":{"col":"conversation_id","value":77}}`)
	c.subscribe("message", "conversation_id", "1")
}

func TestSubscribingAgainDeliversNothingTwice(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, chat))
	c.subscribe("message", "conversation_id", "1")
	again := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'Ready?')`, `update message set body = 'Go' where id = 1`)
	c.until("both changes have come", func() bool { return len(again.events) == 2 }) // a second insert would be refused
}
