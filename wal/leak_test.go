package wal_test

import (
	"context"
	"testing"

	"go.uber.org/goleak"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// It is not parallel: no other test's goroutines come and go meanwhile.
func TestNothingOutlivesTheSource(t *testing.T) {
	url := database(t, orders)
	before := goleak.IgnoreCurrent()
	t.Run("gateway", func(t *testing.T) {
		g := start(t, url)
		pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
		g.expect(t, "insert orders 1,bread")
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
		g.server.Pool.Close()
	})
	pgtest.CloseIdleSessions()
	if err := goleak.Find(before); err != nil {
		t.Error(err)
	}
}

// Also where there is no stream yet: no server, a slot that another gateway holds.
func TestSourceStopsWhileItWaits(t *testing.T) {
	t.Parallel()
	t.Run("for its turn", func(t *testing.T) {
		t.Parallel()
		url := database(t, orders)
		start(t, url)
		second := launch(t, url, 1<<20)
		eventually(t, "it waits", func() bool { return second.source.Stats().State.String() == "standby" })
		if err := second.stop(); err != nil {
			t.Error(err)
		}
	})
	t.Run("for the server", func(t *testing.T) {
		t.Parallel()
		cluster := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
		pgtest.Exec(t, cluster.URL("postgres"), orders)
		g := start(t, cluster.URL("postgres"))
		if err := cluster.Immediate(context.Background()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it notices", func() bool { return g.source.Stats().State.String() == "connecting" })
		if err := g.stop(); err != nil {
			t.Error(err)
		}
	})
}
