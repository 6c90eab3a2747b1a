package fanout_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

func (s *site) readSoFar() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads
}

// Where thousands come back, each view is read a few times for all of them together, and shows every one of them what was
// committed before they came.
func TestW05AStormOfSnapshotsIsPaced(t *testing.T) {
	const scopes, each = 50, 40
	inBubble(t, func(t *testing.T, s *site) {
		var views []*viewer
		for n := range each {
			s.show(s.commit(change{after: message(fmt.Sprint(n), "7", "a")}))
			s.stream(s.hub)
			for scope := range scopes {
				views = append(views, s.view(fmt.Sprint(scope)))
			}
			time.Sleep(20 * time.Millisecond)
		}
		time.Sleep(3 * time.Second)
		if n := s.readSoFar(); n > 3*scopes {
			t.Errorf("%d snapshots were read for %d views", n, scopes)
		}
		for i, v := range views {
			synctest.Wait()
			v.take()
			if want := each; i%scopes == 7 && len(v.rows) != want {
				t.Errorf("client %d has %d rows, want %d: %v", i, len(v.rows), want, v.frames)
			}
		}
	})
}

// A few who come one after the other do not wait for one another.
func TestWithoutAStormNobodyWaits(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		for n := range 5 {
			s.view("7").expect("subscribed", "snapshot ")
			if got := s.readSoFar(); got != n+1 {
				t.Errorf("%d snapshots were read for %d who came", got, n+1)
			}
		}
	})
}
