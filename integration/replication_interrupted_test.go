package integration_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestALostReplicationConnectionLosesAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	l := startLoad(t, database, 2)
	g := serve(t, database, snapshots)
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	for n := range 3 {
		seen := len(v.events)
		c.until("changes flow", func() bool { return len(v.events) > seen+30 })
		pgtest.Exec(t, database, `select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = '`+slotOf(t, database)+`'`)
		eventually(t, "it has connected again", func() bool { return g.metric("reactive_reconnects_total") > float64(n) })
		g.awaitReady()
	}
	l.stop()
	c.until("the last message has come", lastHasCome(v))
	v.equals(t, database, messagesOf("1"))
	if v.snapshots != 1 {
		t.Errorf("%d snapshots: the client was made to start over", v.snapshots)
	}
}
