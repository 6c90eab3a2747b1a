package fanout_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

func notYet() *protocol.Error {
	return &protocol.Error{Code: protocol.CodeUnavailable, Detail: "not served yet"}
}

func resuming(t *testing.T) *feed {
	t.Helper()
	hub, err := fanout.NewHub(fanout.Options{QueueBytes: 1 << 20, Log: zap.NewNop(), Channels: []fanout.Channel{conversations()},
		Resume: fanout.ResumeOptions{Window: time.Hour, MaxBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	hub.Start(cdc.Start{Epoch: "1", From: 1})
	return &feed{t: t, hub: hub}
}

func codeOf(err error) protocol.Code {
	if e := (*protocol.Error)(nil); errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// A channel is opened where the stream has all of its changes from on, and nobody resumes it from before.
func TestAChannelOpensWhenTheStreamHasPassedThePosition(t *testing.T) {
	f := resuming(t)
	f.hub.Withdraw(notYet(), "message")
	c := f.hub.Attach(nil, fanout.Extended)
	scope := scopeOf(t, in42)
	refused := func(when string) {
		t.Helper()
		if _, err := f.hub.ScopeOf("message", scope); codeOf(err) != protocol.CodeUnavailable {
			t.Errorf("%s: asked for the scope: %v, want unavailable", when, err)
		}
		if err := c.Subscribe("message", scope); codeOf(err) != protocol.CodeUnavailable {
			t.Errorf("%s: subscribe: %v, want unavailable", when, err)
		}
	}
	refused("withdrawn")
	f.deliver(inserted(messages(), row(1, 42, 1, "half of a transaction", nil))) // commits at 100
	f.hub.Open(250, "message")
	refused("before the position")
	f.deliver(inserted(messages(), row(2, 42, 1, "b", nil)))
	refused("still before the position")
	f.hub.Passed(250)
	if err := c.Subscribe("message", scope); err != nil {
		t.Fatalf("from the position on: %v", err)
	}
	f.deliver(inserted(messages(), row(3, 42, 1, "c", nil)))
	frames, code := taken(t, c)
	if text := strings.Join(frames, "\n"); code != 0 || strings.Contains(text, "half") || !strings.Contains(text, `"c"`) {
		t.Errorf("code %d, frames\n%s", code, text)
	}
	back := f.hub.Attach(nil, fanout.Extended)
	if err := back.SubscribeSince("message", scope, protocol.Cursor{Epoch: protocol.NewEpochID("1"), Position: 50}.String()); err != nil {
		t.Fatal(err)
	}
	if frames, _ := taken(t, back); strings.Contains(strings.Join(frames, ""), `"resumed":true`) {
		t.Errorf("resumed from before the channel was open: %s", frames)
	}
}

func TestWhoIsSubscribedIsToldThatAChannelIsWithdrawn(t *testing.T) {
	f := resuming(t)
	extended, base, other := f.hub.Attach(nil, fanout.Extended), f.hub.Attach(nil), f.hub.Attach(nil)
	subscribe(t, extended, "message", in42)
	subscribe(t, base, "message", in42)
	f.hub.Withdraw(notYet(), "message")
	f.hub.Withdraw(notYet(), "message", "no such channel")
	frames, code := taken(t, extended)
	if last := frames[len(frames)-1]; code != 0 || !strings.Contains(last, `"unavailable"`) || !strings.Contains(last, `"retryAfterMs"`) {
		t.Errorf("code %d, frames %s", code, frames)
	}
	if _, code := taken(t, base); code != protocol.CloseTryAgainLater {
		t.Errorf("the base protocol: code %d", code)
	}
	if _, code := taken(t, other); code != 0 {
		t.Errorf("who is not subscribed: code %d", code)
	}
	f.hub.Open(0, "message")
	subscribe(t, extended, "message", in42)
	f.hub.Open(1, "message") // added again, behind our back
	frames, _ = taken(t, extended)
	if last := frames[len(frames)-1]; !strings.Contains(last, `"reset"`) {
		t.Errorf("views of an open channel do not begin anew: %s", frames)
	}
}

// A channel that nobody withdrew is opened ahead of the stream, as at a start whose tables were added at once: what comes until
// there has holes, and nobody gets it.
func TestAChannelThatIsOpenedAheadOfTheStreamWaitsForIt(t *testing.T) {
	f := resuming(t)
	scope := scopeOf(t, in42)
	f.hub.Open(250, "message")
	c := f.hub.Attach(nil, fanout.Extended)
	since := protocol.Cursor{Epoch: protocol.NewEpochID("1"), Position: 50}.String()
	if err := c.SubscribeSince("message", scope, since); codeOf(err) != protocol.CodeUnavailable {
		t.Errorf("resume before the position: %v, want unavailable", err)
	}
	f.deliver(inserted(messages(), row(1, 42, 1, "half of a transaction", nil))) // commits at 100
	f.hub.Passed(250)
	if err := c.SubscribeSince("message", scope, since); err != nil {
		t.Fatal(err)
	}
	if frames, _ := taken(t, c); strings.Contains(strings.Join(frames, ""), `"resumed":true`) || strings.Contains(strings.Join(frames, ""), "half") {
		t.Errorf("resumed over the hole: %s", frames)
	}
}
