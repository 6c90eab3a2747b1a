package wal_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/internal/cluster"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// A server that shuts down waits until its walsenders' clients have acknowledged all. A sink that still needs the log, or
// does not take any more of it, acknowledges nothing: the connection has to end, and the slot stays where it is.
func TestP15ShutdownOfTheServerIsNotHeldUp(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		load    func(t *testing.T, g *gateway, url string)
		handoff int
		within  time.Duration
	}{
		"idle": {func(*testing.T, *gateway, string) {}, 1 << 20, time.Second},
		"loaded": {func(t *testing.T, g *gateway, url string) {
			pgtest.Exec(t, url, "insert into orders select n, repeat('x', 1000) from generate_series(1, 20000) n")
			g.await(t, func(lines []string) bool { return len(lines) == 20000 })
		}, 1 << 20, time.Second},
		"the sink is at work": {func(t *testing.T, g *gateway, url string) {
			g.hold(t)
			pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
			eventually(t, "it is received", func() bool { return g.source.Stats().Transactions == 1 })
		}, 1 << 20, 5 * time.Second},
		"the handoff is full": {func(t *testing.T, g *gateway, url string) {
			g.hold(t)
			for i := range 5 {
				pgtest.Exec(t, url, fmt.Sprintf("insert into orders values (%d, 'bread')", i))
			}
			eventually(t, "some are received", func() bool { return g.source.Stats().Transactions > 0 })
		}, 1, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical", "fsync": "off"})
			url := postgres.URL("postgres")
			pgtest.Exec(t, url, orders)
			g := launch(t, url, c.handoff)
			g.live(t)
			g.needs(g.started()[0].From)
			c.load(t, g, url)
			if took := stop(t, postgres); took > c.within+slack {
				t.Errorf("the server took %s to shut down, want at most %s", took, c.within)
			}
			g.release()
			if err := postgres.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			g.live(t)
			pgtest.Exec(t, url, "insert into orders values (100000, 'wine')")
			g.awaitLine(t, "insert orders 100000,wine")
			if rows := query[int](t, g.server.Pool, "select count(*) from orders"); len(g.recorded()) != rows {
				t.Errorf("%d lines of %d rows: some were lost or came twice", len(g.recorded()), rows)
			}
			starts := g.started()
			if first, last := starts[0], starts[len(starts)-1]; first != last {
				t.Errorf("the stream began with %+v and goes on with %+v: the slot has moved, or the epoch", first, last)
			}
			if lines := without(g.recorded(), "insert"); len(lines) > 0 {
				t.Errorf("clients were told %q", lines)
			}
		})
	}
}

// slack is what the processes of a server need to end, and more where other tests keep the machine busy.
const slack = 2 * time.Second

// stop shuts the server down as pg_ctl stop -m fast does, and returns how long that took.
func stop(t *testing.T, postgres *cluster.Cluster) time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	began := time.Now()
	if err := postgres.Stop(ctx); err != nil {
		t.Fatalf("after %s: %v", time.Since(began), err)
	}
	t.Logf("shut down within %s", time.Since(began))
	return time.Since(began)
}

func TestStreamReachesWhatIsWritten(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create table unpublished (id int)")
	g := start(t, url)
	g.needs(g.started()[0].From) // the position passes, though nothing is acknowledged
	for range 5 {
		pgtest.Exec(t, url, "insert into unpublished values (1)")
		want := lsn(t, g.written(t))
		began := time.Now()
		g.pass(t, want)
		if took := time.Since(began); took > time.Second {
			t.Errorf("it took %s to pass %s", took, want)
		}
	}
}

// An asynchronous commit is not flushed for a while, and where nothing follows the position after it is never reached.
func TestNudgeMovesTheStream(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical", "wal_writer_delay": "10s", "synchronous_commit": "off"})
	url := postgres.URL("postgres")
	pgtest.Exec(t, url, orders, "create table unpublished (id int)")
	g := start(t, url)
	pgtest.Exec(t, url, "insert into unpublished values (1)")
	want := lsn(t, g.written(t))
	if g.position() >= want {
		t.Fatal("the stream is there already: the test shows nothing")
	}
	began := time.Now()
	if err := g.server.Nudge(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.pass(t, want)
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("it took %s", took)
	}
	g.expect(t) // the nudge itself reaches nobody
	if got := g.source.Stats().State; got != wal.Live {
		t.Errorf("the source is %s", got)
	}
}
