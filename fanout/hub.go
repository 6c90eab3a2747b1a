package fanout

import (
	"cmp"
	"container/list"
	"context"
	"errors"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// Hub is the cdc.Sink that turns transactions into frames in clients' queues. The methods of cdc.Sink are called one at a time,
// everything else at any time and from any goroutine. One lock covers the index: a subscription begins and ends between two
// transactions, never within one.
type Hub struct {
	logger     *zap.Logger
	queueBytes int
	snapshots  Snapshots
	// snapshotReaders is how many are read at the same time.
	snapshotReaders int
	wake            chan struct{} // tells Run that a reading is wanted
	batchWake       chan struct{} // tells Run that there is a batch
	visible         func(context.Context) (cdc.Visibility, error)
	holdWake        chan struct{} // tells Run that a subscription is on hold

	heartbeat time.Duration
	nudge     func(context.Context) error
	needed    atomic.Uint64 // what Needed returns

	sender Sender

	resuming sync.Mutex // one client resumes at a time; taken before mu
	mu       sync.Mutex
	registry *registry
	clients  map[*Client]struct{}
	shapes   map[uint32]shape // by table OID
	touched  []*Client
	encoder  encoder
	active   []*group
	// overflowed are the channels of which the transaction at hand had changes that were too large to be told.
	overflowed []*channel
	change     cdc.Change // that is being routed: a variable of routeAll would be allocated for each

	readings      map[*topic]*reading
	wanted        list.List // of *reading: those that no reader has taken yet
	running       map[*reading]struct{}
	readingNumber uint64
	unseen        unseen
	pace          pace

	// epoch and position say where the stream is: all that committed before position was delivered.
	epoch      protocol.EpochID
	position   cdc.LSN
	started    bool
	cursorText string // of position; empty until somebody needs it
	log        replayLog
	replays    replays
	parts      parts
	waits      waits
	parked     []*reading // that wait for the stream

	batches  []*group  // that have one, or had
	batchDue time.Time // when sendBatches looks again; zero while there is none

	delivered cdc.LSN // the last transaction of the log
	ingested  uint64  // transactions that came beside it

	held    map[*subscription]*hold // the subscriptions on hold
	revoked uint64

	opening []*channel // that wait for the stream to reach a position

	lost []*Client // that take no more, and have not been let go of: see dropLost

	judged        uint64 // changes that a filter was asked about
	subscriptions int
	events        uint64
	frames        uint64
}

// Options configure a Hub.
type Options struct {
	Channels []Channel
	// QueueBytes bounds what may wait for one client.
	QueueBytes int
	// Snapshots reads the snapshots of channels that have them; nil where none has.
	Snapshots Snapshots
	// SnapshotReaders is how many of them are read at the same time; 0 stands for four.
	SnapshotReaders int
	// Resume bounds what is kept for clients that come back.
	Resume ResumeOptions
	// Heartbeat is how often a client of the extended protocol hears where the stream is; 0 stands for 15 seconds.
	Heartbeat time.Duration
	// Nudge makes the stream move, by a message in the log that is of no other use; nil where it moves by itself.
	Nudge func(context.Context) error
	// Visible says which transactions a query shows that begins now; nil where no channel has a Guard. It is called from one
	// goroutine.
	Visible func(ctx context.Context) (cdc.Visibility, error)
	Log     *zap.Logger
}

const defaultHeartbeat = 15 * time.Second

// maxUnseen bounds the transactions that are kept until they are visible, in bytes.
const maxUnseen = 64 << 20

// NewHub makes a hub. Run has to run for all that takes its time: snapshots, batches, heartbeats, resumption.
func NewHub(o Options) (*Hub, error) {
	registry, err := newRegistry(o.Channels, o.Log)
	if err != nil {
		return nil, err
	}
	if o.Visible == nil && len(registry.guarded) > 0 {
		return nil, errors.New("a channel has a guard, and nobody says which transactions are visible")
	}
	h := &Hub{
		logger: o.Log, queueBytes: o.QueueBytes, snapshots: o.Snapshots, snapshotReaders: cmp.Or(o.SnapshotReaders, snapshotReaders),
		wake: make(chan struct{}, 1), batchWake: make(chan struct{}, 1), registry: registry,
		heartbeat: cmp.Or(o.Heartbeat, defaultHeartbeat), nudge: o.Nudge,
		clients: map[*Client]struct{}{}, shapes: map[uint32]shape{},
		readings: map[*topic]*reading{}, running: map[*reading]struct{}{}, unseen: unseen{limit: maxUnseen},
		log:     replayLog{ResumeOptions: o.Resume, seed: maphash.MakeSeed()},
		sender:  nobody{},
		visible: o.Visible, holdWake: make(chan struct{}, 1), held: map[*subscription]*hold{},
	}
	h.noteNeeded()
	return h, nil
}

// Run does what takes its time: it reads snapshots, sends batches and asks about subscriptions on hold. It returns when ctx
// has ended and nothing of it runs any more.
func (h *Hub) Run(ctx context.Context) {
	var running sync.WaitGroup
	running.Go(func() { h.sendBatches(ctx) })
	running.Go(func() { h.beat(ctx) })
	running.Go(func() { h.tend(ctx) })
	if h.snapshots != nil {
		running.Go(func() { h.readSnapshots(ctx) })
		running.Go(func() { h.watchVisibility(ctx) })
	}
	running.Go(func() { h.settleHolds(ctx) })
	running.Wait()
}

// Attach adds a client. It stays until Detach. viewer is who the client is, for those whom the hub asks what a client may
// see; the hub does not look into it. What waits for the client is gathered until Serve.
func (h *Hub) Attach(viewer any, abilities ...Ability) *Client {
	c := &Client{hub: h, viewer: viewer, queue: newQueue(h.queueBytes), subs: map[*topic]*subscription{}}
	for _, ability := range abilities {
		switch ability {
		case Extended:
			c.extended = true
		case Deflated:
			c.deflated = true
		}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.clients[c] = struct{}{}
	if c.extended {
		h.say(c, h.welcome())
		h.flush()
	}
	return c
}

// say is push for a frame that is not in wire form yet.
func (h *Hub) say(c *Client, frame []byte) { h.push(c, h.encoder.wire(frame, c.dialect)) }

// push queues a frame and tells whether the client still takes any. The client is woken by flush, when all that belongs
// together is queued.
func (h *Hub) push(c *Client, frame []byte) bool {
	if c.extended && c.holds > 0 {
		return h.keep(c, kept{frame: frame, bytes: len(frame)})
	}
	return h.queueUp(c, frame)
}

// queueUp is push also for a client of which a subscription is on hold.
func (h *Hub) queueUp(c *Client, frame []byte) bool {
	open := c.queue.push(frame)
	if !open && !c.lost {
		c.lost = true
		h.lost = append(h.lost, c)
	}
	if open && !c.touched {
		c.touched = true
		h.touched = append(h.touched, c)
	}
	return open
}

// dropLost ends the subscriptions of clients that take no more. Between two changes of a transaction it may: what is left of
// a huge one need not be made for somebody who has to go.
func (h *Hub) dropLost() {
	for i, c := range h.lost {
		for _, s := range c.subs {
			h.drop(s)
		}
		h.lost[i] = nil
	}
	h.lost = h.lost[:0]
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
	case s.group.channel().Snapshot == nil:
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
	s.client.forgetKept(s)
	h.letGo(s)
	if s.waits() {
		h.leave(s)
	}
	s.remove()
	h.subscriptions--
}

// dismiss ends a client's connection behind all that is due to it.
func (h *Hub) dismiss(c *Client, code protocol.Close) {
	for _, s := range c.subs {
		h.release(s.group)
	}
	c.queue.close(code)
}

// end ends a subscription of the extended protocol, and says why.
func (h *Hub) end(s *subscription, code protocol.Code, why string) {
	h.drop(s)
	h.say(s.client, protocol.AppendErrorAbout(nil, code, s.group.channel().Name, s.group.scope(), why))
}

// signal wakes whoever waits for a channel that holds one, or will next.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
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
	Undecided     uint64 // subscriptions that ended since nobody could say in time whether the client has it, since the start
	// FilterFailures counts, by channel, how often a filter had no answer for a row and a client, so that the row was not
	// shown. Channels without a filter are not in it.
	FilterFailures map[string]uint64
	// ResolverFailures counts, by channel, how often a resolver did not know the scopes of a row, so that views began anew.
	// Channels without a resolver are not in it.
	ResolverFailures map[string]uint64
	// SnapshotFailures counts, by channel, the snapshots that could not be read; Overflows the subscriptions that started over
	// because a change was too large to be told.
	SnapshotFailures, Overflows map[string]uint64
}

// Stats may be called from any goroutine. It looks at every client.
func (h *Hub) Stats() Stats {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := Stats{
		Clients: len(h.clients), Subscriptions: h.subscriptions, Events: h.events, Frames: h.frames,
		OnHold: len(h.held), Revoked: h.revoked, FilterFailures: map[string]uint64{}, ResolverFailures: map[string]uint64{},
		SnapshotFailures: map[string]uint64{}, Overflows: map[string]uint64{},
	}
	for name, ch := range h.registry.byName {
		s.Undecided += ch.undecided.count.Load()
		s.SnapshotFailures[name], s.Overflows[name] = ch.snapshotFailures.count.Load(), ch.overflows.count.Load()
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
	ch, index, value, err := h.resolve(channel, scope)
	if err == nil {
		err = ch.unavailable() // before anybody is asked
	}
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
	if len(scope.Raw) > maxEcho {
		return nil, nil, "", &protocol.Error{Code: protocol.CodeInvalidScope, Detail: "the scope is written at too great a length"}
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
