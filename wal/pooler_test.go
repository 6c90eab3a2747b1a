package wal_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// pooler passes sessions on to a server, and answers those that replicate itself while refuses is set.
type pooler struct {
	url     string
	refuses atomic.Pointer[pgproto3.ErrorResponse]
}

func newPooler(t *testing.T, server string) *pooler {
	t.Helper()
	target, err := url.Parse(server)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p, to := &pooler{}, target.Host
	var passing sync.WaitGroup
	passing.Go(func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				passing.Go(func() { defer conn.Close(); p.pass(t.Context(), conn, to) })
			}
		}
	})
	t.Cleanup(func() { listener.Close(); passing.Wait() })
	target.Host = listener.Addr().String()
	p.url = target.String()
	return p
}

func (p *pooler) pass(ctx context.Context, client net.Conn, to string) {
	backend := pgproto3.NewBackend(client, client)
	message, err := backend.ReceiveStartupMessage()
	if err != nil {
		return
	}
	startup, ok := message.(*pgproto3.StartupMessage)
	if !ok {
		return // a cancellation, which nobody waits for
	}
	if refusal := p.refuses.Load(); refusal != nil && startup.Parameters["replication"] != "" {
		backend.Send(refusal)
		_ = backend.Flush()
		return
	}
	server, err := new(net.Dialer).DialContext(ctx, "tcp", to)
	if err != nil {
		return
	}
	defer server.Close()
	hello, err := startup.Encode(nil)
	if err != nil {
		return
	}
	if _, err := server.Write(hello); err != nil {
		return
	}
	var back sync.WaitGroup
	back.Go(func() { _, _ = io.Copy(client, server); client.Close() })
	_, _ = io.Copy(server, client)
	server.Close()
	back.Wait()
}

// A pooler takes sessions and no replication. The start ends with what to do. Where the stream has once begun, by another
// way, it is waited for.
func TestP74APoolerThatDoesNotReplicate(t *testing.T) {
	t.Parallel()
	for name, refusal := range map[string]*pgproto3.ErrorResponse{
		"PgBouncer":         refusal("08P01", "unsupported startup parameter: replication"),
		"another":           refusal("XX000", "replication is not supported"),
		"not for this role": refusal("42501", "must be superuser or replication role to start walsender"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPooler(t, database(t, orders))
			p.refuses.Store(refusal)
			g := run(t, p.url, wal.SetupAuto, 1<<20)
			<-g.ended
			err := g.stop()
			if v := wal.Judge(err); err == nil || !strings.Contains(err.Error(), refusal.Message) || !v.Connecting || !strings.HasSuffix(err.Error(), ": "+v.Do) {
				t.Errorf("the gateway ended with %v", err)
			}
		})
	}
	t.Run("while it runs", func(t *testing.T) {
		t.Parallel()
		url := database(t, orders)
		p := newPooler(t, url)
		g := start(t, p.url)
		p.refuses.Store(refusal("08P01", "unsupported startup parameter: replication"))
		pgtest.Exec(t, url, "select pg_terminate_backend(pid) from pg_stat_replication where pid = (select active_pid from pg_replication_slots where slot_name = '"+g.server.Slot+"')")
		eventually(t, "it is refused", func() bool { return wal.Judge(g.source.Stats().Failure).Connecting })
		p.refuses.Store(nil)
		pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
		g.expect(t, "insert orders 1,bread")
	})
}
