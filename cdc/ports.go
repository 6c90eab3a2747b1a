package cdc

import (
	"context"
	"math"
)

// ResetReason says why continuity was lost.
type ResetReason string

// The reasons for a reset that a source can have.
const (
	// ResetSlotLost: the slot is gone, was invalidated, re-created or advanced by someone else.
	ResetSlotLost ResetReason = "slot_lost"
	// ResetTimeline: the server is another one, or was promoted or restored.
	ResetTimeline ResetReason = "timeline"
	// ResetPublication: for a stretch of the log there was no publication.
	ResetPublication ResetReason = "publication"
	// ResetStandby: another gateway has taken the slot. What follows goes to its clients and never comes here.
	ResetStandby ResetReason = "standby"
)

// Delivery is what a Source hands on: a transaction, word that some are missing from here on, that a stream begins, or how
// far it has come. Exactly one is set.
type Delivery struct {
	Transaction *Transaction
	Reset       ResetReason
	Start       *Start
	Passed      LSN
}

// Start says that a stream begins: every transaction that commits at From or behind it is delivered from here on, those
// that were delivered before left out. A Reset comes first where that leaves a gap.
type Start struct {
	// Epoch names a log whose positions can be compared with one another. It changes whenever that cannot be proven: with
	// another system identifier or timeline, or a slot that was made anew behind our back.
	Epoch string
	From  LSN
}

// Source yields deliveries in commit order.
type Source interface {
	// Run puts deliveries into the handoff until ctx ends or it meets an error that no retry mends. When ctx ends it
	// waits a moment for the handoff to be emptied, acknowledges what was delivered, and returns nil.
	Run(ctx context.Context, handoff *Handoff) error
}

// Sink takes deliveries, one at a time. It must not wait for clients: a sink that blocks holds back every client, and in the
// end the slot.
type Sink interface {
	Start(start Start)
	Deliver(tx *Transaction)
	// Passed tells that everything that committed before the position was delivered.
	Passed(position LSN)
	// Try takes a transaction or a position as the others do, where it has to wait for nothing and little is to do. Otherwise it
	// takes nothing and returns false.
	Try(d Delivery) bool
	Reset(reason ResetReason)
	// Needed is the position from which on the log has to be kept for a sink that is started anew. It may be called from
	// any goroutine, also while another method is at work, and never waits for one.
	Needed() LSN
}

// NeedsNothing is what Needed returns of a sink that has no use for the log behind what was delivered.
const NeedsNothing = LSN(math.MaxUint64)

// CheckpointStore keeps what a gateway has to know that is restarted, or takes over from another one.
type CheckpointStore interface {
	Save(ctx context.Context, c Checkpoint) error
}

// Checkpoint is how far a gateway has come.
type Checkpoint struct {
	Epoch     string   // of the log that the positions are of
	Delivered Position // the last transaction that was
	Reached   LSN      // all that committed before it was delivered
	Released  LSN      // nothing beyond it was ever acknowledged
}

// Position is a place in the stream: behind one transaction.
type Position struct {
	Commit LSN // of the transaction's commit record
	End    LSN // behind it
}
