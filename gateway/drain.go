package gateway

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/reactive-gw/reactive-gw/protocol"
)

const (
	// drainSpread is over how long a drain closes connections, so that clients do not all come back at once, and
	// drainStep the longest pause between two: a few connections need no spreading.
	drainSpread = 3 * time.Second
	drainStep   = 10 * time.Millisecond
)

// Drain takes no new connections and closes those there are with 1001, one after the other. It returns when all have
// ended; those that have not when ctx ends are cut off. It may be called once.
func (g *Gateway) Drain(ctx context.Context) {
	g.stop()
	sessions := g.all()
	step := drainStep
	if n := len(sessions); n > 0 {
		step = min(step, drainSpread/time.Duration(n))
	}
	ticker := time.NewTicker(max(step, time.Microsecond))
	defer ticker.Stop()
	for _, s := range sessions { // in a map's order, which is random
		s.client.Close(protocol.CloseGoingAway)
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		g.running.Wait()
		g.heartbeat.end()
		g.writers.wait()
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		for _, s := range g.all() {
			s.socket.abort()
		}
		<-ended
	}
}

// stop makes enter refuse.
func (g *Gateway) stop() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.draining = true
}

func (g *Gateway) all() []*session {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Collect(maps.Keys(g.sessions))
}
