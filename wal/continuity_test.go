package wal

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reactive-gw/reactive-gw/cdc"
)

func TestContinuityIsProvenOrTheEpochEnds(t *testing.T) {
	const goesOn, ends = true, false
	noted := cdc.Checkpoint{Epoch: "e", Delivered: cdc.Position{Commit: 900, End: 910}, Reached: 1000, Released: 500}
	stored := func(change func(*StoredCheckpoint)) *StoredCheckpoint {
		s := &StoredCheckpoint{Checkpoint: noted, SystemID: "7001", Timeline: 1}
		if change != nil {
			change(s)
		}
		return s
	}
	// A gateway that was live reconnects; one that starts has nothing noted.
	for what, c := range map[string]struct {
		change func(*continuity)
		goesOn bool
		reason cdc.ResetReason
		detail string
	}{
		"a reconnect":                       {func(*continuity) {}, goesOn, "", ""},
		"a restart":                         {func(c *continuity) { c.noted, c.reached, c.received = cdc.Checkpoint{}, 0, 0 }, goesOn, "", ""},
		"a crash that set the slot back":    {func(c *continuity) { c.slot = 100 }, goesOn, "", ""},
		"the slot at the bound":             {func(c *continuity) { c.slot = 500 }, goesOn, "", ""},
		"a log that has grown":              {func(c *continuity) { c.logEnd = 5000 }, goesOn, "", ""},
		"the first start":                   {func(c *continuity) { c.stored, c.noted = nil, cdc.Checkpoint{} }, ends, "", ""},
		"the checkpoint was deleted":        {func(c *continuity) { c.stored = nil }, ends, cdc.ResetSlotLost, "checkpoint"},
		"another system":                    {func(c *continuity) { c.systemID = "7002" }, ends, cdc.ResetTimeline, "is 7002, not 7001"},
		"another timeline":                  {func(c *continuity) { c.timeline = 2 }, ends, cdc.ResetTimeline, "timeline 2, not 1"},
		"the log ends before what was read": {func(c *continuity) { c.logEnd = 999 }, ends, cdc.ResetTimeline, "files"},
		"it ends before what was received":  {func(c *continuity) { c.received = 1200 }, ends, cdc.ResetTimeline, "files"},
		"the checkpoint has gone back": {func(c *continuity) { c.stored = stored(func(s *StoredCheckpoint) { s.Released = 300 }) },
			ends, cdc.ResetTimeline, "files"},
		"the slot was made anew": {func(c *continuity) { c.remade = Reset{Reason: cdc.ResetPublication, Detail: "gap"} },
			ends, cdc.ResetPublication, "gap"},
		"the slot was moved": {func(c *continuity) { c.slot = 501 }, ends, cdc.ResetSlotLost, "moved by somebody else"},
		"the slot was moved while no gateway ran": {func(c *continuity) { c.noted, c.reached, c.received, c.slot = cdc.Checkpoint{}, 0, 0, 501 },
			ends, cdc.ResetSlotLost, "moved by somebody else"},
		"another gateway has released more": {func(c *continuity) {
			c.stored, c.slot = stored(func(s *StoredCheckpoint) { s.Released = 800 }), 700
		}, goesOn, "", ""},
		"another gateway has read what this one missed": {func(c *continuity) {
			c.stored, c.slot = stored(func(s *StoredCheckpoint) { s.Released = 1100 }), 1001
		}, goesOn, cdc.ResetSlotLost, "another gateway"},
		"another gateway has begun an epoch": {func(c *continuity) {
			c.stored = stored(func(s *StoredCheckpoint) { s.Epoch, s.Reset = "f", Reset{Reason: cdc.ResetPublication, Detail: "gap"} })
		}, goesOn, cdc.ResetPublication, "gap"},
		"another gateway has begun an epoch, for no reason": {func(c *continuity) {
			c.stored = stored(func(s *StoredCheckpoint) { s.Epoch = "f" })
		}, goesOn, cdc.ResetSlotLost, "another gateway"},
	} {
		now := &continuity{
			systemID: "7001", timeline: 1, logEnd: 1100, slot: 400, stored: stored(nil), noted: noted, reached: 1000, received: 910,
		}
		c.change(now)
		on, reset := now.judge()
		if on != c.goesOn || reset.Reason != c.reason || !strings.Contains(reset.Detail, c.detail) {
			t.Errorf("%s: goes on %t, reset %q (%s), want %t, %q", what, on, reset.Reason, reset.Detail, c.goesOn, c.reason)
		}
	}
}

func TestEpochsAreShortAndDiffer(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		e := newEpoch()
		if len(e) != 13 || seen[e] {
			t.Fatalf("epoch %q after %d others", e, len(seen))
		}
		seen[e] = true
	}
}

// The same code, in answer to a look-up of ours, is about something else.
func TestP58OnlyTheStreamSaysThatThereIsNoPublication(t *testing.T) {
	undefined, admin := &pgconn.PgError{Code: pgerrcode.UndefinedObject}, &pgconn.PgError{Code: pgerrcode.AdminShutdown}
	for what, c := range map[string]struct {
		err  error
		want bool
	}{
		"an error of the stream":      {fmt.Errorf("receive: %w", fromWalsender(undefined)), true},
		"a notice of the stream":      {fmt.Errorf("stream: %w", errUnpublished), true},
		"an error of a look-up":       {fmt.Errorf("describe relation: %w", undefined), false},
		"another error of the stream": {fmt.Errorf("receive: %w", fromWalsender(admin)), false},
		"a cut connection":            {fmt.Errorf("receive: %w", fromWalsender(io.ErrUnexpectedEOF)), false},
	} {
		if got := isPublicationGap(c.err); got != c.want {
			t.Errorf("%s: %t", what, got)
		}
	}
	if !hasCode(fromWalsender(admin), pgerrcode.AdminShutdown) || !Temporary(fromWalsender(admin)) {
		t.Error("the code of an error of the stream is lost")
	}
}
