package fanout_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// reads is how many snapshots were read.
func (s *site) readSoFar() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// Whoever comes a moment later gets the snapshot that was read for the one before, with what it does not show, and nothing
// twice.
func TestW05ARecentSnapshotServesThoseWhoComeLater(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.stream(s.hub)
		s.view("7").expect("subscribed", "snapshot 1")
		reads := s.readSoFar()
		shown := s.commit(change{after: message("2", "7", "a")})
		s.show(shown)
		s.stream(s.hub)
		s.view("7").expect("subscribed", "snapshot 1", "afterInsert 2")
		hidden := s.commit(change{before: message("1", "7", "a")}) // in the log, and not visible yet
		later := s.view("7")
		later.expect("subscribed", "snapshot 1", "afterInsert 2")
		s.stream(s.hub)
		later.expect("subscribed", "snapshot 1", "afterInsert 2", "afterDelete 1")
		if n := s.readSoFar(); n != reads {
			t.Errorf("%d snapshots were read for three who came together", n-reads+1)
		}
		s.show(hidden)
		time.Sleep(3 * time.Second)
		s.view("7").expect("subscribed", "snapshot 2")
		if n := s.readSoFar(); n != reads+1 {
			t.Errorf("%d snapshots were read for one who came much later", n-reads)
		}
	})
}

// What makes views begin anew ends the use of what was read before it.
func TestARecentSnapshotIsNotUsedBehindAGap(t *testing.T) {
	for name, gap := range map[string]func(*site){
		"lost slot": func(s *site) { s.hub.Reset(cdc.ResetSlotLost) },
		"restart":   func(s *site) { s.hub.Start(cdc.Start{Epoch: "1", From: s.end}) },
		"truncate": func(s *site) {
			s.show(s.commit(change{}))
			s.stream(s.hub)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *site) {
				s.show(s.commit(change{after: message("1", "7", "a")}))
				s.stream(s.hub)
				s.view("7").expect("subscribed", "snapshot 1")
				reads := s.readSoFar()
				gap(s)
				synctest.Wait()
				late := s.view("7")
				synctest.Wait()
				if s.readSoFar() == reads {
					t.Error("the snapshot from before was used")
				}
				if name == "truncate" {
					late.expect("subscribed", "snapshot ")
				}
			})
		})
	}
}
