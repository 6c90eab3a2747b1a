package fanout

import (
	"context"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// Client is one connection's subscriptions and the frames that wait for it. Next belongs to one goroutine; the other
// methods may be called from any.
type Client struct {
	hub    *Hub
	viewer any
	queue  *queue

	// The rest belongs to the hub's lock.
	subs     map[*topic]*subscription
	answers  answers
	asked    asked
	held     int  // bytes of the frames that are kept for its subscriptions on hold
	touched  bool // has frames of the transaction at hand
	detached bool
}

// Subscribe begins a subscription: `subscribed` is queued first, then, where the channel has one, the snapshot, then
// changes. Subscribing again to the same rows confirms again, with a fresh snapshot, and delivers nothing twice. A client
// that has to go or was detached gets no subscription. The error is a *protocol.Error.
func (c *Client) Subscribe(channel string, scope protocol.Scope) error {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	ch, index, value, err := h.resolve(channel, scope)
	if err != nil || c.detached {
		return err
	}
	if ch.broken {
		return &protocol.Error{Code: protocol.CodeUnknownChannel, Detail: "the channel's table was altered"}
	}
	defer h.flush()
	var old *subscription
	if t := index.topics[value]; t != nil {
		old = c.subs[t]
	}
	if old != nil {
		h.release(old.group) // no later frame holds what it has gathered
	}
	s, frame := old, protocol.AppendSubscribed(nil, ch.Name, scope.Raw)
	if old == nil || old.group.echo != string(scope.Raw) {
		if old != nil {
			h.drop(old)
		}
		s = ch.topic(index, value).group(scope.Raw).add(c)
		c.subs[s.group.topic] = s
		h.subscriptions++
		if c.outdated(ch) {
			h.holdBack(s, Concern{})
		}
	}
	if !h.put(s, frame) {
		h.drop(s) // the client has to go, and while it lingers its subscriptions must not gather
		return nil
	}
	h.begin(s)
	return nil
}

// Unsubscribe ends a subscription. Ending one that is not there does nothing. The error is a *protocol.Error for a
// channel or scope that does not exist.
func (c *Client) Unsubscribe(channel string, scope protocol.Scope) error {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	_, index, value, err := h.resolve(channel, scope)
	if err != nil {
		return err
	}
	if t := index.topics[value]; t != nil && c.subs[t] != nil {
		h.drop(c.subs[t])
	}
	return nil
}

// Subscriptions is how many the client has.
func (c *Client) Subscriptions() int {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	return len(c.subs)
}

// Send queues a frame that belongs to no subscription.
func (c *Client) Send(frame []byte) {
	c.queue.push(frame)
	c.queue.wake()
}

// Next waits for frames and returns all there are, in order. They are shared: do not change them. reuse is the slice of
// the call before, or nil. The error is ctx's, or a *Closed when the client has to go: it has all that was due to it, or
// was too slow to get it.
func (c *Client) Next(ctx context.Context, reuse [][]byte) ([][]byte, error) {
	return c.queue.take(ctx, reuse)
}

// Close makes Next return a *Closed with this code behind what is queued.
func (c *Client) Close(code protocol.Close) {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	h.dismiss(c, code)
}

// Detach ends all subscriptions. The client gets nothing any more.
func (c *Client) Detach() {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.detached {
		return
	}
	c.detached = true
	for _, s := range c.subs {
		h.drop(s)
	}
	delete(h.clients, c)
}
