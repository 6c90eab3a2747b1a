package fanout

import (
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// Deliver implements cdc.Sink. A change costs what its subscribers cost: the index leads straight to them.
func (h *Hub) Deliver(tx *cdc.Transaction) {
	untrue := h.prepare(tx)
	h.mu.Lock()
	if tx.Len() <= fewChanges {
		h.sender.Hold()
		defer h.sender.Release()
	}
	defer h.mu.Unlock()
	h.deliver(tx, untrue)
}

// Try implements cdc.Sink.
func (h *Hub) Try(d cdc.Delivery) bool {
	tx := d.Transaction
	switch {
	case tx == nil && d.Passed == 0, tx != nil && (tx.Len() > fewChanges || len(h.registry.lookups) > 0), !h.mu.TryLock():
		return false
	}
	h.sender.Hold()
	defer h.sender.Release()
	defer h.mu.Unlock()
	if tx != nil {
		h.deliver(tx, nil)
	} else {
		h.pass(d.Passed)
	}
	return true
}

const (
	// fewChanges is how many changes are so few that their delivery is a matter of a moment.
	fewChanges = 500
	// manyChanges is after how many of a larger transaction all that they have brought begins to be sent, so that it need not all
	// be kept until the end. Clients for which it is much are told before: see tellAfter. To tell the others sooner costs them
	// a write for each few frames, and all of it is there no earlier.
	manyChanges = 500_000
)

func (h *Hub) deliver(tx *cdc.Transaction, untrue []stale) {
	defer h.flush()
	defer h.encoder.trim()
	h.delivered = tx.Commit
	h.holdConcerned(tx)
	routed, served, matters := h.routeAll(tx, untrue)
	if matters {
		h.unseen.add(routed)
	}
	switch {
	case served && int64(tx.Size())+tx.DiskSize() > maxLogged:
		h.log.cut(tx, protocol.ResetLogExpired, h.channelsOf(tx)...)
	case served:
		h.log.add(tx, routed.cuts)
	default:
		h.log.pass(tx)
	}
	h.noteNeeded()
	h.sendParts(tx.End)
	h.reach(tx.End)
}

// routeAll routes every change, after the views that the transaction made untrue began anew. served tells whether a change
// is of a channel, matters whether one is of a channel with snapshots.
func (h *Hub) routeAll(tx *cdc.Transaction, untrue []stale) (routed unseenTransaction, served, matters bool) {
	routed.tx = tx
	var begun map[*channel]int // by how many frames in parts had been sent
	anew := func(ch *channel, reason protocol.ResetReason) {
		h.parts.void(ch) // what its views are told of the transaction begins here
		sent, again := begun[ch]
		if again && sent == h.parts.sent {
			return
		}
		if begun == nil {
			begun = map[*channel]int{}
		}
		begun[ch] = h.parts.sent
		if !again {
			routed.cuts = append(routed.cuts, cut{ch, reason})
		}
		h.beginAnew(ch, reason)
	}
	for _, s := range untrue {
		matters = matters || s.channel.Snapshot != nil
		routed.cuts = append(routed.cuts, cut{s.channel, protocol.ResetSchema})
		h.beginStale(s)
	}
	h.parts.tx = tx
	changes := 0
	defer func() { h.change = cdc.Change{} }() // or the last one would keep the transaction in memory
	for h.change = range tx.Changes() {
		bindings, replaced := h.bindings(tx, h.change.Table)
		for _, ch := range replaced {
			anew(ch, protocol.ResetSchema)
		}
		for _, b := range bindings {
			matters = matters || b.channel.Snapshot != nil
			if !h.route(tx, b, &h.change) {
				anew(b.channel, whyUnrouted(&h.change))
			}
		}
		served = served || len(bindings) > 0
		h.dropLost()
		changes++
		h.splitIfLarge(changes)
		if changes%manyChanges == 0 {
			h.flush()
		}
	}
	for _, ch := range h.overflowed { // no snapshot from before is of use
		routed.cuts = append(routed.cuts, cut{ch, protocol.ResetUnreadable})
	}
	h.overflowed = nil
	return routed, served, matters
}

// Passed implements cdc.Sink.
func (h *Hub) Passed(position cdc.LSN) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.pass(position)
}

func (h *Hub) pass(position cdc.LSN) {
	defer h.flush()
	h.reach(position)
}
