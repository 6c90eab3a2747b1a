package fanout

import (
	"slices"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// What makes views begin anew: a stream that does not go on where it was, and changes whose effect on a view is not known.

// Start implements cdc.Sink.
func (h *Hub) Start(start cdc.Start) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	epoch := protocol.NewEpochID(start.Epoch)
	fresh := !h.started || epoch != h.epoch
	if fresh || start.From > h.position {
		if !fresh { // nobody was to be here meanwhile: see sendAway
			h.resetAll(protocol.ResetRestart)
		}
		h.log.begin(start.From)
		h.noteNeeded()
		h.position, h.cursorText = start.From, ""
		h.openReached()
	}
	h.epoch, h.started, h.cursorText = epoch, true, ""
	if fresh {
		for c := range h.clients {
			if c.extended {
				h.say(c, h.welcome())
			}
		}
	}
	h.distrust()
}

// distrust begins views anew that may show what a server that crashed has lost: a snapshot shows commits before they are
// written to disk, the stream does not.
func (h *Hub) distrust() {
	h.distrustReadings()
	for _, ch := range h.registry.byName {
		for _, s := range ch.active() {
			if s.seen != nil {
				h.begin(s)
				s.again = true
			}
		}
	}
}

// Reset implements cdc.Sink. Every view has a gap that nothing can fill: it has to begin anew, and elsewhere where no
// changes will follow.
func (h *Hub) Reset(reason cdc.ResetReason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	if reason == cdc.ResetStandby {
		h.sendAway()
		return
	}
	h.log.begin(cdc.NeedsNothing) // until the next Start
	h.position, h.cursorText = 0, ""
	h.resetAll(protocol.ResetReason(reason))
}

func (h *Hub) resetAll(reason protocol.ResetReason) {
	h.unseen.clear()
	for _, ch := range h.registry.lookups {
		ch.lookup.Forget()
	}
	for _, ch := range h.registry.guarded { // rights may have been taken away in the gap
		ch.guard.revision++
		ch.guard.Forget()
		h.hold(ch, Concern{})
	}
	h.distrustReadings()
	for _, ch := range h.registry.byName {
		h.beginAnew(ch, reason)
	}
}

// sendAway ends the connections of everyone who subscribed to anything.
func (h *Hub) sendAway() {
	for c := range h.clients {
		if len(c.subs) > 0 {
			h.dismiss(c, protocol.CloseServiceRestart)
		}
	}
}

// beginAnew replaces the channel's views, which are no longer true, by fresh snapshots. Where there are none, the extended
// protocol has a frame that says so; the base protocol has none, so the connections end.
func (h *Hub) beginAnew(ch *channel, reason protocol.ResetReason) {
	for _, s := range ch.active() {
		h.beginOneAnew(s, reason)
	}
}

// beginAnewOf is beginAnew for one topic.
func (h *Hub) beginAnewOf(t *topic, reason protocol.ResetReason) {
	for g := range t.all() {
		for _, s := range slices.Clone(g.subs) {
			h.beginOneAnew(s, reason)
		}
	}
}

func (h *Hub) beginOneAnew(s *subscription, reason protocol.ResetReason) {
	ch := s.group.channel()
	if s.group.extended {
		h.tellOf(s, protocol.AppendReset(nil, ch.Name, s.group.scope(), reason))
	}
	switch {
	case ch.Snapshot != nil:
		h.begin(s)
		s.again = true
	case !s.group.extended:
		h.release(s.group)
		s.client.queue.close(protocol.CloseServiceRestart)
	}
}

// whyUnrouted is why the views of a change's channel begin anew.
func whyUnrouted(c *cdc.Change) protocol.ResetReason {
	switch c.Op {
	case cdc.Truncate:
		return protocol.ResetTruncate
	case cdc.Unreadable:
		return protocol.ResetUnreadable
	}
	return protocol.ResetSchema
}
