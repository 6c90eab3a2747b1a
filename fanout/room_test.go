package fanout_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// A client that reads gets every snapshot that it asks for, however many of the largest size at once: its queue stays
// within its bound, and reading what then does not fit is not done over and over.
func TestW05SnapshotsWaitForRoomInTheQueue(t *testing.T) {
	for _, extended := range []bool{false, true} {
		for _, atOnce := range []bool{false, true} {
			t.Run(fmt.Sprintf("extended %t, at once %t", extended, atOnce), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { snapshotsWaitForRoom(t, extended, atOnce) })
			})
		}
	}
}

func snapshotsWaitForRoom(t *testing.T, extended, atOnce bool) {
	const wanted, limit = 40, 100_000
	p := newPrimary()
	for n := range wanted {
		p.show(p.commit(change{nil, message(fmt.Sprint(n), fmt.Sprint(n), strings.Repeat("x", limit/2-1000))}))
	}
	hub, err := fanout.NewHub(fanout.Options{QueueBytes: limit, Snapshots: p, Log: zap.NewNop(), Channels: []fanout.Channel{{
		Name: "message", Schema: "public", Table: "message", Snapshot: &fanout.SnapshotOptions{Limit: 100},
		Scopes: []fanout.Scope{{Column: "conversation_id", Type: fanout.Int8, TypeOID: int8OID}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); hub.Run(ctx) }()
	defer func() { cancel(); <-ended }()
	hub.Start(cdc.Start{Epoch: "1", From: p.end})
	var abilities []fanout.Ability
	if extended {
		abilities = append(abilities, fanout.Extended)
	}
	client, other := hub.Attach(nil, abilities...), hub.Attach(nil, abilities...)
	for n := range wanted {
		if err := client.Subscribe("message", conversation(fmt.Sprint(n))); err != nil {
			t.Fatal(err)
		}
		if !atOnce {
			synctest.Wait() // the answers to what is asked later come behind a snapshot
		}
	}
	time.Sleep(20 * time.Second) // of the bubble: it reads nothing for a while
	if q := hub.Stats().QueueBytes; q > limit {
		t.Errorf("%d bytes are queued, the limit is %d", q, limit)
	}
	if reads := p.reads; reads > 8 {
		t.Errorf("%d snapshots were read for a client that takes none", reads)
	}
	// Nobody waits for that one's room.
	if err := other.Subscribe("message", conversation("0")); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	if frames := queued(other); !strings.HasPrefix(string(frames[len(frames)-1]), `{"type":"snapshot"`) {
		t.Errorf("the other client got %.100s", frames[len(frames)-1])
	}
	// One that is given up while it waits needs no room any more.
	if err := client.Unsubscribe("message", conversation(fmt.Sprint(wanted-1))); err != nil {
		t.Fatal(err)
	}
	var frames [][]byte
	snapshots := 0
	for snapshots < wanted-1 {
		reading, stop := context.WithTimeout(t.Context(), time.Minute)
		frames, err = next(reading, client)
		stop()
		if err != nil {
			t.Fatalf("%v, after %d snapshots", err, snapshots)
		}
		for _, frame := range frames {
			if strings.HasPrefix(string(frame), `{"type":"snapshot"`) {
				snapshots++
			}
		}
	}
	if p.reads > 4*wanted {
		t.Errorf("%d snapshots were read for %d", p.reads, wanted)
	}
	// They are live.
	hub.Deliver(p.commit(change{nil, message("1000", "7", "x")}).tx)
	if got := queued(client); len(got) != 1 || !strings.Contains(string(got[0]), "1000") {
		t.Errorf("%d frames behind the snapshots", len(got))
	}
}

// Whoever comes when a reading has failed gets one of its own, though somebody is still there who waited for that.
func TestW05NobodyWaitsForAReadingThatHasFailed(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		first := s.view("7")
		first.expect("subscribed", "snapshot ")
		s.fail = context.DeadlineExceeded
		s.hub.Reset(cdc.ResetSlotLost)
		synctest.Wait() // the first has to go, and is slow to
		s.fail = nil
		s.view("7").expect("subscribed", "snapshot ")
	})
}

// Far positions, that many wait for, cost neither a transaction nor the next client anything.
func TestW07ManyWhoWaitForWhatIsFarAway(t *testing.T) {
	f := newFeed(t, 1<<20, conversations())
	for range 50 {
		c := f.hub.Attach(nil, fanout.Extended)
		for range 100 {
			c.WaitFor(1<<60, "far")
		}
		c.Detach()
	}
	near, far, many := f.hub.Attach(nil, fanout.Extended), f.hub.Attach(nil, fanout.Extended), f.hub.Attach(nil, fanout.Extended)
	for _, lsn := range []cdc.LSN{300, 50, 200} {
		near.WaitFor(lsn, lsn.String())
	}
	far.WaitFor(1<<60, "far")
	for range 101 {
		many.WaitFor(1<<60, "far")
	}
	answers := func(c *fanout.Client) (all []string) {
		frames, _ := taken(t, c)
		for _, frame := range frames {
			if _, lsn, ok := strings.Cut(frame, `"waitFor","lsn":"`); ok {
				all = append(all, lsn[:strings.IndexByte(lsn, '"')])
			}
		}
		return all
	}
	f.hub.Passed(200)
	if got := answers(near); !slices.Equal(got, []string{"0/32", "0/C8"}) {
		t.Errorf("answered %q", got)
	}
	f.hub.Passed(300)
	if got := answers(near); !slices.Equal(got, []string{"0/12C"}) {
		t.Errorf("answered %q", got)
	}
	if got := answers(far); len(got) != 0 {
		t.Errorf("answered %q", got)
	}
	if _, code := taken(t, many); code != protocol.CloseLimitExceeded {
		t.Errorf("closed with %d, want 4429", code)
	}
}
