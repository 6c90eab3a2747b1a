package main

import (
	"context"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
	"github.com/reactive-gw/reactive-gw/integration/bench/peer"
)

func (c *crowd) results(runs []delivery) []result {
	rate, micros := medianDelivery(runs)
	var behind []time.Duration
	for _, r := range runs {
		behind = append(behind, r.behind)
	}
	note := fmt.Sprintf("%s messages of %.0f bytes; the last %.2f s behind the statement", thousands(float64(messagesOf(runs, c))), c.size, median(behind).Seconds())
	results := []result{{
		number: c.number, what: c.what, goal: ">= " + thousands(c.rate) + " deliveries/s", figure: thousands(rate) + "/s",
		ratio: times(rate / c.rate), passed: atLeast(rate, c.rate), note: note,
	}}
	cpu := result{number: c.number, what: c.what + ": CPU", figure: fmt.Sprintf("%.2f us/delivery", micros)}
	if c.micros > 0 {
		cpu.goal, cpu.passed = fmt.Sprintf("<= %.1f us/delivery", c.micros), atMost(micros, c.micros)
	}
	if c.number == "4" {
		share := 100 * c.collecting.Seconds() / c.working.Seconds()
		results = append(results, cpu, result{
			number: "13", what: "garbage collection in 4", goal: "< 5 % of CPU", figure: fmt.Sprintf("%.1f %%", share), passed: atMost(share, 5),
			note: "gctrace: assists, workers, stops",
		})
	} else {
		results = append(results, cpu)
	}
	written := result{number: "14", what: "frames a write in " + c.number, figure: notMeasured, note: "no such metrics"}
	if w := c.written; w.known {
		written.figure, written.note = fmt.Sprintf("%.1f", w.frames/w.writes), fmt.Sprintf("%s frames, %s writes", thousands(w.frames), thousands(w.writes))
	}
	return append(results, written)
}

// written is what the gateway says of frames and of system calls.
type written struct {
	frames, writes float64
	known          bool
}

func (g *gateway) written(ctx context.Context) written {
	frames, err := g.metric(ctx, "reactive_frames_written_total")
	if err != nil {
		return written{}
	}
	writes, err := g.metric(ctx, "reactive_socket_writes_total")
	return written{frames, writes, err == nil}
}

func (w written) since(before written) written {
	return written{w.frames - before.frames, w.writes - before.writes, w.known && before.known}
}

// collectorTime adds up the processor times in the lines of GODEBUG=gctrace=1: stop, assists/workers/idle workers, stop.
// Idle workers are left out: they take what nobody else wants.
func collectorTime(log string) (sum time.Duration) {
	collection := regexp.MustCompile(`clock, ([0-9.]+)\+([0-9.]+)/([0-9.]+)/[0-9.]+\+([0-9.]+) ms cpu`)
	for _, found := range collection.FindAllStringSubmatch(log, -1) {
		for _, part := range found[1:] {
			if ms, err := strconv.ParseFloat(part, 64); err == nil {
				sum += time.Duration(ms * float64(time.Millisecond))
			}
		}
	}
	return sum
}

func peerTitle(name string) string {
	switch name {
	case peer.Writer:
		return "Go, finished frames only written"
	case peer.Centrifuge:
		return "centrifuge v0.40.1, no database"
	}
	return "Node ws, no database"
}

// deliverPublications lets a peer send as many messages as the gateway has delivered, or as fit into a run.
func (b *bench) deliverPublications(ctx context.Context, c *crowd, name string) ([]delivery, error) {
	p, err := b.startPeer(ctx, name)
	if err != nil {
		return nil, err
	}
	defer p.kill()
	swarm, err := p.connect(ctx, c.connections, c.scopes)
	if err != nil {
		return nil, err
	}
	defer swarm.Close()
	run := func(messages int) (delivery, error) { return c.publish(ctx, p, swarm, messages) }
	messages, err := c.affordable(run)
	if err != nil {
		return nil, err
	}
	return b.repeat(p.name, messages, run)
}

func (c *crowd) publish(ctx context.Context, p *peerProcess, swarm *load.Swarm, messages int) (delivery, error) {
	return deliveredBy(ctx, p.pid(), swarm, []load.Kind{p.delivered()}, messages/c.scopes*c.connections, func(ctx context.Context) error {
		return p.publish(ctx, peer.Publication{Messages: messages, Topics: c.scopes, Size: int(c.size)})
	})
}
