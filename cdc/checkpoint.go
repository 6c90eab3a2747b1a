package cdc

import "sync"

// Tracker knows what was received, what was delivered, and so how far the log may be released. It may be used from any
// goroutine; the source calls Replayed, Received, Idle and Ack, the pipeline Delivered.
//
// The acknowledgement moves by two rules. A delivered transaction releases the log up to its end. A keepalive releases
// the log up to the position that it names, but only while nothing received is waiting to be delivered and no
// transaction is open: the log between may be of other databases or unpublished tables, which nobody will ever see.
// Both only up to where the sink still needs the log.
type Tracker struct {
	mu          sync.Mutex
	needed      func() LSN // nil: nothing is held back
	received    Position
	delivered   Position
	reached     LSN
	outstanding int // handed on and not delivered; negative while a sink is ahead of the source's note
	stale       int // outstanding transactions of a log that was forgotten
}

// Resume sets the position behind which a restarted gateway goes on.
func (t *Tracker) Resume(delivered Position) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.received, t.delivered = delivered, delivered
}

// Replayed tells whether a transaction that commits at the given position was received before. The comparison is with
// the last commit position, never with an end: one transaction's end may be the next one's commit position.
func (t *Tracker) Replayed(commit LSN) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return commit <= t.received.Commit
}

// Beyond tells whether a transaction was received that ends behind the given position.
func (t *Tracker) Beyond(end LSN) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.received.End > end
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

// Ack is the position up to which the log may be released, 0 while there is none.
func (t *Tracker) Ack() LSN {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.needed == nil {
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

// Position is the last delivered transaction's.
func (t *Tracker) Position() Position {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.delivered
}

// Forget starts over: the positions were those of another log, and so are those of what is still to be delivered.
func (t *Tracker) Forget() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.received, t.delivered, t.reached = Position{}, Position{}, 0
	t.stale, t.outstanding = t.stale+t.outstanding, 0
}
