package cdc

import (
	"context"
	"sync"
)

// Handoff is the queue between a source and the pipeline, bounded in bytes, those on disk included. One goroutine puts, one takes. Putting never
// blocks, so that a source can go on answering its server while it waits for room.
type Handoff struct {
	limit  int
	direct func(Delivery) bool // see Direct

	mu     sync.Mutex
	items  []Delivery
	bytes  int
	busy   bool // the taker is working on what it took
	closed bool
	filled chan struct{}
	room   chan struct{}
}

// NewHandoff makes a handoff that is full at limit bytes. One delivery larger than that still passes, alone.
func NewHandoff(limit int) *Handoff {
	return &Handoff{limit: limit, filled: make(chan struct{}, 1), room: make(chan struct{}, 1)}
}

// Put adds d, or returns false when there is no room for its transaction: wait for Room and try again. What is no
// transaction always fits.
func (h *Handoff) Put(d Delivery) bool { return h.PutAll([]Delivery{d}) == 1 }

// PutAll is Put for several deliveries, which the taker gets together. It returns how many there was room for.
func (h *Handoff) PutAll(list []Delivery) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := 0
	for n < len(list) && h.put(&list[n]) {
		n++
	}
	if n > 0 {
		signal(h.filled)
	}
	return n
}

func (h *Handoff) put(d *Delivery) bool {
	size := d.size()
	if d.Transaction != nil && h.bytes > 0 && h.bytes+size > h.limit {
		return false
	}
	h.items = append(h.items, *d)
	h.bytes += size
	return true
}

// Direct has deliveries taken here and now, as far as the taker has nothing to do and can take them without waiting. It returns
// how many were; the rest has to be put. Only the goroutine that puts may call it. To wake another goroutine takes longer than
// all that is done with a lone transaction, or with some dozens that nobody looks at: 25 us on a small virtual machine.
func (h *Handoff) Direct(list ...Delivery) (taken int) {
	h.mu.Lock()
	idle := h.direct != nil && len(h.items) == 0 && !h.busy
	h.busy = h.busy || idle
	h.mu.Unlock()
	if !idle {
		return 0
	}
	for taken < len(list) && h.direct(list[taken]) {
		taken++
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.busy = false
	return taken
}

// Pass notes that the source has passed a position with nothing in between. It always fits: a position that was not taken
// yet gives way to the next one.
func (h *Handoff) Pass(position LSN) {
	if h.Direct(Delivery{Passed: position}) == 1 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if last := len(h.items) - 1; last >= 0 && h.items[last].Passed != 0 {
		h.items[last].Passed = position
		return
	}
	d := Delivery{Passed: position}
	h.items = append(h.items, d)
	h.bytes += d.size()
	signal(h.filled)
}

// Room yields after the taker made room or finished its work. It may yield once too often.
func (h *Handoff) Room() <-chan struct{} { return h.room }

// Take waits for deliveries and returns all there are, in order, reusing the slice of the call before. It returns false
// once the handoff is closed and empty.
func (h *Handoff) Take(reuse []Delivery) ([]Delivery, bool) {
	h.mu.Lock()
	h.busy = false
	signal(h.room)
	for len(h.items) == 0 {
		if h.closed {
			h.mu.Unlock()
			return nil, false
		}
		h.mu.Unlock()
		<-h.filled
		h.mu.Lock()
	}
	clear(reuse)
	taken := h.items
	h.items, h.bytes, h.busy = reuse[:0], 0, true
	signal(h.room)
	h.mu.Unlock()
	return taken, true
}

// Close lets Take return false when everything was taken.
func (h *Handoff) Close() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	signal(h.filled)
}

// Drain waits until all that was put is also done with, or ctx ends. Only the goroutine that puts may call it.
func (h *Handoff) Drain(ctx context.Context) error {
	for {
		h.mu.Lock()
		done := len(h.items) == 0 && !h.busy
		h.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-h.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Bytes is what waits in the handoff.
func (h *Handoff) Bytes() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bytes
}

func (d Delivery) size() int {
	if d.Transaction == nil {
		return transactionOverhead
	}
	return d.Transaction.Size() + int(d.Transaction.DiskSize())
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
