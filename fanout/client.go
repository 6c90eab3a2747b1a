package fanout

import (
	"github.com/reactive-gw/reactive-gw/protocol"
	"github.com/reactive-gw/reactive-gw/protocol/wire"
)

// Client is one connection's subscriptions and the frames that wait for it. Its methods may be called from any goroutine, but
// for Take, which belongs to one at a time.
type Client struct {
	hub    *Hub
	viewer any
	dialect
	queue *queue

	// The rest belongs to the hub's lock.
	subs     map[*topic]*subscription
	answers  answers
	asked    asked
	holds    int    // of its subscriptions are on hold
	held     int    // bytes of the frames that are kept meanwhile
	numbered uint64 // frames that were kept so far
	renewed  uint64 // how often viewer has changed
	touched  bool   // has frames of the transaction at hand
	detached bool
	lost     bool                       // takes no more
	parts    []*part                    // of the transaction at hand
	kept     []kept                     // while a subscription of a client of the extended protocol is on hold
	split    bool                       // was sent a part of the transaction at hand already
	waits    []*wait                    // for positions that the stream has not passed
	aside    map[*subscription]struct{} // that wait for room in the queue
}

// Subscribe begins a subscription: `subscribed` is queued first, then, where the channel has one, the snapshot, then
// changes. Subscribing again to the same rows confirms again, with a fresh snapshot, and delivers nothing twice. A client
// that has to go or was detached gets no subscription. The error is a *protocol.Error.
func (c *Client) Subscribe(channel string, scope protocol.Scope) error {
	return c.subscribe(channel, scope, nil)
}

// subscribe resumes, where r is not nil and it can be done.
func (c *Client) subscribe(channel string, scope protocol.Scope, r *resumption) error {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	ch, index, value, err := h.resolve(channel, scope)
	if err != nil || c.detached {
		return err
	}
	if err := ch.unavailable(); err != nil {
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
	s := old
	if old == nil || string(old.group.scope()) != string(scope.Raw) || r != nil {
		if old != nil {
			h.drop(old)
		}
		s = h.add(c, ch.topic(index, value), scope.Raw)
		if c.outdated(ch) {
			h.holdBack(s, Concern{})
		}
	}
	if r != nil {
		h.beginSince(s, r)
		return nil
	}
	if !h.tellOf(s, c.subscribed(ch.Name, scope.Raw)) {
		h.drop(s) // the client has to go, and while it lingers its subscriptions must not gather
		return nil
	}
	h.begin(s)
	return nil
}

// add adds a subscription that does not get anything yet.
func (h *Hub) add(c *Client, t *topic, echo []byte) *subscription {
	s := t.group(echo, c.dialect).add(c)
	c.subs[t] = s
	h.subscriptions++
	return s
}

// beginSince is begin for a subscription that is resumed.
func (h *Hub) beginSince(s *subscription, r *resumption) {
	c, name, echo := s.client, s.group.channel().Name, s.group.scope()
	if h.resume(s, r); r.refused != "" {
		if h.tellOf(s, c.subscribed(name, echo)) && h.tellOf(s, protocol.AppendReset(nil, name, echo, r.refused)) {
			h.begin(s)
		} else {
			h.drop(s)
		}
		return
	}
	if !h.tellOf(s, protocol.AppendSubscribedAt(nil, name, echo, r.since, true)) {
		h.drop(s)
		return
	}
	for _, frame := range r.frames {
		h.give(s, frame)
	}
	s.activate(nil)
}

// subscribed is the frame that confirms a subscription which begins now.
func (c *Client) subscribed(name string, echo []byte) []byte {
	if c.extended {
		return protocol.AppendSubscribedAt(nil, name, echo, c.hub.cursor(), false)
	}
	return protocol.AppendSubscribed(nil, name, echo)
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
	if c.extended {
		defer h.flush()
		h.say(c, protocol.AppendUnsubscribed(nil, channel, scope.Raw))
	}
	return nil
}

// Refuse answers a message with an error. In the extended protocol it says what it is about, where that is known.
func (c *Client) Refuse(err *protocol.Error, about protocol.Message) {
	if c.extended {
		if err.Code == protocol.CodeInvalidMessage {
			about = protocol.Message{} // it ends no subscription, so it names none
		}
		c.Send(protocol.AppendErrorAbout(nil, err.Code, about.Channel, about.Scope.Raw, err.Detail))
		return
	}
	if err.Code == protocol.CodeUnavailable { // there is no frame in which the base protocol could say so
		c.Close(protocol.CloseTryAgainLater)
		return
	}
	c.Send(protocol.AppendError(nil, err.Code))
}

// Subscriptions is how many the client has.
func (c *Client) Subscriptions() int {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	return len(c.subs)
}

// Send queues a frame that belongs to no subscription.
func (c *Client) Send(frame []byte) {
	c.queue.push(wire.Make(frame))
	c.queue.wake()
}

// SendNext is Send behind what the hub is telling the client at the moment, such as how a question was answered that the caller
// waited for.
func (c *Client) SendNext(frame []byte) {
	c.hub.mu.Lock()
	defer c.hub.mu.Unlock()
	c.Send(frame)
}

// Ping queues bytes that are no frame of ours, behind those that wait. They are not changed, and a piece of their own.
func (c *Client) Ping(message []byte) {
	c.queue.push(message)
	c.queue.wake()
}

// Serve makes ready be called when something begins to wait for the client, at once where something does, and not again until
// Take has found nothing. ready must not wait for anything, nor call the client or the hub. After Serve(nil) nobody is told
// any more.
func (c *Client) Serve(ready func()) { c.queue.serve(ready) }

// Take returns the frames that wait, in order and in their wire form, and how many they are: a slice holds one or several,
// one behind the other. They are shared: do not change them. What the call before has returned counts as sent now, and
// its slice may be given back as reuse. The error is a *Closed when the client has to go: it has all that was due to it, or
// was too slow to get it.
func (c *Client) Take(reuse [][]byte) (frames [][]byte, count int, err error) {
	if c.queue.sent() {
		c.hub.mu.Lock()
		c.hub.letIn(c)
		c.hub.mu.Unlock()
	}
	return c.queue.take(reuse)
}

// Close makes Take return a *Closed with this code behind what is queued.
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
	h.forgetWaits(c)
	delete(h.clients, c)
}
