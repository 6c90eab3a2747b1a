package integration_test

import (
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestP12ASecondGatewayOnTheSlotStandsByAndTakesOver(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	first := serve(t, database, chat)
	second := start(t, database, chat)
	second.awaitServing()
	second.awaitReadiness(http.StatusServiceUnavailable, "standby")
	if _, status, err := dial(t, second); err == nil || status != http.StatusServiceUnavailable {
		t.Errorf("a client of the one that stands by got %d (%v), want 503", status, err)
	}
	c := connect(t, first) // which the second has not disturbed
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'from the first')`)
	c.until("the first serves", func() bool { return len(v.events) == 1 })

	first.stop(syscall.SIGKILL)
	second.awaitReady()
	c = connect(t, second)
	v = c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (2, 1, 'from the second')`)
	c.until("the second serves", func() bool { return len(v.events) == 1 })
}

// A gateway that was frozen until the server gave it up finds its slot taken. What is committed now goes to the clients
// of the other one, and its own must not wait for it.
func TestP13AGatewayThatLostItsTurnSendsItsClientsAway(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]string{"changes": chat, "snapshots": snapshots} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical"}) // wal_sender_timeout is a minute
			database := postgres.URL("postgres")
			pgtest.Exec(t, database, conversations, messages, twoTalks)
			first := serve(t, database, settings)
			c := connect(t, first)
			c.ask("message", "conversation_id", "1")
			second := start(t, database, settings)
			second.awaitServing()
			second.awaitReadiness(http.StatusServiceUnavailable, "standby")

			first.signal(syscall.SIGSTOP)
			frozen := time.Now()
			second.awaitReady()
			if took := time.Since(frozen); took > 20*time.Second {
				t.Errorf("the second took over after %s", took)
			}
			first.signal(syscall.SIGCONT)
			c.expectClose(1012, "service restart")
			first.awaitReadiness(http.StatusServiceUnavailable, "standby")
		})
	}
}
