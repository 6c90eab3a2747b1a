package fanout

import "github.com/reactive-gw/reactive-gw/protocol"

// Held is a subscription that a client has.
type Held struct {
	Channel string
	Scope   ScopeValue
}

// Held lists the client's subscriptions.
func (c *Client) Held() []Held {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	held := make([]Held, 0, len(c.subs))
	for t := range c.subs {
		held = append(held, Held{t.channel().Name, ScopeValue{Column: t.index.Column, Type: t.index.Type, Text: t.value}})
	}
	return held
}

// Forbid ends a subscription that the client may not have any more, if it has it, and says so.
func (c *Client) Forbid(held Held) { c.with(held, c.hub.forbid) }

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

// Renew makes viewer who the client is. The views of channels whose filter looks at that begin anew.
func (c *Client) Renew(viewer any) {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	c.viewer = viewer
	c.renewed++
	for t, s := range c.subs {
		switch {
		case !t.channel().apart():
		case s.waits(): // its rows may have been judged already
			h.leave(s)
			h.await(s)
		default:
			h.beginOneAnew(s, protocol.ResetRestart)
		}
	}
}
