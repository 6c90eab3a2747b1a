package fanout_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// ingested is a transaction that did not come from the log.
func ingested(changes ...cdc.Change) *cdc.Transaction {
	var a cdc.Assembler
	must(a.Begin(0, 0, time.Unix(0, 0)))
	for _, c := range changes {
		must(a.Add(c.Op, c.Table, c.Before, c.After))
	}
	tx, err := a.Commit(0, 0)
	must(err)
	return tx
}

func TestIngestedTransactionsHaveTheirPlaceAmongTheOthers(t *testing.T) {
	f := newFeed(t, 1<<20, conversations())
	c := f.hub.Attach(nil)
	subscribe(t, c, "message", `{"col":"conversation_id","value":7}`)
	first := f.hub.Ingest(ingested(inserted(messages(), row(1, 7, 1, "a", nil))))
	f.deliver(inserted(messages(), row(2, 7, 1, "b", nil)))
	second := f.hub.Ingest(ingested(inserted(messages(), row(3, 7, 1, "c", nil))))
	if first != (cdc.IngestPosition{Number: 1}) || second != (cdc.IngestPosition{After: 100, Number: 2}) {
		t.Errorf("positions %s and %s", first, second)
	}
	if frames, _ := taken(t, c); len(frames) != 4 {
		t.Errorf("frames %q", frames)
	}
}

// A snapshot says nothing of a transaction without an identifier, whatever it says of the identifier 0.
func TestASnapshotDoesNotHideWhatIsIngested(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.show(s.commit(change{after: message("1", "7", "a")}))
		v := s.view("7")
		v.expect("subscribed", "snapshot 1")
		s.hub.Ingest(ingested(cdc.Change{Op: cdc.Insert, Table: s.table, After: message("2", "7", "b")}))
		v.expect("subscribed", "snapshot 1", "afterInsert 2")
		s.stream(s.hub) // of before the snapshot, which shows it
		v.expect("subscribed", "snapshot 1", "afterInsert 2")
		s.view("7").expect("subscribed", "snapshot 1") // not kept for later ones
	})
}

// The snapshot may be from before what is told, and may show it already: told twice is better than not at all.
func TestWhatIsIngestedWhileASnapshotIsReadFollowsIt(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.release = make(chan struct{})
		v := s.view("7")
		synctest.Wait() // the snapshot is taken
		s.hub.Ingest(ingested(cdc.Change{Op: cdc.Insert, Table: s.table, After: message("1", "7", "a")}))
		s.hub.Ingest(ingested(cdc.Change{Op: cdc.Update, Table: s.table, Before: message("1", "7", "a"), After: message("1", "7", "b")}))
		s.hub.Ingest(ingested(cdc.Change{Op: cdc.Insert, Table: s.table, After: message("2", "8", "a")}))
		close(s.release)
		v.expect("subscribed", "snapshot ", "afterInsert 1", "afterUpdate 1")
	})
}

// A change whose place before is not known outdates also the snapshot that is being read.
func TestWhatIsIngestedWithoutItsOldPlaceIsAFreshSnapshot(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		v := s.view("7")
		v.expect("subscribed", "snapshot ")
		s.release = make(chan struct{})
		late := s.view("7")
		synctest.Wait()
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.hub.Ingest(ingested(cdc.Change{Op: cdc.Update, Table: s.table, Before: row(absent{}, absent{}, absent{}), After: row(absent{}, absent{}, absent{})}))
		close(s.release)
		time.Sleep(time.Second) // until it is read again
		v.expect("subscribed", "snapshot ", "snapshot 1")
		late.expect("subscribed", "snapshot 1")
	})
}

func TestTooMuchBesideASnapshotReadsItAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.release = make(chan struct{})
		v := s.view("7")
		synctest.Wait()
		big := make([]byte, 600<<10)
		for i := range big {
			big[i] = 'x'
		}
		s.show(s.commit(change{after: message("1", "7", "a")}))
		for range 2 {
			s.hub.Ingest(ingested(cdc.Change{Op: cdc.Insert, Table: s.table, After: message("1", "7", string(big))}))
		}
		close(s.release)
		time.Sleep(time.Second)
		v.expect("subscribed", "snapshot 1")
		if s.reads != 2 {
			t.Errorf("%d readings, want 2", s.reads)
		}
	})
}

func TestAGapIsAFreshSnapshot(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		v := s.view("7")
		v.expect("subscribed", "snapshot ")
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.hub.Gap("message")
		v.expect("subscribed", "snapshot ", "snapshot 1")
	})
}

func TestAGapIsOfItsChannelsAlone(t *testing.T) {
	other := conversations()
	other.Name, other.Table = "note", "note"
	f := newFeed(t, 1<<20, conversations(), other)
	here, there := f.hub.Attach(nil), f.hub.Attach(nil)
	subscribe(t, here, "message", `{"col":"conversation_id","value":7}`)
	subscribe(t, there, "note", `{"col":"conversation_id","value":7}`)
	f.hub.Gap("message", "none of that name")
	if _, code := taken(t, here); code != protocol.CloseServiceRestart {
		t.Errorf("close code %d", code)
	}
	if _, code := taken(t, there); code != 0 {
		t.Errorf("close code %d of a channel without a gap", code)
	}
}
