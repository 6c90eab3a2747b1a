package integration_test

import (
	"fmt"
	"testing"
)

func TestW07AThousandSubscriptionsAreTheLimit(t *testing.T) {
	t.Parallel()
	g := serve(t, newDatabase(t, conversations, messages), chat)
	c := connect(t, g)
	for n := range 1000 {
		c.subscribe("message", "conversation_id", fmt.Sprint(n))
	}
	// One given up makes room for another one, and one that is there already takes none.
	c.unsubscribe(c.views[`message{"col":"conversation_id","value":0}`])
	c.subscribe("message", "conversation_id", "1000")
	c.subscribe("message", "conversation_id", "1000")
	c.ask("message", "conversation_id", "1001")
	c.expectClose(4429, "over a limit")
}

func TestW07ConnectionsOverTheLimitAreToldSo(t *testing.T) {
	t.Parallel()
	g := serve(t, newDatabase(t, conversations, messages), chat, "--max-connections", "2")
	first := connect(t, g)
	first.subscribe("message", "conversation_id", "1")
	connect(t, g).subscribe("message", "conversation_id", "1")
	connect(t, g).expectClose(4429, "over a limit")
	if got := g.metric("reactive_connections_rejected_total"); got != 1 {
		t.Errorf("%v connections rejected in the metrics, want 1", got)
	}
	if err := first.conn.CloseNow(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the place is free", func() bool { return g.metric("reactive_connections") == 1 })
	connect(t, g).subscribe("message", "conversation_id", "1")
}
