package cdc

import (
	"testing"

	"pgregory.net/rapid"
)

// trackerModel is a server's log, what was handed on of it, and what was delivered. It calls the tracker in every order
// that a source and a pipeline may, and knows what must never be acknowledged.
type trackerModel struct {
	tracker Tracker
	end     LSN            // of the server's log
	noting  *Transaction   // handed on, and not yet noted as received
	waiting []*Transaction // handed on and not delivered, the oldest first
	stale   int            // how many of them, from the first on, are of a log that was forgotten
	last    Position       // delivered last
	acked   LSN
}

func (m *trackerModel) sourceIsFree(t *rapid.T) {
	if m.noting != nil {
		t.Skip("the source is busy")
	}
}

// HandOn puts a transaction. Its commit record may lie right at the end of the one before, or further on.
func (m *trackerModel) HandOn(t *rapid.T) {
	m.sourceIsFree(t)
	commit := m.end + LSN(rapid.IntRange(0, 2).Draw(t, "gap"))
	m.end = commit + LSN(rapid.IntRange(1, 3).Draw(t, "length"))
	tx := &Transaction{Commit: commit, End: m.end}
	if m.tracker.Replayed(commit) {
		t.Fatalf("the transaction at %s is taken for one sent again", commit)
	}
	m.noting, m.waiting = tx, append(m.waiting, tx)
}

// Note tells of the transaction that was handed on; it may be delivered by now.
func (m *trackerModel) Note(t *rapid.T) {
	if m.noting == nil {
		t.Skip("nothing to note")
	}
	m.tracker.Received(m.noting)
	if !m.tracker.Replayed(m.noting.Commit) {
		t.Fatalf("the transaction at %s would be taken again", m.noting.Commit)
	}
	m.noting = nil
}

// Deliver delivers the oldest.
func (m *trackerModel) Deliver(t *rapid.T) {
	if len(m.waiting) == 0 {
		t.Skip("nothing to deliver")
	}
	tx := m.waiting[0]
	m.waiting = m.waiting[1:]
	m.tracker.Delivered(tx)
	if m.stale > 0 {
		m.stale--
		return
	}
	m.last = Position{Commit: tx.Commit, End: tx.End}
}

// Keepalive names the end of the log. With nothing outstanding it has to be acknowledged, or an idle server would keep
// its log for ever.
func (m *trackerModel) Keepalive(t *rapid.T) {
	m.sourceIsFree(t)
	m.end += LSN(rapid.IntRange(0, 5).Draw(t, "unpublished"))
	m.tracker.Idle(m.end)
	if len(m.waiting) == m.stale && m.tracker.Ack() != m.end {
		t.Fatalf("acknowledged %s, want %s: everything is delivered", m.tracker.Ack(), m.end)
	}
}

// AnotherLog begins lower than the one before ended.
func (m *trackerModel) AnotherLog(t *rapid.T) {
	m.sourceIsFree(t)
	m.tracker.Forget()
	m.end, m.acked, m.last = LSN(rapid.IntRange(1, 10).Draw(t, "new log")), 0, Position{}
	m.stale = len(m.waiting)
}

// Check holds after every step.
func (m *trackerModel) Check(t *rapid.T) {
	ack := m.tracker.Ack()
	for _, tx := range m.waiting[m.stale:] {
		// A server skips what commits below the acknowledged position.
		if ack > tx.Commit {
			t.Fatalf("acknowledged %s, but the transaction at %s is not delivered", ack, tx.Commit)
		}
	}
	if ack < m.acked {
		t.Fatalf("acknowledged %s after %s", ack, m.acked)
	}
	if ack < m.last.End {
		t.Fatalf("acknowledged %s, but all up to %s is delivered", ack, m.last.End)
	}
	if got := m.tracker.Position(); got != m.last {
		t.Fatalf("position %v, want %v", got, m.last)
	}
	m.acked = ack
}

func TestTrackerNeverAcknowledgesAhead(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		model := &trackerModel{end: 1}
		t.Repeat(map[string]func(*rapid.T){
			"hand on": model.HandOn, "note": model.Note, "deliver": model.Deliver, "keepalive": model.Keepalive,
			"another log": model.AnotherLog, "": model.Check,
		})
	})
}

func TestP02EndOfOneIsCommitOfTheNext(t *testing.T) {
	var tracker Tracker
	tracker.Resume(Position{Commit: 10, End: 20})
	for commit, want := range map[LSN]bool{9: true, 10: true, 11: false, 20: false} {
		if got := tracker.Replayed(commit); got != want {
			t.Errorf("after the commit at 10 that ends at 20, the one at %d is a replay: %t, want %t", commit, got, want)
		}
	}
}

func TestResumeAcknowledgesNothing(t *testing.T) {
	var tracker Tracker
	tracker.Resume(Position{Commit: 10, End: 20})
	if got := tracker.Ack(); got != 0 {
		t.Errorf("acknowledged %s: the slot's own position is not known yet", got)
	}
	if got, want := tracker.Position(), (Position{Commit: 10, End: 20}); got != want {
		t.Errorf("position %v, want %v", got, want)
	}
}

func TestBeyondIsAboutTheEndOfWhatWasReceived(t *testing.T) {
	var tracker Tracker
	tracker.Resume(Position{Commit: 100, End: 108})
	for end, want := range map[LSN]bool{107: true, 108: false, 109: false} {
		if got := tracker.Beyond(end); got != want {
			t.Errorf("beyond %s: %v", end, got)
		}
	}
}
