package integration_test

import (
	"fmt"
	"net/http"
	"os/signal"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestW29SIGTERMUnderLoadSendsClientsAwayAndNotesWhatTheyGot(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	l := startLoad(t, database, 2)
	g := serve(t, database, snapshots)
	var reading errgroup.Group
	var views []*view
	for range 20 {
		c := connect(t, g)
		v := c.subscribe("message", "conversation_id", "1")
		c.until("changes flow", func() bool { return len(v.events) > 20 })
		views = append(views, v)
		reading.Go(func() error { return c.readToClose(websocket.StatusGoingAway, "going away") })
	}
	asked := time.Now()
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if took := time.Since(asked); took > 10*time.Second {
		t.Errorf("took %s to end, want at most 10s", took)
	}
	if err := reading.Wait(); err != nil {
		t.Error(err)
	}
	l.stop()
	missing := unnoted(t, database)
	for _, v := range views {
		for _, e := range v.events {
			if id := string(e.PrimaryKey["id"]); e.Type == "afterInsert" && missing[id] {
				t.Fatalf("message %s was delivered, and the checkpoint does not know it", id)
			}
		}
	}
}

func TestAfterSIGTERMTheCheckpointKnowsWhatWasDelivered(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'one')`, `insert into message values (2, 1, 'two')`)
	c.until("both have come", func() bool { return len(v.events) == 2 })
	if code := g.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if missing := unnoted(t, database); len(missing) > 0 {
		t.Errorf("the checkpoint does not know messages %v", missing)
	}
	pgtest.Exec(t, database, `insert into message values (3, 1, 'three')`) // the control: this one has to be there
	if missing := unnoted(t, database); !missing["3"] || len(missing) != 1 {
		t.Errorf("behind the checkpoint are messages %v, want the third alone", missing)
	}
}

// unnoted lists the messages whose inserts are in the slot's log behind what the checkpoint says was delivered. It looks for their identifiers in pgoutput's binary
// insert messages ('I', relation, 'N', columns, and the first column as 't', length, text).
func unnoted(t *testing.T, database string) map[string]bool {
	t.Helper()
	ids := pgtest.Query[[]string](t, database, fmt.Sprintf(`
		select coalesce(array_agg(convert_from(substring(data from 14 for get_byte(data, 12)), 'UTF8')), '{}')
		from pg_logical_slot_peek_binary_changes('%[1]s', null, null, 'proto_version', '1', 'publication_names', 'mtbreactive')
		where get_byte(data, 0) = ascii('I') and lsn > (select commit_lsn from mtbreactive.checkpoint where slot = '%[1]s')`, slotOf(t, database)))
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	return missing
}

func TestWhileItDrainsItIsNotReady(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	holdUp(t, g, database)
	g.signal(syscall.SIGTERM)
	g.awaitReadiness(http.StatusServiceUnavailable, "draining")
	if _, status, err := dial(t, g); err == nil {
		t.Errorf("a new connection was taken (status %d)", status)
	}
	if code := g.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestASecondSignalEndsItAtOnce(t *testing.T) {
	onAnyServer(t)
	for _, s := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if signal.Ignored(s) {
			continue // as shells have it for what runs in the background: the program keeps to it too
		}
		database := newDatabase(t, conversations, messages, twoTalks)
		g := serve(t, database, chat)
		holdUp(t, g, database)
		g.signal(s)
		g.awaitReadiness(http.StatusServiceUnavailable, "draining")
		g.stop(s)
		if status := g.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != s {
			t.Errorf("ended with %s, want the signal's own end", g.cmd.ProcessState)
		}
	}
}

// holdUp makes a client for which a write is under way that it does not take: a drain has to wait for it.
func holdUp(t *testing.T, g *gateway, database string) {
	t.Helper()
	connect(t, g).subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message select n, 1, repeat('x', 1000000) from generate_series(1, 12) n`)
	eventually(t, "what the client does not read waits", func() bool { return g.metric("reactive_queue_bytes") > 1_000_000 })
}
