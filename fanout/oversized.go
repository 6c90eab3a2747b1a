package fanout

import (
	"errors"
	"slices"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// A change may be far larger than what may wait for a client. Written into frames it would take its size several times over, for
// clients that it would end anyway. So it is not: the views that it concerns start over, and no others.

var errOversized = errors.New("it is longer than queueBytes, and than 16 MiB")

// oversized tells whether the change is too large to be written into frames. What the log holds for clients that come back
// never is.
func (d *delta) oversized() bool {
	return len(d.change.Before)+len(d.change.After) > max(d.hub.queueBytes, maxLogged)
}

// overflow lets the views of a topic start over.
func (d *delta) overflow(t *topic) {
	for g := range t.all() {
		for _, s := range slices.Clone(g.subs) {
			d.overflowOne(s)
		}
	}
}

func (d *delta) overflowOne(s *subscription) {
	if d.hidden(s) {
		return
	}
	ch := d.binding.channel
	ch.overflows.note(errOversized)
	if !slices.Contains(d.hub.overflowed, ch) {
		d.hub.overflowed = append(d.hub.overflowed, ch)
	}
	if a := s.group.active; a != nil && a.part != nil { // what it is told of the transaction begins here
		a.part.events = a.part.events[:0]
	}
	if s.part != nil {
		s.part.events = s.part.events[:0]
	}
	d.hub.beginOneAnew(s, protocol.ResetUnreadable)
}

// bigBuffer is the size from which on a buffer is made as large as it has to be, and is not kept: to grow step by step would
// take twice the memory.
const bigBuffer = 1 << 20

// room returns the buffer, emptied, with room for about so many bytes where that is much.
func room(buffer []byte, n int) []byte {
	const around = 128 << 10 // names, quotes and commas
	if n > bigBuffer && cap(buffer) < n+around {
		return make([]byte, 0, n+n/64+around)
	}
	return buffer[:0]
}

// trim lets go of what a large change took.
func (e *encoder) trim() {
	for _, buffer := range []*[]byte{
		&e.key, &e.row, &e.changed, &e.before, &e.unchanged, &e.scope, &e.frame,
		&e.events.insert, &e.events.update, &e.events.delete, &e.extended.insert, &e.extended.update, &e.extended.delete,
	} {
		if cap(*buffer) > bigBuffer {
			*buffer = nil
		}
	}
}
