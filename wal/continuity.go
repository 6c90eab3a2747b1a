package wal

import (
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// An epoch names a stretch of one log, in which positions can be compared and the slot has missed nothing. It is drawn by
// lot and kept in the checkpoint, not counted up: a counter that comes back with a restored backup would give the name
// of one log to another.
//
// It goes on over restarts of the gateway and of the server, and when another gateway takes the slot over. It ends when
// that it goes on cannot be proven: the checkpoint is of another system or timeline, the log ends before what was read,
// or the slot stands where nobody has acknowledged to.
func newEpoch() string { return strings.ToLower(rand.Text()[:13]) }

// continuity is what is known when a stream begins, of before and of now.
type continuity struct {
	systemID string
	timeline int32
	logEnd   cdc.LSN // of the server
	slot     cdc.LSN // its confirmed position

	stored *StoredCheckpoint // nil: there is none

	// Of this process, if it has streamed before: the epoch of noted is empty otherwise.
	noted    cdc.Checkpoint
	reached  cdc.LSN
	received cdc.LSN // end of the last transaction
	// remade is what the gateway itself has just made the slot anew for.
	remade Reset
}

// judge tells whether the epoch of the stored checkpoint goes on, and whether clients have to start over, with the reason.
// Without clients there is a reason too: it is for the operator.
func (c *continuity) judge() (goesOn bool, reset Reset) {
	lost := func(reason cdc.ResetReason, format string, args ...any) (bool, Reset) {
		return false, Reset{Reason: reason, Detail: fmt.Sprintf(format, args...)}
	}
	s := c.stored
	switch {
	case s == nil && c.noted.Epoch == "":
		return false, Reset{} // the first start: nobody has any position yet
	case s == nil:
		return lost(cdc.ResetSlotLost, "the slot's checkpoint in mtbreactive.checkpoint is gone")
	case s.SystemID != c.systemID:
		return lost(cdc.ResetTimeline, "the server is another one: its system identifier is %s, not %s", c.systemID, s.SystemID)
	case s.Timeline != c.timeline:
		return lost(cdc.ResetTimeline, "the server was promoted or restored: it is on timeline %d, not %d", c.timeline, s.Timeline)
	case max(s.Reached, c.received) > c.logEnd:
		return lost(cdc.ResetTimeline, "an earlier copy of the server's files was brought back: its log ends at %s, before %s, which was read",
			c.logEnd, max(s.Reached, c.received))
	case c.noted.Epoch == s.Epoch && c.noted.Released > s.Released:
		return lost(cdc.ResetTimeline, "an earlier copy of the server's files was brought back, and with it the checkpoint of %s", s.SavedAt.Format(time.RFC3339))
	case c.remade.Reason != "":
		return false, c.remade
	case c.slot > s.Released:
		return lost(cdc.ResetSlotLost, "the slot was made anew or moved by somebody else: it stands at %s, beyond %s, the last position acknowledged",
			c.slot, s.Released)
	case c.noted.Epoch != "" && c.noted.Epoch != s.Epoch:
		reset := s.Reset // another gateway has found this, and begun the epoch
		if reset.Reason == "" {
			reset = Reset{Reason: cdc.ResetSlotLost, Detail: "another gateway has begun a new epoch"}
		}
		return true, reset
	case c.noted.Epoch != "" && c.slot > c.reached:
		return true, Reset{Reason: cdc.ResetSlotLost, Detail: fmt.Sprintf(
			"another gateway had the slot meanwhile, and has read it up to %s, beyond %s, where this one stopped", c.slot, c.reached)}
	}
	return true, Reset{}
}

// begin is the checkpoint of a new epoch.
func (c *continuity) begin(postmasterStart time.Time, reset Reset) *StoredCheckpoint {
	return &StoredCheckpoint{
		SystemID: c.systemID, Timeline: c.timeline, PostmasterStart: postmasterStart, Reset: reset,
		Checkpoint: cdc.Checkpoint{Epoch: newEpoch(), Reached: c.slot, Released: c.slot},
	}
}
