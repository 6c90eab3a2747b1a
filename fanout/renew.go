package fanout

import "github.com/reactive-gw/reactive-gw/protocol"

// Held is a subscription that a client has.
type Held struct {
	Channel string
	Scope   ScopeValue
}

// forbid ends a subscription that the client may not have any more, and says so.
func (h *Hub) forbid(s *subscription) {
	if s.group.extended {
		h.end(s, protocol.CodeForbidden, "the client may not see this any more")
		return
	}
	h.drop(s)
	h.say(s.client, protocol.AppendError(nil, protocol.CodeForbidden))
}

// Drop ends a subscription, if the client has it, without a word.
func (c *Client) Drop(held Held) { c.with(held, c.hub.drop) }

// with does something to a subscription, if the client has it, under the hub's lock.
func (c *Client) with(held Held, do func(*subscription)) {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	if s := c.subscription(held); s != nil {
		do(s)
	}
}

// subscription is nil where the client does not have it.
func (c *Client) subscription(held Held) *subscription {
	for t, s := range c.subs {
		if t.channel().Name == held.Channel && t.index.Column == held.Scope.Column && t.value == held.Scope.Text {
			return s
		}
	}
	return nil
}

// Renew makes viewer who the client is. The views of channels whose filter looks at that start over. authorize says who
// decides about a channel, nil where everybody may have it: until there is an answer, nothing of the channel's subscriptions
// reaches the client, and without one they end as others on hold do. The channel that is returned is closed when each was asked
// about once. The hub has to Run.
func (c *Client) Renew(viewer any, authorize func(channel string) Authorize) <-chan struct{} {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	c.viewer = viewer
	c.renewed++
	asked := make(chan struct{})
	left := 1 // those of which we do not know, and this call itself
	told := func() {
		if left--; left == 0 {
			close(asked)
		}
	}
	defer told()
	for t, s := range c.subs {
		if decides := authorize(t.channel().Name); decides != nil {
			left++
			h.holdAgain(s, decides, told)
		}
		switch {
		case !t.channel().apart():
		case s.waits(): // its rows may have been judged already
			h.leave(s)
			h.await(s)
		default:
			h.beginOneAnew(s, protocol.ResetRestart)
		}
	}
	return asked
}
