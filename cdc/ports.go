package cdc

import "context"

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

// Delivery is what a Source hands on: a transaction, or word that some are missing from here on. Exactly one is set.
type Delivery struct {
	Transaction *Transaction
	Reset       ResetReason
}

// Source yields deliveries in commit order.
type Source interface {
	// Run puts deliveries into the handoff until ctx ends or it meets an error that no retry mends. When ctx ends it
	// waits a moment for the handoff to be emptied, acknowledges what was delivered, and returns nil.
	Run(ctx context.Context, handoff *Handoff) error
}

// Sink takes deliveries, always from one goroutine. It must not wait for clients: a sink that blocks holds back every
// client, and in the end the slot.
type Sink interface {
	Deliver(tx *Transaction)
	Reset(reason ResetReason)
}

// CheckpointStore keeps the delivered position where a restarted gateway finds it.
type CheckpointStore interface {
	Save(ctx context.Context, delivered Position) error
}

// Position is a place in the stream: behind one transaction.
type Position struct {
	Commit LSN // of the transaction's commit record
	End    LSN // behind it
}
