package main

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

// slotDrain is a gateway whose slot is not sent anything yet.
type slotDrain struct {
	gateway   *gateway
	swarm     *load.Swarm
	walsender int
	ended     bool
}

func (b *bench) prepareDrain(ctx context.Context, db *database, slot string) (*slotDrain, error) {
	g, err := b.startGateway(ctx, db, slot, messagesByConversation)
	if err != nil {
		return nil, err
	}
	d := &slotDrain{gateway: g}
	if d.swarm, err = load.NewSwarm(); err == nil {
		err = d.subscribe(ctx)
	}
	if err == nil {
		d.walsender, err = value[int](ctx, db, "select active_pid from pg_replication_slots where slot_name = $1", slot)
	}
	if err == nil {
		// The server sends nothing, and the gateway waits, as it would for a server that is slow.
		err = syscall.Kill(d.walsender, syscall.SIGSTOP)
	}
	if err != nil {
		d.close(ctx, db)
		return nil, fmt.Errorf("prepare to drain slot %s: %w", slot, err)
	}
	return d, nil
}

func (d *slotDrain) subscribe(ctx context.Context) error {
	watch := d.swarm.Watch(onlookers*onlookerSubscriptions+1, load.Subscribed)
	err := d.swarm.Dial(ctx, onlookers+1, load.Dialing{Server: d.gateway.clients, Hello: func(conn int) (hello []string) {
		if conn == onlookers {
			return []string{subscribeTo(lastConversation)}
		}
		for i := range onlookerSubscriptions {
			hello = append(hello, subscribeTo(lastConversation+1+conn*onlookerSubscriptions+i))
		}
		return hello
	}})
	if err != nil {
		return err
	}
	return watch.Wait(ctx, d.swarm)
}

// run lets the server send, until the client of the last row has it.
func (d *slotDrain) run(ctx context.Context) (spent, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	watch := d.swarm.Watch(1, load.Change)
	meter, err := startMeter(d.gateway.pid())
	if err != nil {
		return spent{}, err
	}
	if err := syscall.Kill(d.walsender, syscall.SIGCONT); err != nil {
		return spent{}, fmt.Errorf("let the walsender go on: %w", err)
	}
	if err := watch.Wait(ctx, d.swarm); err != nil {
		return spent{}, fmt.Errorf("drain slot %s: %w; %s", d.gateway.slot, err, d.gateway.log.lastLines())
	}
	used, err := meter.stop()
	if err != nil {
		return spent{}, err
	}
	used.elapsed = watch.Last.Sub(meter.began)
	if n := d.swarm.Count(load.Change); n != 1 {
		return spent{}, errors.New("the onlookers were sent rows that are not theirs")
	}
	return used, nil
}

func (d *slotDrain) close(ctx context.Context, db *database) {
	if d.ended {
		return
	}
	d.ended = true
	if d.walsender != 0 {
		_ = syscall.Kill(d.walsender, syscall.SIGCONT) // or it could not be ended
	}
	if d.swarm != nil {
		d.swarm.Close()
	}
	d.gateway.kill(ctx, db)
}
