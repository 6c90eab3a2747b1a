package fanout

import "github.com/reactive-gw/reactive-gw/protocol/wire"

// active is what a group has while something comes for it.
type active struct {
	sheet []byte
	batch *batch // nil unless the group is in Hub.batches
	part  *part  // what the transaction at hand does to all of the group, where that is the same
}

// activate makes the group active.
func (h *Hub) activate(g *group) *active {
	if g.active == nil {
		g.active = &active{}
		h.active = append(h.active, g)
	}
	return g.active
}

// settleGroups lets go of what groups have that fell silent. It is called now and then, between two transactions.
func (h *Hub) settleGroups() {
	still := h.active[:0]
	for _, g := range h.active {
		if g.active.batch != nil {
			g.active.sheet = nil
			still = append(still, g)
			continue
		}
		g.active = nil
	}
	clear(h.active[len(still):])
	h.active = still
}

// A group's frames are written onto a sheet, one behind the other, as long as they come fast. What lies so in memory is one
// piece for every queue that it goes through and one write for every client that lacks it, however many frames it is.

// sheetBytes is the size up to which sheets grow, each twice as large as the one before. The first one of a group is as
// large as its frame: most frames come alone, and a client that lags must hold up little that it does not lack.
const sheetBytes = 64 << 10

// write puts a frame onto the group's sheet, in its wire form, and returns it.
func (h *Hub) write(g *group, frame []byte) []byte {
	a, need := h.activate(g), wire.Size(len(frame))
	if cap(a.sheet)-len(a.sheet) < need {
		a.sheet = make([]byte, 0, max(need, min(2*cap(a.sheet), sheetBytes)))
	}
	at := len(a.sheet)
	a.sheet = h.encoder.appendWire(a.sheet, frame, g.deflated)
	return a.sheet[at:]
}
