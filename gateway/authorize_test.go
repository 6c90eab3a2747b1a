package gateway

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// judge answers as a test says, by the conversation: no error, a refusal, or no answer.
type judge struct {
	mu    sync.Mutex
	says  map[any]error
	asked int
}

var (
	errRefused  = errors.New("no")
	errNoAnswer = fmt.Errorf("the database is locked: %w", auth.ErrUnavailable)
)

func (j *judge) set(conversation int64, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.says[conversation] = err
}

func (j *judge) authorize(_ context.Context, _ *auth.Principal, s auth.Subscription) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.asked++
	return j.says[s.Scope.Value]
}

// judged is a place with a judge in front of the channel, whose hub runs.
func judged(t *testing.T, says map[any]error) (*place, *judge) {
	t.Helper()
	j := &judge{says: says}
	p := newPlace(t, func(o *Options) {
		o.Authorize = map[string]auth.Authorizer{"message": auth.AuthorizerFunc(j.authorize)}
		o.Authenticate = &gate{expires: time.Now().Add(time.Hour)}
	})
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { p.hub.Run(ctx) })
	t.Cleanup(func() { // before the place's own
		cancel()
		running.Wait()
	})
	return p, j
}

func (c *peer) expectError(code protocol.Code, conversation int) {
	c.t.Helper()
	for {
		frame, err := c.next()
		switch {
		case err != nil:
			c.t.Fatal(err)
		case strings.Contains(frame, `"heartbeat"`), strings.Contains(frame, `"welcome"`):
			continue
		case !strings.Contains(frame, fmt.Sprintf(`"code":%q`, code)) || !strings.Contains(frame, fmt.Sprintf(`"value":%d}`, conversation)):
			c.t.Errorf("got %s, want %s about %d", frame, code, conversation)
		case strings.Contains(frame, "retryAfterMs") != (code == protocol.CodeUnavailable):
			c.t.Errorf("got %s", frame)
		}
		return
	}
}

// expectFrame skips heartbeats.
func (c *peer) expectFrame(parts ...string) {
	c.t.Helper()
	for {
		frame, err := c.next()
		if err != nil {
			c.t.Fatal(err)
		}
		if strings.Contains(frame, `"heartbeat"`) || strings.Contains(frame, `"welcome"`) {
			continue
		}
		for _, part := range parts {
			if !strings.Contains(frame, part) {
				c.t.Errorf("got %s, want %s", frame, part)
			}
		}
		return
	}
}

// W30: a client of the base protocol whose question has no answer is closed with 1013; only a refusal is forbidden.
func TestW30AuthorizeBaseClients(t *testing.T) {
	p, _ := judged(t, map[any]error{int64(1): nil, int64(2): errRefused, int64(3): errNoAnswer, int64(4): context.DeadlineExceeded})
	for _, conversation := range []int{3, 4} {
		c := p.dial("Authorization", "good")
		c.send(subscription(1), subscription(2))
		c.expect(subscribed(1), `{"type":"error","code":"forbidden"}`)
		c.send(subscription(conversation))
		c.closed(protocol.CloseTryAgainLater)
	}
}

// W30: one of the extended protocol is told when to ask again, and what it has it keeps.
func TestW30AuthorizeExtendedClients(t *testing.T) {
	p, j := judged(t, map[any]error{int64(2): errRefused, int64(3): errNoAnswer})
	c := p.dialExtended(http.Header{"Authorization": {"good"}})
	c.send(subscription(2))
	c.expectError(protocol.CodeForbidden, 2)
	c.send(subscription(3))
	c.expectError(protocol.CodeUnavailable, 3)
	c.send(subscription(1))
	c.expectFrame(`"subscribed"`, `"value":1}`)
	j.set(1, errNoAnswer)
	c.send(subscription(1))
	c.expectError(protocol.CodeUnavailable, 1)
	p.deliver('I', nil, message(1, 1, "still here"))
	c.expectFrame(`"transaction"`, "still here")
	j.set(1, errRefused)
	c.send(subscription(1))
	c.expectError(protocol.CodeForbidden, 1)
	if n := p.hub.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

// W30: a renewal whose questions have no answer ends nothing, and delivers nothing, until there is one.
func TestW30AuthorizeRenewal(t *testing.T) {
	p, j := judged(t, map[any]error{})
	c := p.dialExtended(http.Header{"Authorization": {"good"}})
	for _, conversation := range []int{1, 2, 3} {
		c.send(subscription(conversation))
		c.expectFrame(`"subscribed"`)
	}
	j.set(2, errRefused)
	j.set(3, errNoAnswer)
	c.send(`{"type":"auth","token":"good"}`)
	until(t, "one is refused and one on hold", func() bool {
		s := p.hub.Stats()
		return s.OnHold == 1 && s.Subscriptions == 2
	})
	// The refusal waits with everything else for the answer about the third: a cursor is about all of them.
	c.expectFrame(`{"type":"auth"`)
	p.deliver('I', nil, message(1, 3, "withheld"))
	p.deliver('I', nil, message(2, 1, "behind it"))
	time.Sleep(300 * time.Millisecond)
	if s := p.hub.Stats(); s.OnHold != 1 || s.QueueBytes == 0 {
		t.Errorf("%+v", s)
	}
	j.set(3, nil)
	c.expectError(protocol.CodeForbidden, 2)
	c.expectFrame("withheld")
	c.expectFrame("behind it")
	j.set(1, errRefused)
	c.send(`{"type":"auth","token":"good"}`)
	c.expectError(protocol.CodeForbidden, 1)
	c.expectFrame(`{"type":"auth"`)
}
