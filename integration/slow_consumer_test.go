package integration_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestW01ASlowConsumerIsClosedAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat, "--queue-bytes", "1MiB", "--write-timeout", "10m", "--ping-interval", "10m")
	slow, fast := connect(t, g), connect(t, g)
	slow.subscribe("message", "conversation_id", "1")
	v := fast.subscribe("message", "conversation_id", "1")
	const all = 24 // of a megabyte less a bit: more than the sockets between and the queue hold
	for range all {
		pgtest.Exec(t, database, `insert into message select count(*), 1, repeat('x', 1000000) from message`)
		seen := len(v.events)
		fast.until("the fast one gets it", func() bool { return len(v.events) > seen })
	}
	slow.expectClose(4408, "slow consumer")
	v.equals(t, database, messagesOf("1"))
}
