package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
	"github.com/reactive-gw/reactive-gw/integration/bench/peer"
)

const (
	singleReaders = 1000
	singleRate    = 20 // events a second
	singleSize    = 300
)

// pacedServer is one of those that are sent events in turn.
type pacedServer struct {
	name  string
	pid   int
	swarm *load.Swarm
	kind  load.Kind
	send  func(ctx context.Context, events int) error
	costs []float64 // processor time for a delivery in microseconds, by run
	ended func()
}

// measureSingleEvents has all servers up at the same time, with their clients, and lets one after the other work.
func measureSingleEvents(ctx context.Context, b *bench) ([]result, error) {
	db, err := newDatabase(ctx, schema)
	if err != nil {
		return nil, err
	}
	defer db.close()
	own, err := b.pacedGateway(ctx, db)
	if err != nil {
		return nil, err
	}
	defer own.ended()
	servers := []*pacedServer{own}
	missing := map[string]error{}
	for _, name := range []string{peer.Writer, peer.Centrifuge, peerNode} {
		p, err := b.pacedPeer(ctx, name)
		if err != nil {
			missing[name] = err
			continue
		}
		defer p.ended()
		servers = append(servers, p)
	}
	events := b.scaled(100)
	for range b.runs {
		for _, s := range servers {
			if err := s.run(ctx, events); err != nil {
				return nil, fmt.Errorf("send single events by %s: %w", s.name, err)
			}
		}
		b.note("single events: %s", lastCosts(servers))
	}
	return singleResults(servers, missing), nil
}

func lastCosts(servers []*pacedServer) string {
	var parts []string
	for _, s := range servers {
		parts = append(parts, fmt.Sprintf("%s %.2f us", s.name, s.costs[len(s.costs)-1]))
	}
	return strings.Join(parts, ", ")
}

func singleResults(servers []*pacedServer, missing map[string]error) []result {
	cost := map[string]float64{}
	for _, s := range servers {
		cost[s.name] = median(s.costs)
	}
	own := cost[servers[0].name]
	ratio := own / cost[peer.Writer]
	results := []result{{
		number: "6", what: "single events, 20/s to 1,000", goal: "<= 1.3 x CPU of only writing", figure: fmt.Sprintf("%.2f us/delivery", own),
		ratio: times(ratio), passed: atMost(ratio, 1.3),
	}}
	for _, name := range []string{peer.Writer, peer.Centrifuge, peerNode} {
		line := result{number: "6", what: "  " + peerTitle(name), figure: notMeasured}
		if err := missing[name]; err != nil {
			line.note = firstLine(err)
		} else {
			line.figure = fmt.Sprintf("%.2f us/delivery", cost[name])
		}
		results = append(results, line)
	}
	return results
}

func (s *pacedServer) run(ctx context.Context, events int) error {
	time.Sleep(500 * time.Millisecond) // for what the one before has left to do
	d, err := deliveredBy(ctx, s.pid, s.swarm, []load.Kind{s.kind}, events*singleReaders, func(ctx context.Context) error { return s.send(ctx, events) })
	if err != nil {
		return err
	}
	s.costs = append(s.costs, perUnit(d.cpu, d.deliveries))
	return nil
}

func (b *bench) pacedGateway(ctx context.Context, db *database) (*pacedServer, error) {
	g, err := b.startGateway(ctx, db, "single", messagesByConversation)
	if err != nil {
		return nil, err
	}
	swarm, err := load.NewSwarm()
	if err == nil {
		err = (&crowd{connections: singleReaders, scopes: 1}).subscribe(ctx, g, swarm, newOrderCheck(1))
	}
	if err != nil {
		g.kill(ctx, db)
		return nil, err
	}
	body := strings.Repeat("x", filler)
	send := func(ctx context.Context, events int) error {
		return everyTick(ctx, time.Second/singleRate, events, func() error {
			_, err := db.Exec(ctx, "insert into message (conversation_id, author_id, body) values (0, 1, $1)", body)
			return err
		})
	}
	ended := func() { swarm.Close(); g.kill(ctx, db) }
	return &pacedServer{name: "gateway", pid: g.pid(), swarm: swarm, kind: load.Change, send: send, ended: ended}, nil
}

func (b *bench) pacedPeer(ctx context.Context, name string) (*pacedServer, error) {
	p, err := b.startPeer(ctx, name)
	if err != nil {
		return nil, err
	}
	swarm, err := p.connect(ctx, singleReaders, 1)
	if err != nil {
		p.kill()
		return nil, err
	}
	send := func(ctx context.Context, events int) error {
		return p.publish(ctx, peer.Publication{Messages: events, Topics: 1, Size: singleSize, Rate: singleRate})
	}
	ended := func() { swarm.Close(); p.kill() }
	return &pacedServer{name: name, pid: p.pid(), swarm: swarm, kind: p.delivered(), send: send, ended: ended}, nil
}

// everyTick calls f n times at a pace. A call that takes longer than that puts the next ones off, and they catch up.
func everyTick(ctx context.Context, every time.Duration, n int, f func() error) error {
	began := time.Now()
	for i := range n {
		time.Sleep(time.Until(began.Add(time.Duration(i) * every)))
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}
