package gateway

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

func TestDrain(t *testing.T) {
	p := newPlace(t)
	var clients []*peer
	for range 20 {
		c := p.dial()
		c.send(subscription(42))
		c.expect(subscribed(42))
		clients = append(clients, c)
	}
	p.deliver(cdc.Insert, nil, message(1, 42, "Lunch?"))
	var reading sync.WaitGroup
	for _, c := range clients {
		reading.Go(func() {
			if frame, err := c.next(); err != nil {
				t.Errorf("%s, %v, want the change that was due", frame, err)
			}
			if frame, err := c.next(); !closedWith(err, protocol.CloseGoingAway) {
				t.Errorf("%s, %v, want 1001", frame, err)
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p.gateway.Drain(ctx)
	if n := p.gateway.Stats().Connections; n != 0 {
		t.Errorf("%d connections are left", n)
	}
	if ctx.Err() != nil {
		t.Error("it took all the time there was")
	}
	reading.Wait()
	p.unavailable()
}

// A client that takes nothing, and one that does not answer its goodbye, cannot hold a drain past its deadline.
func TestDrainDoesNotWaitForTheStalled(t *testing.T) {
	p := newPlace(t, func(o *Options) { o.WriteTimeout, o.MaxConnections = time.Hour, 1 })
	stalled := p.dialRaw(clientFrame(textFrame, []byte(subscription(42))))
	p.until(1)
	p.fall()
	rejected := p.dialRaw()
	until(t, "the second is being told to go", func() bool {
		p.gateway.mu.Lock()
		defer p.gateway.mu.Unlock()
		return len(p.gateway.sessions) == 2
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		p.gateway.Drain(ctx)
	}()
	select {
	case <-drained:
	case <-time.After(patience):
		t.Error("the drain hangs")
	}
	stalled.gone()
	rejected.gone()
}

// Connections are closed one after the other, so that clients do not all come back at once: a few quickly, many within
// drainSpread.
func TestW04DrainIsSpread(t *testing.T) {
	for connections, last := range map[int]time.Duration{
		1: 0, 5: 4 * drainStep, 600: 599 * drainSpread / 600, 30_000: 29_999 * (drainSpread / 30_000),
	} {
		synctest.Test(t, func(t *testing.T) {
			hub, err := fanout.NewHub(fanout.Options{QueueBytes: 1 << 10, Log: zap.NewNop()})
			if err != nil {
				t.Fatal(err)
			}
			g := New(Options{Hub: hub, Log: zap.NewNop(), MaxConnections: connections, PingInterval: time.Hour, PingTimeout: time.Hour})
			start := time.Now()
			var mu sync.Mutex
			var ends []time.Duration
			for range connections {
				full, why := g.enter()
				s := &session{gateway: g, client: hub.Attach(nil)}
				if why != "" || g.add(s, full) {
					t.Fatal("refused")
				}
				ready := make(chan struct{}, 1)
				s.client.Serve(func() { ready <- struct{}{} })
				go func() {
					defer g.exit(full)
					defer g.remove(s)
					<-ready
					_, _, err := s.client.Take(nil)
					if closed := (*fanout.Closed)(nil); !errors.As(err, &closed) || closed.Code != protocol.CloseGoingAway {
						t.Errorf("%v, want 1001", err)
					}
					mu.Lock()
					defer mu.Unlock()
					ends = append(ends, time.Since(start))
				}()
			}
			g.Drain(t.Context())
			if len(ends) != connections {
				t.Fatalf("%d of %d ended", len(ends), connections)
			}
			if got := slices.Max(ends); got != last {
				t.Errorf("the last of %d ended after %s, want %s", connections, got, last)
			}
		})
	}
}
