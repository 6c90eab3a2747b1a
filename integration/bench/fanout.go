package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
	"github.com/reactive-gw/reactive-gw/integration/bench/peer"
)

// crowd is a load of many clients that all want much at once.
type crowd struct {
	number, what        string
	connections, scopes int
	messages            int
	rate                float64 // goal: deliveries a second
	micros              float64 // goal: processor time for a delivery; 0 for none

	size       float64       // what was seen: bytes of a frame
	written    written       // by the gateway, in all runs
	collecting time.Duration // processor time of its garbage collector
	working    time.Duration // and of all of it
}

func measureOneScope(ctx context.Context, b *bench) ([]result, error) {
	return b.deliver(ctx, &crowd{number: "4", what: "1 scope, 1,000 subscribers", connections: 1000, scopes: 1, messages: b.scaled(100_000), rate: 3e6, micros: 0.4})
}

func measureManyScopes(ctx context.Context, b *bench) ([]result, error) {
	return b.deliver(ctx, &crowd{number: "5", what: "1,000 scopes of 10 subscribers", connections: 10_000, scopes: 1000, messages: b.scaled(400_000), rate: 2e6})
}

// runLimit bounds a run: a server that is far from its goal is not waited for, but sent less.
const runLimit = 10 * time.Second

// deliver measures the gateway and then the peers, each with the same clients.
func (b *bench) deliver(ctx context.Context, c *crowd) ([]result, error) {
	own, err := b.deliverChanges(ctx, c)
	if err != nil {
		return nil, err
	}
	results := c.results(own)
	for _, name := range []string{peer.Writer, peer.Centrifuge, peerNode} {
		line := result{number: c.number, what: "  " + peerTitle(name), figure: notMeasured}
		runs, err := b.deliverPublications(ctx, c, name)
		if err != nil {
			line.note = firstLine(err)
		} else {
			rate, micros := medianDelivery(runs)
			line.figure = thousands(rate) + "/s"
			line.note = fmt.Sprintf("CPU %.2f us/delivery, %s messages", micros, thousands(float64(messagesOf(runs, c))))
		}
		results = append(results, line)
	}
	return results, nil
}

func messagesOf(runs []delivery, c *crowd) int {
	return runs[0].deliveries * c.scopes / c.connections
}

func medianDelivery(runs []delivery) (rate, micros float64) {
	var rates, costs []float64
	for _, r := range runs {
		rates, costs = append(rates, r.rate()), append(costs, perUnit(r.cpu, r.deliveries))
	}
	return median(rates), median(costs)
}

// deliverChanges inserts rows in one statement, again and again, and waits until all clients have all.
func (b *bench) deliverChanges(ctx context.Context, c *crowd) ([]delivery, error) {
	stage, err := b.newStage(ctx, "fanout", messagesByConversation, []string{schema}, "GODEBUG=gctrace=1")
	if err != nil {
		return nil, err
	}
	defer stage.close(ctx)
	db, g, swarm := stage.db, stage.gateway, stage.swarm
	order := newOrderCheck(c.scopes)
	if err := c.subscribe(ctx, g, swarm, order); err != nil {
		return nil, err
	}
	run := func(messages int) (delivery, error) {
		d, err := c.insert(ctx, db, g, swarm, messages)
		if err != nil {
			err = fmt.Errorf("%w; %s", err, g.log.lastLines())
		}
		return d, errors.Join(err, order.verdict())
	}
	messages, err := c.affordable(run)
	if err != nil {
		return nil, err
	}
	before, mark := g.written(ctx), g.log.mark()
	runs, err := b.repeat(c.what, messages, run)
	if err != nil {
		return nil, err
	}
	c.written = g.written(ctx).since(before)
	c.collecting = collectorTime(g.log.since(mark))
	for _, r := range runs {
		c.working += r.cpu
	}
	c.size = float64(swarm.Bytes()) / float64(swarm.Count(load.Change, load.Subscribed))
	return runs, evenly(swarm, load.Change)
}

func (c *crowd) subscribe(ctx context.Context, g *gateway, swarm *load.Swarm, order *orderCheck) error {
	watch := swarm.Watch(c.connections, load.Subscribed)
	err := swarm.Dial(ctx, c.connections, load.Dialing{
		Server: g.clients, Looks: sampled, Look: order.look,
		Hello: func(conn int) []string { return []string{subscribeTo(conn % c.scopes)} },
	})
	if err == nil {
		err = watch.Wait(ctx, swarm)
	}
	if err != nil {
		return fmt.Errorf("subscribe %d clients: %w", c.connections, err)
	}
	return nil
}

// filler makes frames of about 300 bytes.
const filler = 75

func (c *crowd) insert(ctx context.Context, db *database, g *gateway, swarm *load.Swarm, messages int) (delivery, error) {
	return deliveredBy(ctx, g.pid(), swarm, []load.Kind{load.Change}, messages/c.scopes*c.connections, func(ctx context.Context) error {
		_, err := db.Exec(ctx, `insert into message (conversation_id, author_id, body) select n % $1, n % 300, $2 from generate_series(0, $3::int - 1) n`,
			c.scopes, strings.Repeat("x", filler), messages)
		return err
	})
}

// affordable warms the server up and finds how many messages fit into a run.
func (c *crowd) affordable(run func(messages int) (delivery, error)) (int, error) {
	probe := max(c.messages/20/c.scopes, 1) * c.scopes
	took, err := run(probe)
	if err != nil {
		return 0, fmt.Errorf("warm up: %w", err)
	}
	all := time.Duration(float64(took.elapsed) * float64(c.messages) / float64(probe))
	if all <= runLimit {
		return c.messages, nil
	}
	return max(int(float64(c.messages)*runLimit.Seconds()/all.Seconds())/c.scopes, 1) * c.scopes, nil
}

// repeat runs as often as is asked for, with a pause in which what is left of the last run ends.
func (b *bench) repeat(what string, messages int, run func(messages int) (delivery, error)) ([]delivery, error) {
	var runs []delivery
	for range b.runs {
		time.Sleep(time.Second)
		d, err := run(messages)
		if err != nil {
			return nil, err
		}
		b.note("%s: %s messages, %s/s, %.2f us/delivery, %s behind the statement", what, thousands(float64(messages)),
			thousands(d.rate()), perUnit(d.cpu, d.deliveries), d.behind.Round(time.Millisecond))
		runs = append(runs, d)
	}
	return runs, nil
}
