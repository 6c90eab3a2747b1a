package integration_test

import (
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// Once an owner has set the database up, a role serves that may replicate, read what is served, and keep the checkpoint.
func TestARoleWithTheLeastRightsServes(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	serve(t, database, snapshots).stop(interrupt)
	role := "gateway_" + slotOf(t, database)
	pgtest.Exec(t, database,
		`create role `+role+` login replication`,
		`grant select on message to `+role)
	keepsCheckpoint(t, database, role)
	t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+role) })
	t.Cleanup(func() { pgtest.Exec(t, database, `drop owned by `+role) })
	g := serve(t, strings.Replace(database, "postgres@", role+"@", 1), "setup: check\n"+snapshots)
	c := connect(t, g)
	v := c.subscribeWithSnapshot("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'Ready?')`)
	c.until("changes flow", func() bool { return len(v.events) == 1 })
	v.equals(t, database, messagesOf("1"))
	g.stop(interrupt)
	if strings.Contains(g.stderr.String(), `"msg":"checkpoint"`) {
		t.Error("the checkpoint could not be saved")
	}
	if missing := unnoted(t, database); len(missing) > 0 {
		t.Errorf("the checkpoint does not know messages %v", missing)
	}
}
