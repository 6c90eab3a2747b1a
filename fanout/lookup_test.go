package fanout_test

import (
	"errors"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// byList finds the conversation of a message by its body, which names a list, in what a test says of lists. It knows only
// what it was prepared for.
type byList struct {
	lists    map[string]string
	known    map[string]string
	stale    []fanout.RowScope
	all      bool
	prepared int
}

func (l *byList) Prepare(tx *cdc.Transaction, needed bool) (bool, []fanout.RowScope) {
	all, stale := l.all, l.stale
	l.all, l.stale = false, nil
	if needed {
		l.prepared++
		for c := range tx.Changes() {
			for _, image := range []cdc.Row{c.Before, c.After} {
				list := string(image.Value(2).Text)
				if project, ok := l.lists[list]; ok {
					l.known[list] = project
				}
			}
		}
	}
	return all, stale
}

func (l *byList) Resolve(_ *cdc.Table, row cdc.Row) ([]fanout.RowScope, error) {
	project, ok := l.known[string(row.Value(2).Text)]
	if !ok {
		return nil, errors.New("not looked up")
	}
	return []fanout.RowScope{{Column: "conversation_id", Value: project}}, nil
}

func (l *byList) Forget() { clear(l.known) }

// withLists makes the site's channel look its scopes up.
func withLists(l *byList) func(*fanout.Channel) {
	l.known = map[string]string{}
	return func(ch *fanout.Channel) {
		ch.Scopes[0].Resolved = true
		ch.Resolver, ch.ResolverColumns = l, []fanout.InputColumn{{Column: "body", TypeOID: 25}}
	}
}

func TestScopesThatAreLookedUp(t *testing.T) {
	lists := &byList{lists: map[string]string{"today": "42", "later": "43"}}
	inBubble(t, func(t *testing.T, s *site) {
		deliver := func(changes ...change) {
			s.show(s.commit(changes...))
			s.stream(s.hub)
		}
		deliver(change{after: message("9", "0", "today")})
		if lists.prepared != 0 {
			t.Error("nobody looks, and scopes are looked up")
		}
		deliver(change{before: message("9", "0", "today")})
		a, b := s.view("42"), s.view("43")
		a.expect("subscribed", "snapshot ")
		b.expect("subscribed", "snapshot ")
		deliver(change{after: message("1", "42", "today")})
		a.expect("subscribed", "snapshot ", "afterInsert 1")
		// The list goes to another project, and with it what is in the views; messages are where they were.
		lists.lists["today"], lists.stale = "43", []fanout.RowScope{{Column: "conversation_id", Value: "43"}}
		deliver()
		time.Sleep(time.Second) // of the bubble's time
		a.expect("subscribed", "snapshot ", "afterInsert 1")
		b.expect("subscribed", "snapshot ", "snapshot ")
		lists.all = true
		deliver()
		time.Sleep(time.Second)
		a.expect("subscribed", "snapshot ", "afterInsert 1", "snapshot 1")
		b.expect("subscribed", "snapshot ", "snapshot ", "snapshot ")
	}, withLists(lists))
}

// A snapshot from before the change of a list is of no use, though the change is of no row of the channel's table.
func TestASnapshotFromBeforeAListHasChanged(t *testing.T) {
	lists := &byList{lists: map[string]string{"today": "42"}}
	inBubble(t, func(_ *testing.T, s *site) {
		s.release = make(chan struct{})
		v := s.view("42")
		v.expect("subscribed")
		moved := s.commit()
		lists.all = true
		s.stream(s.hub)
		close(s.release)
		time.Sleep(time.Second)
		v.expect("subscribed")
		s.show(moved)
		time.Sleep(time.Second)
		v.expect("subscribed", "snapshot ")
	}, withLists(lists))
}

func TestWhatCannotBeLookedUp(t *testing.T) {
	lists := &byList{lists: map[string]string{}}
	ch := conversations()
	withLists(lists)(&ch)
	ch.Scopes, ch.ResolverColumns = ch.Scopes[:1], []fanout.InputColumn{{Column: "author_id", TypeOID: int8OID}}
	f := newFeed(t, 1<<20, ch)
	c := f.hub.Attach(nil)
	subscribe(t, c, "message", in42)
	f.deliver(inserted(messages(), row(1, 42, 7, "hello", "s")))
	if frames, code := taken(t, c); code != protocol.CloseServiceRestart || kinds(frames) != "" {
		t.Errorf("got %q and %d", frames, code)
	}
	if failures := f.hub.Stats().ResolverFailures["message"]; failures != 1 {
		t.Errorf("%d failures", failures)
	}
}

// After a gap nothing is known that was looked up before it.
func TestAGapForgetsWhatWasLookedUp(t *testing.T) {
	lists := &byList{lists: map[string]string{}}
	inBubble(t, func(t *testing.T, s *site) {
		lists.known["today"] = "42"
		s.hub.Reset(cdc.ResetSlotLost)
		if len(lists.known) != 0 {
			t.Errorf("known: %v", lists.known)
		}
	}, withLists(lists))
}
