package integration_test

import (
	"fmt"
	"regexp"
	"strconv"
	"syscall"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestAClientThatComesBackAfterAKillHasMissedNothing(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	l := startLoad(t, database, 2)
	g := serve(t, database, snapshots)
	c := connect(t, g)
	before := c.subscribe("message", "conversation_id", "1")
	c.until("changes flow", func() bool { return len(before.events) > 50 })

	g.stop(syscall.SIGKILL)
	rows := pgtest.Query[int](t, database, `select count(*) from message`)
	l.awaitRows(rows + 50) // written while no gateway runs
	g = serve(t, database, snapshots)
	c = connect(t, g)
	after := c.subscribe("message", "conversation_id", "1")
	l.stop()
	c.until("the last message has come", lastHasCome(after))
	after.equals(t, database, messagesOf("1"))
}

func TestWhatIsWrittenWhileNoGatewayRunsIsReadFromTheSlot(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	g.stop(syscall.SIGKILL)
	pgtest.Exec(t, database, `insert into message select n, 1, 'in between' from generate_series(1, 30) n`)
	g = serve(t, database, chat)
	if got := g.metric("reactive_changes_total"); got != 30 {
		t.Errorf("the new gateway has read %v changes, want the 30 of the time between", got)
	}
	// Those who come now are told what happens from now on: nothing of before is sent as if it were new.
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	v.partial = true
	pgtest.Exec(t, database, `update message set body = 'now' where id = 30`)
	c.until("the change has come", func() bool { return len(v.events) > 0 })
	if v.events[0].Type != "afterUpdate" {
		t.Errorf("the first event is %s, want the update", v.events[0].Type)
	}
}

// metric reads a figure from /metrics.
func (g *gateway) metric(name string) float64 {
	g.t.Helper()
	_, text := g.ask("/metrics")
	found := regexp.MustCompile(fmt.Sprintf(`(?m)^%s (\S+)$`, regexp.QuoteMeta(name))).FindStringSubmatch(text)
	if found == nil {
		g.t.Fatalf("there is no metric %s in\n%s", name, text)
	}
	value, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		g.t.Fatal(err)
	}
	return value
}
