package fanout_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

const batchEvery = 50 * time.Millisecond

func batched(c *fanout.Channel)   { c.BatchEvery = batchEvery }
func unsnapped(c *fanout.Channel) { c.Snapshot = nil }

// write commits one row and streams it at once.
func (s *site) write(id, body string) {
	s.show(s.commit(change{after: message(id, "7", body)}))
	s.stream(s.hub)
}

func TestBatchGathersEventsInOrder(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		v, other := s.view("7"), s.view("7")
		s.write("1", "a")
		time.Sleep(batchEvery / 2)
		s.write("2", "b")
		v.expect("subscribed")
		time.Sleep(batchEvery)
		v.expect("subscribed", "2 events", "afterInsert 1", "afterInsert 2")
		other.expect("subscribed", "2 events", "afterInsert 1", "afterInsert 2")
		s.write("3", "c")
		time.Sleep(2 * batchEvery)
		v.expect("subscribed", "2 events", "afterInsert 1", "afterInsert 2", "afterInsert 3")
	}, batched, unsnapped)
}

func TestBatchLeavesEarlyWhenItIsLarge(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		v := s.view("7")
		s.write("1", "a")
		s.write("2", strings.Repeat("b", 100_000))
		v.expect("subscribed", "2 events", "afterInsert 1", "afterInsert 2")
	}, batched, unsnapped)
}

func TestNewSubscriberGetsNothingOfAnEarlierBatch(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		v := s.view("7")
		s.write("1", "a")
		late := s.view("7")
		v.expect("subscribed", "afterInsert 1")
		s.write("2", "b")
		time.Sleep(2 * batchEvery)
		v.expect("subscribed", "afterInsert 1", "afterInsert 2")
		late.expect("subscribed", "afterInsert 2")
	}, batched, unsnapped)
}

func TestSnapshotDoesNotOvertakeABatch(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		v := s.view("7")
		v.expect("subscribed", "snapshot ")
		s.write("1", "a")
		time.Sleep(time.Second)
		s.write("2", "b") // from here on the stream has passed the snapshot
		s.show(s.commit(change{}))
		s.stream(s.hub)
		time.Sleep(time.Second)
		v.expect("subscribed", "snapshot ", "afterInsert 1", "afterInsert 2", "snapshot ")
	}, batched)
}

func TestBatchGoesOutBeforeTheConnectionEnds(t *testing.T) {
	for name, end := range map[string]func(*site, *viewer){
		"going away": func(_ *site, v *viewer) { v.client.Close(protocol.CloseGoingAway) },
		"reset":      func(s *site, _ *viewer) { s.hub.Reset(cdc.ResetSlotLost) },
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, s *site) {
				v := s.view("7")
				s.write("1", "a")
				s.write("2", "b")
				end(s, v)
				v.expect("subscribed", "2 events", "afterInsert 1", "afterInsert 2")
				var closed *fanout.Closed
				if _, err := next(t.Context(), v.client); !errors.As(err, &closed) {
					t.Errorf("the connection goes on: %v", err)
				}
			}, batched, unsnapped)
		})
	}
}

func TestBatchesOfManyScopesAllGoOut(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		var views []*viewer
		for scope := range 20 {
			views = append(views, s.view(fmt.Sprint(scope)))
		}
		for round := range 3 {
			for scope := range 20 {
				s.show(s.commit(change{after: message(fmt.Sprint(100*round+scope), fmt.Sprint(scope), "x")}))
				s.stream(s.hub)
				time.Sleep(batchEvery / 7)
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		for scope, v := range views {
			v.take()
			if len(v.rows) != 3 {
				t.Errorf("scope %d has %v", scope, v.rows)
			}
		}
	}, batched, unsnapped)
}

// Writing the scope in another way begins another subscription to the same rows: what the first one had gathered is due.
func TestBatchIsNotLostWhenTheScopeIsWrittenInAnotherWay(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		v := s.view("7")
		s.write("1", "a")
		s.write("2", "b")
		again := v.scope
		again.Value, again.Raw = []byte(`"7"`), []byte(`{"col":"conversation_id","value":"7"}`)
		if err := v.client.Subscribe("message", again); err != nil {
			t.Fatal(err)
		}
		s.write("3", "c")
		time.Sleep(2 * batchEvery)
		v.expect("subscribed", "2 events", "afterInsert 1", "afterInsert 2", "subscribed", "afterInsert 3")
	}, batched, unsnapped)
}
