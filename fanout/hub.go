package fanout

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"

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
	snapshots  Snapshots
	wake       chan struct{} // tells Run that a reading is wanted
	batchWake  chan struct{} // tells Run that there is a batch
	visible    func(context.Context) (cdc.Visibility, error)
	holdWake   chan struct{} // tells Run that a subscription is on hold

	mu       sync.Mutex
	registry *registry
	clients  map[*Client]struct{}
	shapes   map[uint32]shape // by table OID
	touched  []*Client
	encoder  encoder

	readings      map[*topic]*reading
	wanted        list.List // of *reading: those that no reader has taken yet
	running       map[*reading]struct{}
	readingNumber uint64
	unseen        unseen

	batches  []*group  // that have one, or had
	batchDue time.Time // when sendBatches looks again; zero while there is none

	held    map[*subscription]struct{} // the subscriptions on hold
	revoked uint64

	judged        uint64 // changes that a filter was asked about
	subscriptions int
	events        uint64
	frames        uint64
}

// shape is the last description of a table and what it means to the channels.
type shape struct {
	table    *cdc.Table
	bindings []*binding
}

// Options configure a Hub.
type Options struct {
	Channels []Channel
	// QueueBytes bounds what may wait for one client.
	QueueBytes int
	// Snapshots reads the snapshots of channels that have them; nil where none has.
	Snapshots Snapshots
	// Visible says which transactions a query shows that begins now; nil where no channel has a Guard. It is called from one
	// goroutine.
	Visible func(ctx context.Context) (cdc.Visibility, error)
	Log     *zap.Logger
}

// maxUnseen bounds the transactions that are kept until they are visible, in bytes.
const maxUnseen = 64 << 20

// NewHub makes a hub. Where channels have snapshots, batches or guards, Run has to run.
func NewHub(o Options) (*Hub, error) {
	registry, err := newRegistry(o.Channels, o.Log)
	if err != nil {
		return nil, err
	}
	if o.Visible == nil && len(registry.guarded) > 0 {
		return nil, errors.New("a channel has a guard, and nobody says which transactions are visible")
	}
	return &Hub{
		log: o.Log, queueBytes: o.QueueBytes, snapshots: o.Snapshots, wake: make(chan struct{}, 1), batchWake: make(chan struct{}, 1), registry: registry,
		clients: map[*Client]struct{}{}, shapes: map[uint32]shape{},
		readings: map[*topic]*reading{}, running: map[*reading]struct{}{}, unseen: unseen{limit: maxUnseen},
		visible: o.Visible, holdWake: make(chan struct{}, 1), held: map[*subscription]struct{}{},
	}, nil
}

// Run does what takes its time: it reads snapshots, sends batches and asks about subscriptions on hold. It returns when ctx
// has ended and nothing of it runs any more.
func (h *Hub) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { h.sendBatches(ctx) })
	if h.snapshots != nil {
		running.Go(func() { h.readSnapshots(ctx) })
		running.Go(func() { h.watchVisibility(ctx) })
	}
	if len(h.registry.guarded) > 0 {
		running.Go(func() { h.settleHolds(ctx) })
	}
	running.Wait()
}

// Attach adds a client. It stays until Detach. viewer is who the client is, for those whom the hub asks what a client may
// see; the hub does not look into it.
func (h *Hub) Attach(viewer any) *Client {
	c := &Client{hub: h, viewer: viewer, queue: newQueue(h.queueBytes), subs: map[*topic]*subscription{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients[c] = struct{}{}
	return c
}

// Deliver implements cdc.Sink. A change costs what its subscribers cost: the index leads straight to them.
func (h *Hub) Deliver(tx *cdc.Transaction) {
	untrue := h.prepare(tx)
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	h.holdConcerned(tx)
	keep, matters := unseenTransaction{tx: tx}, false
	cut := func(ch *channel) {
		keep.cuts = append(keep.cuts, ch)
		h.beginAnew(ch)
	}
	for _, s := range untrue {
		matters = matters || s.channel.Snapshot != nil
		keep.cuts = append(keep.cuts, s.channel)
		h.beginStale(s)
	}
	for change := range tx.Changes() {
		bindings, replaced := h.bindings(change.Table)
		for _, ch := range replaced {
			cut(ch)
		}
		for _, b := range bindings {
			matters = matters || b.channel.Snapshot != nil
			if !h.route(tx, b, &change) {
				cut(b.channel)
			}
		}
	}
	if matters {
		h.unseen.add(keep)
	}
}

// Start implements cdc.Sink.
func (h *Hub) Start(cdc.Start) {}

// Passed implements cdc.Sink.
func (h *Hub) Passed(cdc.LSN) {}

// Needed implements cdc.Sink.
func (h *Hub) Needed() cdc.LSN { return cdc.NeedsNothing }

// push queues a frame and tells whether the client still takes any. The client is woken by flush, when all that belongs
// together is queued.
func (h *Hub) push(c *Client, frame []byte) bool {
	open := c.queue.push(frame)
	if open && !c.touched {
		c.touched = true
		h.touched = append(h.touched, c)
	}
	return open
}

func (h *Hub) flush() {
	for i, c := range h.touched {
		c.touched = false
		c.queue.wake()
		h.touched[i] = nil
	}
	h.touched = h.touched[:0]
}

// begin lets a subscription get its snapshot and then changes, or changes at once.
func (h *Hub) begin(s *subscription) {
	h.release(s.group)
	switch {
	case s.group.topic.channel.Snapshot == nil:
		if s.waits() {
			s.activate(nil)
		}
	case !s.waits():
		s.suspend()
		h.await(s)
	default:
		h.await(s)
	}
}

// drop ends a subscription.
func (h *Hub) drop(s *subscription) {
	delete(s.client.subs, s.group.topic)
	h.letGo(s)
	if s.waits() {
		h.leave(s)
	}
	s.remove()
	h.subscriptions--
}

// Reset implements cdc.Sink. Every view has a gap that nothing can fill: it has to begin anew, and elsewhere where no
// changes will follow.
func (h *Hub) Reset(reason cdc.ResetReason) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	if reason == cdc.ResetStandby {
		h.sendAway()
		return
	}
	h.unseen.clear()
	for _, ch := range h.registry.lookups {
		ch.lookup.Forget()
	}
	for _, ch := range h.registry.guarded { // rights may have been taken away in the gap
		ch.guard.revision++
		ch.guard.Forget()
		h.hold(ch, Concern{})
	}
	for _, r := range h.readings {
		r.stale = true
	}
	for _, ch := range h.registry.byName {
		h.beginAnew(ch)
	}
}

// sendAway ends the connections of everyone who subscribed to anything.
func (h *Hub) sendAway() {
	for c := range h.clients {
		if len(c.subs) > 0 {
			h.dismiss(c, protocol.CloseServiceRestart)
		}
	}
}

// dismiss ends a client's connection behind all that is due to it.
func (h *Hub) dismiss(c *Client, code protocol.Close) {
	for _, s := range c.subs {
		h.release(s.group)
	}
	c.queue.close(code)
}

// beginAnew replaces the channel's views, which are no longer true, by fresh snapshots. Where there are none, the base
// protocol has no frame that would say so: the connections end.
func (h *Hub) beginAnew(ch *channel) {
	h.renew(ch.active())
}

// beginAnewOf is beginAnew for one topic.
func (h *Hub) beginAnewOf(t *topic) {
	var active []*subscription
	for _, g := range t.groups {
		active = append(active, g.subs...)
	}
	h.renew(active)
}

func (h *Hub) renew(subscriptions []*subscription) {
	for _, s := range subscriptions {
		if s.group.topic.channel.Snapshot == nil {
			h.release(s.group)
			s.client.queue.close(protocol.CloseServiceRestart)
			continue
		}
		h.begin(s)
		s.again = true
	}
}

// shut marks a channel whose table is no longer what it was, and ends its subscribers' connections, also of those that
// still wait for a snapshot.
func (h *Hub) shut(ch *channel) {
	ch.broken, ch.table = true, 0
	for _, s := range ch.active() {
		s.client.queue.close(protocol.CloseServiceRestart)
	}
	for t, r := range h.readings {
		if t.channel != ch {
			continue
		}
		for s := range r.waiting {
			s.client.queue.close(protocol.CloseServiceRestart)
		}
	}
}

// bindingsThen returns what an earlier description of a table meant.
func (h *Hub) bindingsThen(t *cdc.Table) []*binding {
	if now := h.shapes[t.OID]; now.table == t {
		return now.bindings
	}
	var bindings []*binding
	for _, ch := range h.registry.byTable[TableName{t.Schema, t.Name}] {
		if b, ok := ch.bind(t); ok {
			bindings = append(bindings, b)
		}
	}
	return bindings
}

// bindings returns what a table means to the channels, after looking whether it is still the table that it was. replaced
// are the channels whose name now means another table than before: one that was dropped and created again, or swapped.
// Nothing will ever tell that the old one's rows are gone.
func (h *Hub) bindings(t *cdc.Table) (bindings []*binding, replaced []*channel) {
	known, ok := h.shapes[t.OID]
	if ok && known.table == t {
		return known.bindings, nil
	}
	for _, ch := range h.registry.byTable[TableName{t.Schema, t.Name}] {
		b, ok := ch.bind(t)
		if !ok {
			h.log.Error("the table was altered so that the channel no longer fits it: mend the configuration and restart",
				zap.String("channel", ch.Name), zap.Stringer("table", t))
			h.shut(ch)
			continue
		}
		if ch.table != 0 && ch.table != t.OID {
			replaced = append(replaced, ch)
		}
		ch.broken, ch.table = false, t.OID
		bindings = append(bindings, b)
	}
	if ok && known.table.String() != t.String() {
		h.renamed(known, t)
	}
	h.shapes[t.OID] = shape{table: t, bindings: bindings}
	return bindings, replaced
}

// renamed ends the views of a table that has another name now: its channels hear nothing of it any more. A channel that
// has found another table of its name goes on with that.
func (h *Hub) renamed(was shape, now *cdc.Table) {
	for _, b := range was.bindings {
		if b.channel.table != now.OID {
			continue
		}
		h.log.Error("the table was renamed: mend the configuration and restart",
			zap.String("channel", b.channel.Name), zap.Stringer("table", was.table), zap.Stringer("now", now))
		h.shut(b.channel)
	}
}

// Stats is a moment's view of a hub.
type Stats struct {
	Clients       int
	Subscriptions int
	Events        uint64 // made of changes since the start; each went to at least one subscription
	Frames        uint64 // with changes, put into queues since the start
	QueueBytes    int    // waiting in all queues and on hold; a frame that is shared counts once for each
	OnHold        int    // subscriptions that wait for whether their client still has the right to them
	Revoked       uint64 // subscriptions whose client had lost it, since the start
	// FilterFailures counts, by channel, how often a filter had no answer for a row and a client, so that the row was not
	// shown. Channels without a filter are not in it.
	FilterFailures map[string]uint64
	// ResolverFailures counts, by channel, how often a resolver did not know the scopes of a row, so that views began anew.
	// Channels without a resolver are not in it.
	ResolverFailures map[string]uint64
}

// Stats may be called from any goroutine. It looks at every client.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Stats{
		Clients: len(h.clients), Subscriptions: h.subscriptions, Events: h.events, Frames: h.frames,
		OnHold: len(h.held), Revoked: h.revoked, FilterFailures: map[string]uint64{}, ResolverFailures: map[string]uint64{},
	}
	for name, ch := range h.registry.byName {
		if ch.filter != nil {
			s.FilterFailures[name] = ch.filter.failures.count.Load()
		}
		if ch.resolver != nil {
			s.ResolverFailures[name] = ch.resolver.failures.count.Load()
		}
	}
	for c := range h.clients {
		s.QueueBytes += c.queue.size() + c.held
	}
	return s
}

// ScopeOf says what a client's scope stands for, to be decided upon before it subscribes. The error is a
// *protocol.Error.
func (h *Hub) ScopeOf(channel string, scope protocol.Scope) (ScopeValue, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, index, value, err := h.resolve(channel, scope)
	if err != nil {
		return ScopeValue{}, err
	}
	return ScopeValue{Column: index.Column, Type: index.Type, Text: value}, nil
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
