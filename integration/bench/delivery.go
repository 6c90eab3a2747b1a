package main

import (
	"context"
	"fmt"
	"time"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

// delivery is one run of a crowd.
type delivery struct {
	spent
	deliveries int
	// behind is the time from the end of the statement that wrote the rows to the last delivery.
	behind time.Duration
}

func (d delivery) rate() float64 { return float64(d.deliveries) / d.elapsed.Seconds() }

// deliveredBy sends and waits until the clients have what comes of it.
func deliveredBy(ctx context.Context, server int, swarm *load.Swarm, of []load.Kind, deliveries int, send func(context.Context) error) (delivery, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*runLimit)
	defer cancel()
	watch := swarm.Watch(deliveries, of...)
	meter, err := startMeter(server)
	if err != nil {
		return delivery{}, err
	}
	if err := send(ctx); err != nil {
		return delivery{}, fmt.Errorf("send messages: %w", err)
	}
	sent := time.Now()
	if err := watch.Wait(ctx, swarm); err != nil {
		return delivery{}, err
	}
	used, err := meter.stop()
	if err != nil {
		return delivery{}, err
	}
	used.elapsed = watch.Last.Sub(watch.First)
	return delivery{used, deliveries, watch.Last.Sub(sent)}, nil
}

// evenly holds what each connection has had against what it had to have, where all are to have the same.
func evenly(swarm *load.Swarm, of load.Kind) error {
	each := swarm.PerConnection(of)
	want := int(swarm.Count(of)) / len(each)
	for conn, n := range each {
		if n != want {
			return fmt.Errorf("connection %d was sent %d messages of %d", conn, n, want)
		}
	}
	return nil
}
