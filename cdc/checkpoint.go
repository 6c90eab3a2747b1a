package cdc

import "sync"

// Tracker knows what was received, what was delivered, and so how far the log may be released. It may be used from any
// goroutine; the source calls Resume, Replayed, Received, Idle and Ack, the pipeline Delivered, Due, Saved and Unsaved.
//
// The acknowledgement moves by two rules. A delivered transaction releases the log up to its end. A keepalive releases
// the log up to the position that it names, but only while nothing received is waiting to be delivered and no
// transaction is open: the log between may be of other databases or unpublished tables, which nobody will ever see.
//
// It stays behind two bounds. One is where the sink still needs the log, unless LetGo says that the slot would be lost
// over it. The other is the checkpoint: what is acknowledged is noted there first, so that a slot which stands further on
// was moved by somebody else.
type Tracker struct {
	mu          sync.Mutex
	needed      func() LSN // nil: nothing is held back
	letGo       bool
	noted       *Checkpoint // the last one; nil: nobody keeps any
	overdue     LSN         // released without being noted
	acked       LSN         // what Ack has come to: servers before version 18 would let the slot go back
	received    Position
	delivered   Position
	reached     LSN
	outstanding int // handed on and not delivered; negative while a sink is ahead of the source's note
	stale       int // outstanding transactions of a log that was forgotten
}

const (
	// worthNoting is how much log must be to release for a checkpoint without a delivered transaction. It is far more than
	// a checkpoint writes to the log itself, lest one lead to the next.
	worthNoting = 1 << 20
	// maxUnnoted is how much log may wait for a checkpoint that cannot be saved.
	maxUnnoted = 64 << 20
)

// Resume says which log the positions to come are of, what is noted of it, and where the slot stands. Until then there is no
// checkpoint to save.
func (t *Tracker) Resume(c Checkpoint, from LSN) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.noted, t.acked = &c, from
	if t.outstanding == 0 {
		t.reached = max(t.reached, from)
	}
}

// Noted is the last checkpoint, the zero value where there is none.
func (t *Tracker) Noted() Checkpoint {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.noted == nil {
		return Checkpoint{}
	}
	return *t.noted
}

// Replayed tells whether a transaction that commits at the given position was received before. The comparison is with
// the last commit position, never with an end: one transaction's end may be the next one's commit position.
func (t *Tracker) Replayed(commit LSN) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return commit <= t.received.Commit
}

// End is where the last received transaction ends, 0 while there is none.
func (t *Tracker) End() LSN {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.received.End
}

// Received notes a transaction that the source has handed on; it may be delivered already. One that could not be handed
// on is not received: its server will send it again.
func (t *Tracker) Received(tx *Transaction) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.received = Position{Commit: tx.Commit, End: tx.End}
	t.outstanding++
}

// Delivered notes that the sink has taken a transaction.
func (t *Tracker) Delivered(tx *Transaction) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stale > 0 { // transactions are delivered in order: those of the forgotten log come first
		t.stale--
		return
	}
	t.outstanding--
	t.delivered = Position{Commit: tx.Commit, End: tx.End}
	t.reached = max(t.reached, tx.End)
}

// Idle notes a position that the server has reached with no transaction open.
func (t *Tracker) Idle(end LSN) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.outstanding == 0 {
		t.reached = max(t.reached, end)
	}
}

// Reached is the position up to which all that committed was delivered, 0 while there is none.
func (t *Tracker) Reached() LSN {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.reached
}

// Ack is the position up to which the log may be released, 0 while there is none. It never goes back within a log.
func (t *Tracker) Ack() LSN {
	t.mu.Lock()
	defer t.mu.Unlock()
	ack := t.releasable()
	if t.noted != nil {
		ack = min(ack, max(t.noted.Released, t.overdue))
	}
	t.acked = max(t.acked, ack)
	return t.acked
}

// releasable is what Ack comes to once it is noted.
func (t *Tracker) releasable() LSN {
	if t.needed == nil || t.letGo {
		return t.reached
	}
	return min(t.reached, t.needed())
}

// Hold makes Ack stay behind the position that needed returns. needed is called from any goroutine.
func (t *Tracker) Hold(needed func() LSN) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.needed = needed
}

// LetGo says whether the log is released although the sink needs it. What it costs is that a sink which is started anew
// knows less of the past; a slot that the server gave up would cost every client its view.
func (t *Tracker) LetGo(is bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.letGo = is
}

// Due returns the checkpoint to save, and whether it is worth it, which is when a transaction was delivered that the one before
// does not know, or when much log waits to be released.
func (t *Tracker) Due() (Checkpoint, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.noted == nil {
		return Checkpoint{}, false
	}
	// After a restart the server sends again what was noted before: a checkpoint never goes back.
	now := *t.noted
	if t.delivered.Commit > now.Delivered.Commit {
		now.Delivered = t.delivered
	}
	now.Reached, now.Released = max(now.Reached, t.reached), max(now.Released, t.releasable())
	return now, now.Delivered != t.noted.Delivered || now.Released >= t.noted.Released+worthNoting
}

// Saved says that a checkpoint was saved: Ack goes up to its Released. One of another log is passed over.
func (t *Tracker) Saved(c Checkpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.noted != nil && t.noted.Epoch == c.Epoch {
		t.noted = &c
	}
}

// Unsaved says that a checkpoint could not be saved. The log waits for it, but not for ever: rather than fill the server's
// disk it is released, and a gateway that is started before the next checkpoint takes that for somebody else's doing.
func (t *Tracker) Unsaved(c Checkpoint) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.noted != nil && t.noted.Epoch == c.Epoch && c.Released > t.noted.Released+maxUnnoted {
		t.overdue = c.Released
	}
}

// Forget starts over: the positions were those of another log, and so are those of what is still to be delivered.
func (t *Tracker) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.received, t.delivered, t.reached = Position{}, Position{}, 0
	t.stale, t.outstanding = t.stale+t.outstanding, 0
	t.noted, t.overdue, t.acked = nil, 0, 0
}
