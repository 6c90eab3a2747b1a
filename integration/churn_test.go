package integration_test

import (
	"testing"
	"time"
)

// A client comes and goes, also while its snapshot is being read, and rows move under it.
func TestW25AViewIsTrueHoweverOftenItIsTakenUpAndGivenUp(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	l := startLoad(t, database, 3)
	g := serve(t, database, snapshots)
	c := connect(t, g)
	const barrier = `{"type":"error","code":"unknown_message_type"}`
	for n := range 60 {
		v := c.ask("message", "conversation_id", "1")
		switch n % 3 { // 0: it is given up at once
		case 1:
			c.until("the subscription begins", func() bool { return v.subscribed > 0 })
		case 2:
			c.until("the snapshot has come", func() bool { return v.snapshots > 0 })
		}
		c.unsubscribe(v)
		c.send(`{"type":"barrier"}`)
		for frame := ""; frame != barrier; {
			got, err := c.receive(time.Now().Add(patience))
			if err != nil {
				t.Fatal(err)
			}
			if frame = string(got); frame != barrier {
				if err := c.apply(got); err != nil {
					t.Fatal(err)
				}
			}
		}
		delete(c.views, v.channel+v.scope) // from here on a frame about it fails the test
	}
	views := []*view{c.ask("message", "conversation_id", "1"), c.ask("message", "conversation_id", "2"), c.ask("message", "conversation_id", "3")}
	l.stop()
	for _, v := range views {
		c.until("the last message has come", lastHasCome(v))
	}
	for _, v := range views {
		v.equals(t, database, messagesOf(v.value))
	}
}
