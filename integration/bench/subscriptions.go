package main

import (
	"context"
	"errors"
	"fmt"

	"golang.org/x/sync/errgroup"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

const (
	subscribers    = 1000
	manyEach       = 1000
	subscribedRows = 40_000 // of a run
)

// writeToSubscribers is a procedure that writes rows round robin for the subscribers, each of whom has as many conversations of
// its own, which come in no order.
const writeToSubscribers = `
create procedure write_to_subscribers(first int, messages int, conversations int) language plpgsql as $$
begin
	for i in 0 .. messages / 100 - 1 loop
		insert into message (conversation_id, author_id, body)
		select (n % 1000) * conversations + (n / 1000 * 37 + n) % conversations, 1, 'Are you there?'
		from generate_series(first + i * 100, first + i * 100 + 99) n;
		commit;
	end loop;
end $$`

// audience is a gateway with subscribers that have a number of conversations each.
type audience struct {
	*stage
	each    int
	written int
	costs   []float64
}

// measureSubscriptions has two gateways, with databases of their own, and lets one after the other deliver.
func measureSubscriptions(ctx context.Context, b *bench) ([]result, error) {
	few, err := b.newAudience(ctx)
	if err != nil {
		return nil, err
	}
	defer few.close(ctx)
	many, err := b.newAudience(ctx)
	if err != nil {
		return nil, err
	}
	defer many.close(ctx)
	heap, rss, err := many.grow(ctx, b.scaled(manyEach))
	if err != nil {
		return nil, err
	}
	rows := b.scaled(subscribedRows)
	for run := range b.runs + 1 {
		for _, a := range []*audience{few, many} {
			cost, err := a.run(ctx, rows)
			if err != nil {
				return nil, err
			}
			if run > 0 { // the first one warms up
				a.costs = append(a.costs, cost)
			}
		}
		if run > 0 {
			b.note("subscriptions: %.2f us an event among 1,000, %.2f us among %s", few.costs[run-1], many.costs[run-1], thousands(float64(subscribers*many.each)))
		}
	}
	if err := errors.Join(evenly(few.swarm, load.Change), evenly(many.swarm, load.Change)); err != nil {
		return nil, err
	}
	total := thousands(float64(subscribers * many.each))
	ratio := median(many.costs) / median(few.costs)
	return []result{
		{number: "8", what: "an event among " + total + " subscriptions: CPU", goal: "<= 1.2 x that among 1,000", figure: fmt.Sprintf("%.2f us", median(many.costs)),
			ratio: times(ratio), passed: atMost(ratio, 1.2), note: fmt.Sprintf("among 1,000: %.2f us", median(few.costs))},
		{number: "8", what: "memory of a subscription", goal: "<= 300 bytes of live heap", figure: fmt.Sprintf("%.0f bytes", heap),
			ratio: times(heap / 300), passed: atMost(heap, 300), note: fmt.Sprintf("RSS %.0f bytes", rss)},
	}, nil
}

// newAudience has one conversation for each.
func (b *bench) newAudience(ctx context.Context) (*audience, error) {
	stage, err := b.newStage(ctx, "subscriptions", "pprof: true\n"+messagesByConversation, []string{schema, writeToSubscribers})
	if err != nil {
		return nil, err
	}
	a := &audience{stage: stage, each: 1}
	if err := a.connect(ctx); err != nil {
		a.close(ctx)
		return nil, err
	}
	return a, nil
}

func (a *audience) connect(ctx context.Context) error {
	watch := a.swarm.Watch(subscribers, load.Subscribed)
	err := a.swarm.Dial(ctx, subscribers, load.Dialing{Server: a.gateway.clients, Hello: func(conn int) []string { return []string{subscribeTo(conn)} }})
	if err != nil {
		return err
	}
	return watch.Wait(ctx, a.swarm)
}

// grow gives each subscriber as many conversations, and returns what one costs in live heap and in RSS.
func (a *audience) grow(ctx context.Context, each int) (heap, rss float64, err error) {
	heapBefore, rssBefore, err := a.memory(ctx)
	if err != nil {
		return 0, 0, err
	}
	watch := a.swarm.Watch(subscribers*each, load.Subscribed)
	var g errgroup.Group
	g.SetLimit(8)
	for conn := range subscribers {
		g.Go(func() error {
			all := []string{unsubscribeFrom(conn)}
			for i := range each {
				all = append(all, subscribeTo(conn*each+i))
			}
			return a.swarm.Send(conn, all...)
		})
	}
	if err := g.Wait(); err != nil {
		return 0, 0, fmt.Errorf("subscribe to many: %w", err)
	}
	if err := watch.Wait(ctx, a.swarm); err != nil {
		return 0, 0, fmt.Errorf("subscribe to many: %w", err)
	}
	a.each = each
	heapAfter, rssAfter, err := a.memory(ctx)
	added := float64(subscribers * (each - 1))
	return (heapAfter - heapBefore) / added, (rssAfter - rssBefore) / added, err
}

// memory is what lives on the gateway's heap, behind a collection, and its RSS.
func (a *audience) memory(ctx context.Context) (heap, rss float64, err error) {
	for range 2 { // what the first one finds to be garbage may have finalizers
		if _, err := a.gateway.get(ctx, "/debug/pprof/heap?gc=1"); err != nil {
			return 0, 0, err
		}
	}
	if heap, err = a.gateway.metric(ctx, "go_memstats_heap_alloc_bytes"); err != nil {
		return 0, 0, err
	}
	rss, err = rssOf(a.gateway.pid())
	return heap, rss, err
}

// run writes rows for the subscribers and returns the gateway's processor time for one in microseconds.
func (a *audience) run(ctx context.Context, rows int) (float64, error) {
	d, err := deliveredBy(ctx, a.gateway.pid(), a.swarm, []load.Kind{load.Change}, rows, func(ctx context.Context) error {
		_, err := a.db.Exec(ctx, fmt.Sprintf("call write_to_subscribers(%d, %d, %d)", a.written, rows, a.each))
		return err
	})
	a.written += rows
	return perUnit(d.cpu, rows), err
}
