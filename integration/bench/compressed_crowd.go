package main

import (
	"context"
	"fmt"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

// compressedCrowd is a gateway with readers that take compressed messages where it sends them, all but the first.
type compressedCrowd struct {
	*stage
	compressed bool
	samples    samples
}

func (b *bench) newCompressedCrowd(ctx context.Context, compressed bool) (*compressedCrowd, error) {
	yaml := messagesByConversation
	if compressed {
		yaml = "compression: true\n" + yaml
	}
	stage, err := b.newStage(ctx, "compression", yaml, []string{schema, writeTexts})
	if err != nil {
		return nil, err
	}
	c := &compressedCrowd{stage: stage, compressed: compressed, samples: samples{plain: map[int]string{}, inflated: map[int]string{}}}
	if err := c.connect(ctx); err != nil {
		c.close(ctx)
		return nil, err
	}
	return c, nil
}

func (c *compressedCrowd) connect(ctx context.Context) error {
	// The answer to the subscription may be too small to be worth it.
	watch := c.swarm.Watch(compressedReaders, load.Subscribed, load.Compressed)
	err := c.swarm.Dial(ctx, compressedReaders, load.Dialing{
		Server: c.gateway.clients,
		Header: func(conn int) string {
			if conn == 0 {
				return "X-Reader: takes everything as it is"
			}
			return "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"
		},
		Looks: func(conn int) bool { return conn < 2 },
		Look:  c.samples.look,
		Hello: func(int) []string { return []string{subscribeTo(0)} },
	})
	if err == nil {
		err = watch.Wait(ctx, c.swarm)
	}
	if err != nil {
		return fmt.Errorf("subscribe readers: %w", err)
	}
	return nil
}

// delivered is how many messages have come, answers to subscriptions included.
func (c *compressedCrowd) delivered() uint64 {
	return c.swarm.Count(load.Change, load.Compressed, load.Subscribed)
}

// run returns the gateway's processor time for a delivery in microseconds.
func (c *compressedCrowd) run(ctx context.Context, rows int) (float64, error) {
	before := c.swarm.Count(load.Compressed)
	d, err := deliveredBy(ctx, c.gateway.pid(), c.swarm, []load.Kind{load.Change, load.Compressed}, rows*compressedReaders, c.db.callWriteTexts("message", rows))
	if err != nil {
		return 0, fmt.Errorf("deliver compressed: %w; %s", err, c.gateway.log.lastLines())
	}
	if got := int(c.swarm.Count(load.Compressed) - before); c.compressed && got != rows*(compressedReaders-1) {
		return 0, fmt.Errorf("%d of %d messages were compressed", got, rows*(compressedReaders-1))
	}
	return perUnit(d.cpu, d.deliveries), nil
}
