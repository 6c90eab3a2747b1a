package main

import (
	"context"
	"fmt"
	"time"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
	"github.com/reactive-gw/reactive-gw/integration/bench/peer"
)

const idleConnections = 10_000

// measureIdle sees what a connection with one subscription costs in memory while nothing happens.
func measureIdle(ctx context.Context, b *bench) ([]result, error) {
	db, err := newDatabase(ctx, schema)
	if err != nil {
		return nil, err
	}
	defer db.close()
	n := b.scaled(idleConnections)
	var own []float64
	for range b.runs {
		each, err := b.idleGateway(ctx, db, n)
		if err != nil {
			return nil, err
		}
		b.note("idle: gateway %.1f KiB a connection", each)
		own = append(own, each)
	}
	each := median(own)
	results := []result{{
		number: "7", what: fmt.Sprintf("idle connection, one of %s", thousands(float64(n))), goal: "<= 16 KiB RSS", figure: fmt.Sprintf("%.1f KiB", each),
		ratio: times(each / 16), passed: atMost(each, 16),
	}}
	for _, name := range []string{peer.Centrifuge, peerNode} {
		line := result{number: "7", what: "  " + peerTitle(name), figure: notMeasured}
		if each, err := b.idlePeer(ctx, name, n); err != nil {
			line.note = firstLine(err)
		} else {
			line.figure, line.note = fmt.Sprintf("%.1f KiB", each), "one run"
		}
		results = append(results, line)
	}
	return results, nil
}

// idleGateway returns KiB a connection, of a gateway that was just started.
func (b *bench) idleGateway(ctx context.Context, db *database, n int) (float64, error) {
	g, err := b.startGateway(ctx, db, "idle", messagesByConversation)
	if err != nil {
		return 0, err
	}
	defer g.kill(ctx, db)
	swarm, err := load.NewSwarm()
	if err != nil {
		return 0, err
	}
	defer swarm.Close()
	before, err := settledRSS(ctx, g.pid())
	if err != nil {
		return 0, err
	}
	if err := (&crowd{connections: n, scopes: n}).subscribe(ctx, g, swarm, newOrderCheck(1)); err != nil {
		return 0, err
	}
	after, err := settledRSS(ctx, g.pid())
	if err == nil {
		err = swarm.Err()
	}
	return (after - before) / 1024 / float64(n), err
}

func (b *bench) idlePeer(ctx context.Context, name string, n int) (float64, error) {
	p, err := b.startPeer(ctx, name)
	if err != nil {
		return 0, err
	}
	defer p.kill()
	before, err := settledRSS(ctx, p.pid())
	if err != nil {
		return 0, err
	}
	swarm, err := p.connect(ctx, n, n)
	if err != nil {
		return 0, err
	}
	defer swarm.Close()
	after, err := settledRSS(ctx, p.pid())
	return (after - before) / 1024 / float64(n), err
}

// settledRSS waits until a process's memory has stayed within half a percent for five seconds, and at most a minute.
func settledRSS(ctx context.Context, pid int) (float64, error) {
	const steady, look = 5, time.Second
	deadline := time.Now().Add(time.Minute)
	was, err := rssOf(pid)
	for same := 0; err == nil && same < steady && time.Now().Before(deadline); same++ {
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case <-time.After(look):
		}
		var is float64
		if is, err = rssOf(pid); is > was*1.005 || is < was*0.995 {
			was, same = is, 0
		}
	}
	return was, err
}
