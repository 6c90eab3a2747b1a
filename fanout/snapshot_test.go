package fanout_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

func TestSnapshotComesBetweenSubscribedAndChanges(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.stream(s.hub)
		v := s.view("7")
		v.expect("subscribed", "snapshot 1")
		s.show(s.commit(change{after: message("2", "7", "b")}, change{before: message("1", "7", "a")}))
		s.stream(s.hub)
		v.expect("subscribed", "snapshot 1", "afterInsert 2", "afterDelete 1")
	})
}

func TestP20WhatTheSnapshotShowsIsNotDeliveredAgain(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.show(s.commit(change{after: message("1", "7", "a")}))
		v := s.view("7")
		v.expect("subscribed", "snapshot 1")
		s.stream(s.hub)
		s.show(s.commit(change{after: message("2", "7", "b")}))
		s.stream(s.hub)
		v.expect("subscribed", "snapshot 1", "afterInsert 2")
	})
}

func TestP21ReceivedBeforeVisible(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		waits := s.commit(change{after: message("1", "7", "a")}) // for a synchronous standby, say
		s.stream(s.hub)
		time.Sleep(time.Minute) // many looks at what is visible
		v := s.view("7")
		v.expect("subscribed", "snapshot ", "afterInsert 1")
		s.show(waits)
		time.Sleep(time.Minute)
		s.view("7").expect("subscribed", "snapshot 1")
	})
}

func TestP22IdentifiersAreNotInCommitOrder(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		late := s.commit(change{after: message("1", "7", "a")})
		s.show(s.commit(change{after: message("2", "7", "b")}))
		s.stream(s.hub)
		v := s.view("7")
		v.expect("subscribed", "snapshot 2", "afterInsert 1")
		s.show(late)
		s.stream(s.hub)
		v.expect("subscribed", "snapshot 2", "afterInsert 1")
	})
}

// A look at what is visible may be newer than a snapshot that is still being read: what the look has shown is then still
// missing from that snapshot.
func TestALookDoesNotForgetWhatAnOlderSnapshotNeeds(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.release = make(chan struct{})
		v := s.view("7")
		synctest.Wait() // the snapshot is taken
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.stream(s.hub)
		time.Sleep(3 * time.Second)
		close(s.release)
		v.expect("subscribed", "snapshot ", "afterInsert 1")
	})
}

func TestW05IdenticalSnapshotsAreOneQuery(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.release = make(chan struct{})
		var views []*viewer
		for range 50 {
			views = append(views, s.view("7"))
		}
		synctest.Wait()
		close(s.release)
		for _, v := range views {
			v.expect("subscribed", "snapshot 1")
		}
		if s.reads != 1 {
			t.Errorf("%d queries", s.reads)
		}
	})
}

func TestSnapshotUnavailableEndsTheSubscription(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.fail = errors.New("out of reach")
		v := s.view("7")
		v.expect("subscribed", "error snapshot_unavailable")
		if n := v.client.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.stream(s.hub)
		v.expect("subscribed", "error snapshot_unavailable")
		s.fail = nil
		s.view("7").expect("subscribed", "snapshot 1")
	})
}

// The client has not asked for this one, and no error frame would tell it which of its views is no longer true.
func TestAFreshSnapshotThatFailsEndsTheConnection(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		v := s.view("7")
		v.expect("subscribed", "snapshot ")
		s.mu.Lock()
		s.fail = errors.New("out of reach")
		s.mu.Unlock()
		s.hub.Reset(cdc.ResetSlotLost)
		v.expect("subscribed", "snapshot ")
		var closed *fanout.Closed
		if _, err := next(t.Context(), v.client); !errors.As(err, &closed) || closed.Code != protocol.CloseServiceRestart {
			t.Errorf("the connection ends with %v", err)
		}
	})
}

func TestSnapshotThatTakesTooLongIsUnavailable(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.release = make(chan struct{})
		v := s.view("7")
		time.Sleep(time.Minute)
		v.expect("subscribed", "error snapshot_unavailable")
	})
}

func TestP39TruncateIsAFreshSnapshot(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.stream(s.hub)
		v := s.view("7")
		v.expect("subscribed", "snapshot 1")
		truncate := s.commit(change{}, change{after: message("2", "7", "b")})
		s.stream(s.hub) // before any snapshot shows it
		time.Sleep(time.Second)
		s.show(truncate)
		time.Sleep(time.Second)
		v.expect("subscribed", "snapshot 1", "snapshot 2")
	})
}

func TestResetIsAFreshSnapshot(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		v := s.view("7")
		v.expect("subscribed", "snapshot ")
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.streamed++ // lost
		s.hub.Reset(cdc.ResetSlotLost)
		v.expect("subscribed", "snapshot ", "snapshot 1")
	})
}

func TestResetOverridesASnapshotThatIsBeingRead(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.release = make(chan struct{}, 1)
		v := s.view("7")
		synctest.Wait()
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.streamed++ // lost
		s.hub.Reset(cdc.ResetSlotLost)
		close(s.release)
		time.Sleep(time.Second)
		v.expect("subscribed", "snapshot 1")
		if s.reads != 2 {
			t.Errorf("%d queries", s.reads)
		}
	})
}

func TestW25UnsubscribeWhileTheSnapshotIsRead(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.release = make(chan struct{})
		v := s.view("7")
		synctest.Wait()
		if err := v.client.Unsubscribe("message", v.scope); err != nil {
			t.Fatal(err)
		}
		close(s.release)
		v.expect("subscribed")
	})
}

func TestSubscribingAgainGivesAFreshSnapshot(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		v := s.view("7")
		v.expect("subscribed", "snapshot ")
		s.show(s.commit(change{after: message("1", "7", "a")}))
		if err := v.client.Subscribe("message", v.scope); err != nil {
			t.Fatal(err)
		}
		s.stream(s.hub)
		v.expect("subscribed", "snapshot ", "subscribed", "snapshot 1")
	})
}

// Any interleaving of commits, their becoming visible, the stream and subscriptions ends with every view equal to the
// table, and no strict client sees a row twice or misses one.
func TestViewsAreExactUnderAnyInterleaving(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) step {
			return step{kind: rapid.IntRange(0, 9).Draw(r, "kind"), seed: rapid.Uint64Range(0, 1000).Draw(r, "seed")}
		}), 5, 60).Draw(r, "steps")
		var difference string
		synctest.Test(t, func(t *testing.T) { difference = interleave(t, steps) })
		if difference != "" {
			r.Fatal(difference)
		}
	})
}

// step is one thing that happens, with the seed of its choices.
type step struct {
	kind int
	seed uint64
}

// interleave lets the steps happen and returns how a view differs from the table at the end.
func interleave(t *testing.T, steps []step) string {
	s := newSite(t)
	defer s.stop()
	table := map[string]cdc.Row{}
	writer := map[string]*commit{} // of each row, the last: until it is visible it holds the row's lock
	var views []*viewer
	for n, step := range steps {
		pick := rand.New(rand.NewPCG(step.seed, 0)).IntN
		conversation := fmt.Sprint(7 + pick(2))
		switch step.kind {
		case 0, 1, 2, 3: // a transaction of up to three rows
			var changes []change
			var wrote []string
			for range 1 + pick(3) {
				key := fmt.Sprint(1 + pick(8))
				if c := writer[key]; c != nil && !c.visible || slices.Contains(wrote, key) {
					continue
				}
				before := table[key]
				var after cdc.Row
				delete(table, key)
				if before == nil || pick(4) > 0 {
					after = message(key, fmt.Sprint(7+pick(2)), fmt.Sprint("body", n))
					table[key] = after
				}
				changes, wrote = append(changes, change{before, after}), append(wrote, key)
			}
			if len(changes) > 0 {
				c := s.commit(changes...)
				for _, key := range wrote {
					writer[key] = c
				}
			}
		case 4, 5:
			if hidden := slices.DeleteFunc(slices.Clone(s.log), func(c *commit) bool { return c.visible }); len(hidden) > 0 {
				s.show(hidden[pick(len(hidden))])
			}
		case 6, 7:
			if s.streamed < len(s.log) {
				s.stream(s.hub)
			}
		case 8:
			views = append(views, s.view(conversation))
			if pick(2) == 0 {
				synctest.Wait()
			}
		case 9:
			time.Sleep(time.Duration(pick(3)) * time.Second)
		}
	}
	for _, c := range s.log {
		s.show(c)
	}
	for s.streamed < len(s.log) {
		s.stream(s.hub)
	}
	time.Sleep(time.Minute)
	for _, v := range views {
		v.take()
		want := map[string]string{}
		for key, row := range table {
			if string(row.Value(1).Text) == string(v.scope.Value) {
				want[key] = string(row.Value(2).Text)
			}
		}
		if v.broken != "" {
			return v.broken
		}
		if !maps.Equal(v.rows, want) {
			return fmt.Sprintf("conversation %s: view %v, table %v, after %q", v.scope.Value, v.rows, want, v.frames)
		}
	}
	return ""
}
