package integration_test

import (
	"net/http"
	"syscall"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestASecondGatewayOnTheSlotStandsByAndTakesOver(t *testing.T) {
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
