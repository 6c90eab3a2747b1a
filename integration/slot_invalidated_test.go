package integration_test

import (
	"syscall"
	"testing"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// A server that may keep only so much log for a slot gives the slot up when its reader falls asleep.
func TestAfterTheServerGaveTheSlotUpClientsStartOver(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{
		"wal_level": "logical", "max_slot_wal_keep_size": "1MB", "max_wal_size": "32MB", "min_wal_size": "32MB",
	})
	database := postgres.URL("postgres")
	pgtest.Exec(t, database, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (0, 1, 'before')`)
	c.until("changes flow", func() bool { return len(v.events) == 1 })

	g.signal(syscall.SIGSTOP)
	eventually(t, "the slot is lost", func() bool {
		pgtest.Exec(t, database, `insert into message select max(id) + 1, 1, 'missed' from message`, `select pg_switch_wal()`, `checkpoint`)
		return pgtest.Query[string](t, database, `select wal_status from pg_replication_slots`) == "lost"
	})
	g.signal(syscall.SIGCONT)
	v.partial = true // what had been sent before the sleep may still come
	c.expectClose(websocket.StatusServiceRestart, "service restart")

	g.awaitReady()
	c = connect(t, g)
	v = c.subscribe("message", "conversation_id", "2")
	pgtest.Exec(t, database, `insert into message values (-1, 2, 'after')`)
	c.until("changes flow again", func() bool { return len(v.events) == 1 })
}
