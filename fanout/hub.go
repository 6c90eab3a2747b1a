package fanout

import (
	"sync"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// Hub is the cdc.Sink that turns transactions into frames in clients' queues. Deliver and Reset belong to one goroutine,
// everything else may be called from any. One lock covers the index: a subscription begins and ends between two
// transactions, never within one.
type Hub struct {
	log        *zap.Logger
	queueBytes int

	mu       sync.Mutex
	registry *registry
	clients  map[*Client]struct{}
	shapes   map[uint32]shape // by table OID
	touched  []*Client
	encoder  encoder

	subscriptions int
	events        uint64
	frames        uint64
}

// shape is the last description of a table and what it means to the channels.
type shape struct {
	table    *cdc.Table
	bindings []*binding
}

// NewHub makes a hub for the channels. queueBytes bounds what may wait for one client.
func NewHub(channels []Channel, queueBytes int, log *zap.Logger) (*Hub, error) {
	registry, err := newRegistry(channels)
	if err != nil {
		return nil, err
	}
	return &Hub{
		log: log, queueBytes: queueBytes, registry: registry,
		clients: map[*Client]struct{}{}, shapes: map[uint32]shape{},
	}, nil
}

// Attach adds a client. It stays until Detach.
func (h *Hub) Attach() *Client {
	c := &Client{hub: h, queue: newQueue(h.queueBytes), subs: map[*topic]*subscription{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients[c] = struct{}{}
	return c
}

// Deliver implements cdc.Sink. A change costs what its subscribers cost: the index leads straight to them.
func (h *Hub) Deliver(tx *cdc.Transaction) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for change := range tx.Changes() {
		for _, b := range h.bindings(change.Table) {
			h.route(b, &change)
		}
	}
	for i, c := range h.touched {
		c.touched = false
		c.queue.wake()
		h.touched[i] = nil
	}
	h.touched = h.touched[:0]
}

// Reset implements cdc.Sink. Every view has a gap that nothing can fill: clients have to come back and start over.
func (h *Hub) Reset(cdc.ResetReason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ch := range h.registry.byName {
		h.interrupt(ch)
	}
}

// interrupt ends the connections of everyone whose view of the channel is no longer true.
func (h *Hub) interrupt(ch *channel) {
	ch.each(func(s *subscription) { s.client.queue.close(protocol.CloseServiceRestart) })
}

// bindings returns what a table means to the channels, after looking whether it is still the table that it was.
func (h *Hub) bindings(t *cdc.Table) []*binding {
	known, ok := h.shapes[t.OID]
	if ok && known.table == t {
		return known.bindings
	}
	var bindings []*binding
	for _, ch := range h.registry.byTable[tableKey{t.Schema, t.Name}] {
		b, ok := ch.bind(t)
		if !ok {
			h.log.Error("the table was altered so that the channel's scopes no longer fit: mend the configuration and restart",
				zap.String("channel", ch.Name), zap.Stringer("table", t))
			ch.broken = true
			h.interrupt(ch)
			continue
		}
		ch.broken = false
		bindings = append(bindings, b)
	}
	if ok && known.table.String() != t.String() {
		h.renamed(known, t)
	}
	h.shapes[t.OID] = shape{table: t, bindings: bindings}
	return bindings
}

// renamed ends the views of a table that has another name now: its channels hear nothing of it any more.
func (h *Hub) renamed(was shape, now *cdc.Table) {
	for _, b := range was.bindings {
		h.log.Error("the table was renamed: mend the configuration and restart",
			zap.String("channel", b.channel.Name), zap.Stringer("table", was.table), zap.Stringer("now", now))
		b.channel.broken = true
		h.interrupt(b.channel)
	}
}

// Stats is a moment's view of a hub.
type Stats struct {
	Clients       int
	Subscriptions int
	Events        uint64 // made of changes since the start; each went to at least one subscription
	Frames        uint64 // put into queues since the start
	QueueBytes    int    // waiting in all queues; a frame that is shared counts once for each
}

// Stats may be called from any goroutine. It looks at every client.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Stats{Clients: len(h.clients), Subscriptions: h.subscriptions, Events: h.events, Frames: h.frames}
	for c := range h.clients {
		s.QueueBytes += c.queue.size()
	}
	return s
}

// resolve finds what a client names. The error is a *protocol.Error.
func (h *Hub) resolve(name string, scope protocol.Scope) (*channel, *scopeIndex, string, error) {
	ch := h.registry.byName[name]
	if ch == nil {
		return nil, nil, "", &protocol.Error{Code: protocol.CodeUnknownChannel, Detail: "there is no such channel"}
	}
	index := ch.scope(scope.Col)
	if index == nil {
		return nil, nil, "", &protocol.Error{Code: protocol.CodeInvalidScope, Detail: "the channel has no such scope column"}
	}
	value, ok := index.Type.Canonical(scope.Text())
	if !ok {
		return nil, nil, "", &protocol.Error{Code: protocol.CodeInvalidScope, Detail: "the value is none of the scope column's type"}
	}
	return ch, index, value, nil
}
