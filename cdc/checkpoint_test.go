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
	tracker := &Tracker{}
	tracker.Received(&Transaction{Commit: 10, End: 20})
	if got := tracker.End(); got != 20 {
		t.Errorf("what was received ends at %d", got)
	}
	for commit, want := range map[LSN]bool{9: true, 10: true, 11: false, 20: false} {
		if got := tracker.Replayed(commit); got != want {
			t.Errorf("after the commit at 10 that ends at 20, the one at %d is a replay: %t, want %t", commit, got, want)
		}
	}
}

// deliver moves the tracker behind one transaction.
func deliver(t *Tracker, commit, end LSN) {
	tx := &Transaction{Commit: commit, End: end}
	t.Received(tx)
	t.Delivered(tx)
}

func TestP04NothingIsAcknowledgedThatIsNotNoted(t *testing.T) {
	tracker := &Tracker{}
	tracker.Resume(Checkpoint{Epoch: "a", Released: 50}, 0)
	tracker.Idle(50)
	deliver(tracker, 100, 110)
	if got := tracker.Ack(); got != 50 {
		t.Errorf("acknowledged %d before it was noted", got)
	}
	at, due := tracker.Due()
	if want := (Checkpoint{Epoch: "a", Delivered: Position{100, 110}, Reached: 110, Released: 110}); !due || at != want {
		t.Fatalf("due %t: %+v, want %+v", due, at, want)
	}
	tracker.Saved(at)
	if got := tracker.Ack(); got != 110 {
		t.Errorf("acknowledged %d, want all that is noted", got)
	}
	// What the checkpoint itself has written to the log is not worth another one.
	tracker.Idle(110 + worthNoting - 1)
	if at, due := tracker.Due(); due {
		t.Errorf("%+v is due, and would lead to the next one", at)
	}
	tracker.Idle(110 + worthNoting)
	if _, due := tracker.Due(); !due {
		t.Error("an idle server would keep its log for ever")
	}
}

func TestReplayAfterARestartTakesNoCheckpointBack(t *testing.T) {
	tracker := &Tracker{}
	noted := Checkpoint{Epoch: "a", Delivered: Position{300, 310}, Reached: 400, Released: 50}
	tracker.Resume(noted, 0)
	tracker.Idle(40)
	deliver(tracker, 100, 110)
	if at, due := tracker.Due(); due || at.Delivered != noted.Delivered || at.Reached != noted.Reached {
		t.Errorf("due %t: %+v after %+v", due, at, noted)
	}
	deliver(tracker, 300, 310)
	deliver(tracker, 500, 510)
	if at, due := tracker.Due(); !due || at.Delivered.Commit != 500 || at.Reached != 510 {
		t.Errorf("due %t: %+v", due, at)
	}
}

func TestCheckpointOfAForgottenLogIsPassedOver(t *testing.T) {
	tracker := &Tracker{}
	tracker.Resume(Checkpoint{Epoch: "a", Released: 50}, 0)
	deliver(tracker, 1000, 1010)
	at, _ := tracker.Due()
	tracker.Forget() // while it is being saved
	if _, due := tracker.Due(); due {
		t.Error("a checkpoint is due of no log")
	}
	tracker.Resume(Checkpoint{Epoch: "b", Released: 20}, 0)
	tracker.Saved(at)
	tracker.Unsaved(at)
	deliver(tracker, 100, 110)
	if got := tracker.Ack(); got != 20 {
		t.Errorf("acknowledged %d by the checkpoint of another log", got)
	}
}

func TestSinkHoldsTheLogUnlessTheSlotWouldBeLost(t *testing.T) {
	tracker := &Tracker{}
	needed := LSN(30)
	tracker.Hold(func() LSN { return needed })
	deliver(tracker, 100, 110)
	for _, c := range []struct {
		letGo  bool
		needed LSN
		want   LSN
	}{
		{false, 30, 30}, {true, 30, 110}, {false, 30, 110}, // what is released is gone
	} {
		tracker.LetGo(c.letGo)
		if needed = c.needed; tracker.Ack() != c.want {
			t.Errorf("let go %t, needed from %d on: acknowledged %d, want %d", c.letGo, c.needed, tracker.Ack(), c.want)
		}
	}
}

// A sink that has not yet heard where its stream begins may need all, or nothing. The slot stays where it is.
func TestAcknowledgementNeverGoesBehindTheSlot(t *testing.T) {
	tracker := &Tracker{}
	tracker.Hold(func() LSN { return 0 })
	tracker.Resume(Checkpoint{Epoch: "a", Released: 80}, 60)
	if got := tracker.Ack(); got != 60 {
		t.Errorf("acknowledged %d, and the slot stands at 60", got)
	}
	tracker.Hold(func() LSN { return NeedsNothing })
	tracker.Idle(500)
	if got := tracker.Ack(); got != 80 {
		t.Errorf("acknowledged %d, and noted is 80", got)
	}
}

func TestP55CheckpointThatCannotBeSavedHoldsABoundedLog(t *testing.T) {
	for end, want := range map[LSN]LSN{50 + maxUnnoted: 50, 51 + maxUnnoted: 51 + maxUnnoted} {
		tracker := &Tracker{}
		tracker.Resume(Checkpoint{Epoch: "a", Released: 50}, 0)
		tracker.Idle(end)
		at, _ := tracker.Due()
		tracker.Unsaved(at)
		if got := tracker.Ack(); got != want {
			t.Errorf("acknowledged %d without a checkpoint, want %d", got, want)
		}
	}
}
