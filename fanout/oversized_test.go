package fanout_test

import (
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

const overQueue = 17 << 20

// kindsOf gives the types of frames, with the reason of a reset.
func kindsOf(t *testing.T, c *fanout.Client) (kinds string, code protocol.Close) {
	t.Helper()
	frames, code := taken(t, c)
	for _, f := range frames {
		_, kind, _ := strings.Cut(f, `"type":"`)
		kind, rest, _ := strings.Cut(kind, `"`)
		if _, reason, ok := strings.Cut(rest, `"reason":"`); ok {
			kind += " " + strings.Trim(reason, `"}`)
		}
		kinds += kind + " " + strings.Repeat("+", strings.Count(rest, "afterInsert")) + " "
	}
	return strings.Join(strings.Fields(kinds), " "), code
}

// A change that no queue could take is not written into frames: the views that it concerns start over, at their place in the
// transaction, and no others.
func TestP86AChangeThatNoQueueTakesConcernsItsViewsOnly(t *testing.T) {
	f := newFeed(t, 1<<20, conversations())
	base, extended, other := f.hub.Attach(nil), f.hub.Attach(nil, fanout.Extended), f.hub.Attach(nil, fanout.Extended)
	subscribe(t, base, "message", in42)
	subscribe(t, extended, "message", in42)
	subscribe(t, other, "message", `{"col":"conversation_id","value":7}`)
	huge := strings.Repeat("x", overQueue)
	f.deliver(
		inserted(messages(), row(1, 42, 7, "void", "s")), inserted(messages(), row(2, 7, 7, "a", "s")),
		updated(messages(), row(3, 42, 7, "small", "s"), row(3, 42, 7, huge, "s")), // also of author 7, whom nobody watches
		inserted(messages(), row(4, 42, 7, "b", "s")))
	for _, tc := range []struct {
		name, want string
		client     *fanout.Client
		code       protocol.Close
	}{
		{"base", "subscribed change +", base, protocol.CloseServiceRestart},
		{"extended", "welcome subscribed reset unreadable transaction +", extended, 0},
		{"other", "welcome subscribed transaction +", other, 0},
	} {
		if got, code := kindsOf(t, tc.client); got != tc.want || code != tc.code {
			t.Errorf("%s: got %s and %d, want %s and %d", tc.name, got, code, tc.want, tc.code)
		}
	}
}

// An unreadable change begins the views of its table as often as they were told something since, and no more often.
func TestP86ChangesThatCannotBeReadInOneTransaction(t *testing.T) {
	f := newFeed(t, 16<<20, conversations())
	c := f.hub.Attach(nil, fanout.Extended)
	subscribe(t, c, "message", in42)
	lost := cdc.Change{Op: cdc.Unreadable, Table: messages()}
	f.deliver(inserted(messages(), row(1, 42, 7, "void", "s")), lost, lost, inserted(messages(), row(2, 42, 7, "void", "s")), lost,
		inserted(messages(), row(3, 42, 7, "a", "s")))
	if got, _ := kindsOf(t, c); got != "welcome subscribed reset unreadable transaction +" {
		t.Errorf("got %s", got)
	}
	// What fills a frame has been sent when the second one comes.
	f.deliver(lost, inserted(messages(), row(4, 42, 7, strings.Repeat("x", 2<<20), "s")), lost, lost, inserted(messages(), row(5, 42, 7, "b", "s")))
	if got, _ := kindsOf(t, c); got != "reset unreadable transaction + reset unreadable transaction +" {
		t.Errorf("got %s", got)
	}
}

// With snapshots, the view is read again, once what changed is visible.
func TestP86AChangeThatCannotBeToldIsAFreshSnapshot(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.stream(s.hub)
		v, other := s.view("7"), s.view("8")
		v.expect("subscribed", "snapshot 1")
		other.expect("subscribed", "snapshot ")
		huge := s.commit(change{before: message("1", "7", "a"), after: message("1", "7", strings.Repeat("x", overQueue))})
		s.stream(s.hub) // before any snapshot shows it
		late := s.view("7")
		time.Sleep(time.Second)
		late.expect("subscribed")
		s.show(huge)
		time.Sleep(time.Second)
		v.expect("subscribed", "snapshot 1", "snapshot 1")
		late.expect("subscribed", "snapshot 1")
		other.expect("subscribed", "snapshot ")
	})
}
