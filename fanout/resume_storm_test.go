package fanout_test

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
	"github.com/reactive-gw/reactive-gw/protocol/wire"
)

// After a lost network many come back at the same moment, all with an old cursor. Each gets all that it missed, and what
// commits meanwhile is delivered in between: it never waits for all of them.
func TestW04ResumeStorm(t *testing.T) {
	const clients, missed, each = 300, 600, 20
	hub, err := fanout.NewHub(fanout.Options{QueueBytes: 16 << 20, Log: zap.NewNop(), Channels: []fanout.Channel{conversations()},
		Resume: fanout.ResumeOptions{Window: time.Hour, MaxBytes: 256 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	f := &feed{t: t, hub: hub}
	hub.Start(cdc.Start{Epoch: "1", From: 1})
	live := hub.Attach(nil, fanout.Extended)
	subscribe(t, live, "message", in42)
	table, n := messages(), 0
	deliver := func() {
		var changes []cdc.Change
		for range each {
			n++
			changes = append(changes, inserted(table, row(n, 42, n, strings.Repeat("x", 100), nil)))
		}
		f.deliver(changes...)
	}
	for range missed {
		deliver()
	}
	if _, code := taken(t, live); code != 0 {
		t.Fatalf("closed with %d", code)
	}
	cursor := protocol.Cursor{Epoch: protocol.NewEpochID("1"), Position: 1}.String()
	scope := scopeOf(t, in42)
	var coming sync.WaitGroup
	back := make([]*fanout.Client, clients)
	started := time.Now()
	for i := range clients {
		back[i] = hub.Attach(nil, fanout.Extended)
		coming.Go(func() {
			if err := back[i].SubscribeSince("message", scope, cursor); err != nil {
				t.Error(err)
			}
		})
	}
	resumed, over := context.WithCancel(t.Context())
	go func() { coming.Wait(); over() }()
	var waits []time.Duration
	for resumed.Err() == nil {
		asked := time.Now()
		deliver()
		waits = append(waits, time.Since(asked))
		if _, code := taken(t, live); code != 0 {
			t.Fatalf("closed with %d", code)
		}
		time.Sleep(time.Millisecond)
	}
	took, longest := time.Since(started), slices.Max(waits)
	slices.Sort(waits)
	t.Logf("%d clients in %s, and %d transactions meanwhile: p50 %s, p99 %s, longest %s", clients, took, len(waits), waits[len(waits)/2], waits[len(waits)*99/100], longest)
	if len(waits) < 3 || longest > max(took/2, 2*time.Second) {
		t.Errorf("what is live waits for those that resume: %d transactions in %s, one waited %s", len(waits), took, longest)
	}
	shared := map[*byte]int{}
	for i, c := range back {
		pieces, _, err := c.Take(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, piece := range pieces {
			shared[&piece[0]]++
		}
		frames, err := wire.Frames(bytes.Join(pieces, nil))
		if err != nil {
			t.Fatal(err)
		}
		events := 0
		for _, frame := range frames {
			events += strings.Count(string(frame), `"afterInsert"`)
		}
		if events != n || !strings.Contains(string(frames[1]), `"resumed":true`) {
			t.Fatalf("client %d got %d of %d events, after %.200s", i, events, n, frames[1])
		}
	}
	// They missed the same, and what waits for all of them is there once.
	if len(shared) > 3*clients+missed+2*len(waits) {
		t.Errorf("%d pieces were made for %d clients and %d transactions", len(shared), clients, missed+len(waits))
	}
}
