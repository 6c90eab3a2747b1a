package integration_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestWhenTheSlotIsDroppedClientsWithoutSnapshotsAreSentAway(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	c := connect(t, g)
	c.subscribe("message", "conversation_id", "1")
	dropSlot(t, database)
	pgtest.Exec(t, database, `insert into message values (1, 1, 'nobody captures this')`)
	c.expectClose(websocket.StatusServiceRestart, "service restart")

	g.awaitReady()
	c = connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (2, 1, 'captured again')`)
	c.until("the gateway has gone on", func() bool { return len(v.events) == 1 })
}

func TestWhenTheSlotIsDroppedClientsWithSnapshotsGetAFreshOne(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, snapshots)
	c := connect(t, g)
	v := c.subscribeWithSnapshot("message", "conversation_id", "1")
	dropSlot(t, database)
	c.until("a fresh snapshot has come", func() bool { return v.snapshots > 1 })
	pgtest.Exec(t, database, `insert into message values (2, 1, 'captured again')`)
	c.until("the gateway has gone on", func() bool { return v.rows["id:2"] != nil })
	v.equals(t, database, messagesOf("1"))
}

// dropSlot takes the slot from the gateway that uses it, which comes back for it within moments.
func dropSlot(t *testing.T, database string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(ctx) }()
	slot := slotOf(t, database)
	eventually(t, "the slot is dropped", func() bool {
		_, err := conn.Exec(ctx, fmt.Sprintf(`do $$ begin
			perform pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name = '%[1]s';
			perform pg_drop_replication_slot('%[1]s');
		end $$`, slot))
		return err == nil
	})
}
