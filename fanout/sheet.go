package fanout

import "github.com/reactive-gw/reactive-gw/protocol/wire"

// A group's frames are written onto a sheet, one behind the other, as long as they come fast. What lies so in memory is one
// piece for every queue that it goes through and one write for every client that lacks it, however many frames it is.

const (
	// sheetBytes is the size up to which sheets grow, each twice as large as the one before. The first one of a group is as
	// large as its frame: most frames come alone, and a client that lags must hold up little that it does not lack.
	sheetBytes = 64 << 10)

// write puts a frame onto the group's sheet, in its wire form, and returns it.
func (h *Hub) write(g *group, frame []byte) []byte {
	need := wire.Size(len(frame))
	if cap(g.sheet)-len(g.sheet) < need {
		if g.sheet == nil {
			h.sheets = append(h.sheets, g)
		}
		g.sheet = make([]byte, 0, max(need, min(2*cap(g.sheet), sheetBytes)))
	}
	at := len(g.sheet)
	g.sheet = h.encoder.appendWire(g.sheet, frame, g.deflated)
	return g.sheet[at:]
}

// newSheets ends all sheets. It is called now and then, for none must be kept for a group that has fallen silent.
func (h *Hub) newSheets() {
	for i, g := range h.sheets {
		g.sheet = nil
		h.sheets[i] = nil
	}
	h.sheets = h.sheets[:0]
}
