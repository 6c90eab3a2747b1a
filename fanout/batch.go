package fanout

import (
	"context"
	"time"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// A channel with BatchEvery gathers the events of each group and sends them as one frame. What must not be overtaken
// sends them early: an event for a part of the group, a new or a restarted subscriber, the end of a connection.

// maxBatch is the size, in bytes of events, at which a batch does not wait for its time.
const maxBatch = 64 << 10

// batch is the events that a group has gathered.
type batch struct {
	events []byte // joined
	count  int
	due    time.Time
}

// gather adds an event to the group's batch. It returns false where the group cannot have one, and then the batch that
// there may be has gone out.
func (h *Hub) gather(g *group, event []byte) bool {
	every := g.channel().BatchEvery
	if every == 0 {
		return false
	}
	if g.fresh > 0 {
		h.release(g)
		return false
	}
	a := h.activate(g)
	if a.batch == nil {
		a.batch = &batch{}
		h.batches = append(h.batches, g)
	}
	b := a.batch
	if b.count == 0 {
		b.due = time.Now().Add(every)
		if h.batchDue.IsZero() || b.due.Before(h.batchDue) {
			h.batchDue = b.due
			signal(h.batchWake)
		}
	}
	b.events = protocol.AppendJoined(b.events, event)
	if b.count++; len(b.events) >= maxBatch {
		h.release(g)
	}
	return true
}

// release sends the group's batch, if there is one.
func (h *Hub) release(g *group) {
	if g.active == nil || g.active.batch == nil || g.active.batch.count == 0 {
		return
	}
	b := g.active.batch
	var frame []byte
	if b.count == 1 {
		frame = h.encoder.change(g, b.events)
	} else {
		frame = h.encoder.changes(g, b.events)
	}
	b.events, b.count = b.events[:0], 0
	frame = h.write(g, frame)
	for _, s := range g.subs {
		h.give(s, frame)
	}
}

// sendBatches sends each batch when its time has come, until ctx ends.
func (h *Hub) sendBatches(ctx context.Context) {
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-h.batchWake:
		case <-ctx.Done():
			return
		}
		if next := h.releaseDue(time.Now()); !next.IsZero() {
			timer.Reset(time.Until(next))
		}
	}
}

// releaseDue returns when the next batch is due, the zero time where there is none.
func (h *Hub) releaseDue(now time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	h.batchDue = time.Time{}
	waiting := h.batches[:0]
	for _, g := range h.batches {
		switch b := g.active.batch; {
		case b.count == 0: // released early
			g.active.batch = nil
		case !b.due.After(now):
			h.release(g)
			g.active.batch = nil
		default:
			waiting = append(waiting, g)
			if h.batchDue.IsZero() || b.due.Before(h.batchDue) {
				h.batchDue = b.due
			}
		}
	}
	clear(h.batches[len(waiting):])
	h.batches = waiting
	return h.batchDue
}
