package fanout

import (
	"math"
	"slices"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// A client of the extended protocol gets one frame for all that a commit does to its subscriptions, and a cursor is about
// all of them. So while one of its subscriptions is on hold, everything waits for the answer, in order. With a no, what is
// of that subscription is taken out.

// kept is something that waits: a frame, or what a transaction does to the client.
type kept struct {
	about *subscription // of which the frame is; nil where it is of none
	frame []byte
	// parts are those of a transaction, of which no frame is made yet; nil for a frame.
	parts       []*part
	transaction protocol.Transaction
	bytes       int
	number      uint64
}

// keep adds to what waits. It returns false where the client has to go.
func (h *Hub) keep(c *Client, k kept) bool {
	if !h.roomToKeep(c, k.bytes) {
		return false
	}
	k.number = c.numbered
	c.numbered++
	c.kept = append(c.kept, k)
	c.held += k.bytes
	return true
}

// keepTransaction adds the client's parts of the transaction at hand.
func (h *Hub) keepTransaction(c *Client, t protocol.Transaction) {
	k := kept{parts: slices.Clone(c.parts), transaction: t}
	for _, p := range k.parts {
		p.kept = true
		k.bytes += len(p.events)
	}
	h.keep(c, k)
}

// forgetKept takes out what is of a subscription that ends.
func (c *Client) forgetKept(s *subscription) {
	c.kept = slices.DeleteFunc(c.kept, func(k kept) bool {
		if k.about == s {
			c.held -= k.bytes
		}
		return k.about == s
	})
	for i := range c.kept {
		k := &c.kept[i]
		k.parts = slices.DeleteFunc(k.parts, func(p *part) bool { return p.group.topic == s.group.topic })
	}
}

// pushKept lets go of what waits for no answer any more. A transaction of which nothing is left is not told of, unless a part
// of it was: then the client has to learn that it is over.
func (h *Hub) pushKept(c *Client) {
	if len(c.kept) == 0 {
		return
	}
	until, split := c.answeredUpTo(), false
	for len(c.kept) > 0 && c.kept[0].number < until {
		k := c.kept[0]
		c.kept[0] = kept{}
		c.kept = c.kept[1:]
		c.held -= k.bytes
		frame := k.frame
		if frame == nil {
			if frame = h.transactionFrame(c, k.parts, k.transaction); frame == nil && split && !k.transaction.Partial {
				frame = h.encoder.wire(protocol.AppendTransaction(nil, k.transaction), c.dialect)
			}
			if frame == nil {
				continue
			}
			split = k.transaction.Partial
			h.frames++
		}
		h.queueUp(c, frame)
	}
}

// answeredUpTo is the number of what waits for an answer first.
func (c *Client) answeredUpTo() uint64 {
	until := uint64(math.MaxUint64)
	if c.holds > 0 {
		for _, s := range c.subs {
			if held := c.hub.held[s]; held != nil {
				until = min(until, held.from)
			}
		}
	}
	return until
}
