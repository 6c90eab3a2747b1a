package cdc

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// sourceFunc is a Source.
type sourceFunc func(ctx context.Context, handoff *Handoff) error

func (f sourceFunc) Run(ctx context.Context, handoff *Handoff) error { return f(ctx, handoff) }

// journal is a Sink and a CheckpointStore that writes down what it is told, in order.
type journal struct {
	perDelivery time.Duration // that a delivery takes

	mu      sync.Mutex
	entries []string
	saved   []time.Time
	fail    error
	hang    bool // saving waits for the end of its context
}

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.entries = append(j.entries, fmt.Sprintf(format, args...))
}

func (j *journal) Deliver(tx *Transaction) {
	time.Sleep(j.perDelivery)
	j.note("deliver %d", tx.Commit)
}

// Try takes what takes no time.
func (j *journal) Try(d Delivery) bool {
	switch {
	case j.perDelivery > 0:
		return false
	case d.Transaction != nil:
		j.Deliver(d.Transaction)
	case d.Passed != 0:
		j.Passed(d.Passed)
	default:
		return false
	}
	return true
}

func (j *journal) Start(s Start)            { j.note("start %s %s", s.Epoch, s.From) }
func (j *journal) Passed(position LSN)      { j.note("passed %s", position) }
func (j *journal) Needed() LSN              { return NeedsNothing }
func (j *journal) Reset(reason ResetReason) { j.note("reset %s", reason) }

func (j *journal) Save(ctx context.Context, c Checkpoint) error {
	j.mu.Lock()
	fail, hang := j.fail, j.hang
	j.saved = append(j.saved, time.Now())
	j.mu.Unlock()
	if hang {
		<-ctx.Done()
		return ctx.Err()
	}
	if fail != nil {
		return fail
	}
	j.note("save %d-%d", c.Delivered.Commit, c.Delivered.End)
	return nil
}

func (j *journal) fails(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.fail = err
}

func (j *journal) expect(t *testing.T, want ...string) {
	t.Helper()
	j.mu.Lock()
	defer j.mu.Unlock()
	if !slices.Equal(j.entries, want) {
		t.Errorf("it went\n%q, want\n%q", j.entries, want)
	}
}

func pipeline(source sourceFunc, j *journal) *Pipeline {
	tracker := &Tracker{}
	tracker.Resume(Checkpoint{Epoch: "orders"}, 0)
	return &Pipeline{
		Source: source, Sink: j, Tracker: tracker, Checkpoints: j, CheckpointEvery: 5 * time.Second, HandoffBytes: 10 * small,
		OnCheckpointError: func(err error) { j.note("checkpoint error: %v", err) },
	}
}

// hand puts a transaction, as a source does it.
func hand(p *Pipeline, h *Handoff, commit LSN) {
	d := sized(commit, small)
	d.Transaction.End = commit + 1
	for !h.Put(d) {
		<-h.Room()
	}
	p.Tracker.Received(d.Transaction)
}

func TestShutdownDeliversWhatWasPutAndSavesTheLastPosition(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{perDelivery: time.Second}
		var p *Pipeline
		ctx, cancel := context.WithCancel(t.Context())
		p = pipeline(func(_ context.Context, h *Handoff) error {
			hand(p, h, 1)
			h.Put(Delivery{Reset: ResetTimeline})
			hand(p, h, 2)
			cancel()
			return nil
		}, j)
		if err := p.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
		j.expect(t, "deliver 1", "reset timeline", "deliver 2", "save 2-3")
		if got := p.Tracker.Ack(); got != 3 {
			t.Errorf("acknowledged %s, want the end of the last transaction", got)
		}
	})
}

func TestSourceErrorComesBackAfterTheDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{perDelivery: time.Second}
		broken := errors.New("broken")
		var p *Pipeline
		p = pipeline(func(_ context.Context, h *Handoff) error {
			hand(p, h, 1)
			return broken
		}, j)
		if err := p.Run(t.Context()); !errors.Is(err, broken) {
			t.Errorf("run: %v, want the source's error", err)
		}
		j.expect(t, "deliver 1", "save 1-2")
	})
}

func TestCheckpointsAreRareAndOnlyOfWhatMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		ctx, cancel := context.WithCancel(t.Context())
		var p *Pipeline
		p = pipeline(func(ctx context.Context, h *Handoff) error {
			for commit := LSN(10); commit < 110; commit += 10 { // ten transactions in ten seconds
				hand(p, h, commit)
				time.Sleep(time.Second)
			}
			<-ctx.Done()
			return nil
		}, j)
		began := time.Now()
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		j.mu.Lock()
		defer j.mu.Unlock()
		if len(j.saved) < 2 || len(j.saved) > 3 {
			t.Fatalf("%d checkpoints, want one for each 5 s in which the position moved", len(j.saved))
		}
		for i, at := range j.saved {
			if got := at.Sub(began); got%(5*time.Second) != 0 || got > 15*time.Second {
				t.Errorf("checkpoint %d after %s: want one at most every 5 s, and none when nothing moves", i, got)
			}
		}
		if last := j.entries[len(j.entries)-1]; last != "save 100-101" {
			t.Errorf("the last entry is %q", last)
		}
	})
}

func TestFailedCheckpointIsToldAndTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		j.fails(errors.New("disk full"))
		ctx, cancel := context.WithCancel(t.Context())
		var p *Pipeline
		p = pipeline(func(ctx context.Context, h *Handoff) error {
			hand(p, h, 1)
			time.Sleep(6 * time.Second)
			j.fails(nil)
			<-ctx.Done()
			return nil
		}, j)
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		j.expect(t, "deliver 1", "checkpoint error: disk full", "save 1-2")
	})
}

// A database that does not answer holds back neither the deliveries nor, for long, the shutdown.
func TestHangingCheckpointDoesNotHoldTheShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{hang: true}
		ctx, cancel := context.WithCancel(t.Context())
		var p *Pipeline
		p = pipeline(func(ctx context.Context, h *Handoff) error {
			hand(p, h, 1)
			time.Sleep(10 * time.Second)
			hand(p, h, 2)
			<-ctx.Done()
			return nil
		}, j)
		ended := make(chan error, 1)
		go func() { ended <- p.Run(ctx) }()
		time.Sleep(time.Minute)
		cancel()
		asked := time.Now()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(asked); took != lastCheckpoint {
			t.Errorf("the shutdown took %s, want %s", took, lastCheckpoint)
		}
		j.expect(t, "deliver 1", "deliver 2", "checkpoint error: context deadline exceeded")
	})
}

func TestPipelineWorksWithoutCheckpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := &journal{}
		var p *Pipeline
		p = pipeline(func(_ context.Context, h *Handoff) error {
			hand(p, h, 1)
			return nil
		}, j)
		p.Checkpoints = nil
		if err := p.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		j.expect(t, "deliver 1")
	})
}
