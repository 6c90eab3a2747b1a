package integration_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/internal/cluster"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// A client that stays connected over restarts and crashes of the server gets each change once.
func TestRestartsOfPostgresLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	database := postgres.URL("postgres")
	pgtest.Exec(t, database, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	next := 0
	say := func(what string) {
		t.Helper()
		next++
		pgtest.Exec(t, database, fmt.Sprintf(`insert into message values (%d, 1, '%s')`, next, what))
	}
	for name, goDown := range map[string]func() error{
		"a fast shutdown": func() error {
			// pg_ctl stop -m fast waits for the gateway to confirm the log, and the gateway must not keep it waiting.
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			return postgres.Stop(ctx)
		},
		"an immediate shutdown": func() error { return postgres.Immediate(t.Context()) },
		"a crash":               postgres.Kill,
	} {
		say("before " + name)
		if name == "a crash" { // in the others the last change is under way when the server goes down
			c.until("it has come", func() bool { return len(v.events) == next })
		}
		if err := goDown(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		eventually(t, "the gateway says that it is not live", func() bool { status, _ := g.ask("/readyz"); return status == http.StatusServiceUnavailable })
		if err := postgres.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		say("after " + name)
		c.until("all has come", func() bool { return len(v.events) == next })
		g.awaitReady()
	}
	v.equals(t, database, messagesOf("1"))
}

func TestASlowClientHoldsNoShutdownOfPostgresUp(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	database := postgres.URL("postgres")
	pgtest.Exec(t, database, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	holdUp(t, g, database)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := postgres.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestAGatewayThatIsThereBeforePostgresWaitsForIt(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	database := postgres.URL("postgres")
	pgtest.Exec(t, database, conversations, messages, twoTalks)
	stopped(t, postgres)
	operators := freeAddress(t)
	g := start(t, database, chat, "--admin", operators)
	g.operators = "http://" + operators
	g.awaitSaid("refuses connections: trying again in 1s")
	g.awaitReadiness(http.StatusServiceUnavailable, "starting")
	if status, _ := g.ask("/healthz"); status != http.StatusOK {
		t.Errorf("/healthz answers %d: a restart would not help", status)
	}
	if err := postgres.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.awaitServing()
	g.awaitReady()
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'Good morning')`)
	c.until("changes flow", func() bool { return len(v.events) == 1 })
}

func TestAGatewayThatWaitsForPostgresEndsOnASignal(t *testing.T) {
	t.Parallel()
	g := start(t, "postgres://postgres@"+freeAddress(t)+"/orders?sslmode=disable", chat)
	g.awaitSaid("refuses connections: trying again in 1s")
	// The end of the test sends the signal and looks at the exit code.
}

func stopped(t *testing.T, postgres *cluster.Cluster) {
	t.Helper()
	if err := postgres.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// freeAddress is one on which nobody listens at the moment.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
