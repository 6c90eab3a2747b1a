package fanout

import (
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// Ingest delivers a transaction that did not come from the log, between two that did. It may be called from any goroutine.
//
// A snapshot cannot say whether it shows such a transaction. Whoever got a snapshot before gets it, and whoever waits for
// one that is being read gets it behind that, though the snapshot may show it already.
func (h *Hub) Ingest(tx *cdc.Transaction) cdc.IngestPosition {
	untrue := h.prepare(tx)
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	h.ingested++
	routed, _, _ := h.routeAll(tx, untrue)
	h.sendParts(h.position)
	for r := range h.running {
		if h.concerns(tx, r.topic.channel()) {
			r.follow(tx)
		}
	}
	for _, c := range routed.cuts {
		h.outdate(c.channel)
	}
	return cdc.IngestPosition{After: h.delivered, Number: h.ingested}
}

// Gap tells that changes of the channels may have been missed: their views begin anew, and nobody resumes them from before.
// It may be called from any goroutine.
func (h *Hub) Gap(channels ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	for ch := range h.named(channels) {
		h.gap(ch)
	}
}

func (h *Hub) gap(ch *channel) {
	h.outdate(ch)
	h.log.cutAt(h.position, protocol.ResetLogExpired, ch)
	h.beginAnew(ch, protocol.ResetLogExpired)
}

// outdate has the channel's snapshots that are being read now read again: they may be from before what made its views begin
// anew.
func (h *Hub) outdate(ch *channel) {
	for r := range h.running {
		if r.topic.channel() == ch {
			r.stale = true
		}
	}
}

func (h *Hub) concerns(tx *cdc.Transaction, ch *channel) bool {
	for _, t := range tx.Tables() {
		for _, b := range h.bindingsThen(t) {
			if b.channel == ch {
				return true
			}
		}
	}
	return false
}

// maxFollowing bounds what is kept for one reading, in bytes.
const maxFollowing = 1 << 20

// follow keeps an ingested transaction for those who wait for the reading. A reading that too much follows is read again:
// what was told before it began is in it.
func (r *reading) follow(tx *cdc.Transaction) {
	r.following = append(r.following, tx)
	if r.followingBytes += tx.Size(); r.followingBytes > maxFollowing {
		r.stale, r.following, r.followingBytes = true, nil, 0
	}
}
