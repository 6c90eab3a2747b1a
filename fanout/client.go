package fanout

import (
	"context"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// Client is one connection's subscriptions and the frames that wait for it. Next belongs to one goroutine; the other
// methods may be called from any.
type Client struct {
	hub   *Hub
	queue *queue

	// The rest belongs to the hub's lock.
	subs     map[*topic]*subscription
	touched  bool // has frames of the transaction at hand
	detached bool
}

// Subscribe begins a subscription and queues its `subscribed` frame before any change. Subscribing again to the same
// rows confirms again and delivers nothing twice. The error is a *protocol.Error.
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
	t := ch.topic(index, value)
	if old := c.subs[t]; old != nil {
		if old.group.echo == string(scope.Raw) {
			c.confirm(ch, scope)
			return nil
		}
		delete(c.subs, t)
		old.remove()
		h.subscriptions--
		t = ch.topic(index, value)
	}
	c.confirm(ch, scope)
	c.subs[t] = t.group(scope.Raw).add(c)
	h.subscriptions++
	return nil
}

func (c *Client) confirm(ch *channel, scope protocol.Scope) {
	c.queue.push(protocol.AppendSubscribed(nil, ch.Name, scope.Raw))
	c.queue.wake()
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
		c.subs[t].remove()
		delete(c.subs, t)
		h.subscriptions--
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
func (c *Client) Close(code protocol.Close) { c.queue.close(code) }

// Detach ends all subscriptions. The client gets nothing any more.
func (c *Client) Detach() {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	if c.detached {
		return
	}
	c.detached = true
	h.subscriptions -= len(c.subs)
	for _, s := range c.subs {
		s.remove()
	}
	clear(c.subs)
	delete(h.clients, c)
}
