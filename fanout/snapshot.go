package fanout

import (
	"container/list"
	"context"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// Snapshots reads from the database that the changes come from. Its methods may be called from several goroutines.
type Snapshots interface {
	// Snapshot reads the rows of one view and says which transactions they show.
	Snapshot(ctx context.Context, view View) (*cdc.Snapshot, error)
	// Visibility says which transactions a snapshot would show that was taken now.
	Visibility(ctx context.Context) (cdc.Visibility, error)
}

// View names the rows of one (channel, scope) for a snapshot. Of a scope that is resolved, the table may have no such
// column.
type View struct {
	Channel       string
	Schema, Table string
	Column, Value string
	Exclude       []string
	SnapshotOptions
}

// SnapshotOptions say how much of a view a new subscriber is sent.
type SnapshotOptions struct {
	// Limit is the largest number of rows.
	Limit int
	// OrderBy says which rows come first, and so which are within the limit. The primary key decides between equals.
	OrderBy []Order
}

// Order is one column to order by.
type Order struct {
	Column     string
	Descending bool
	NullsFirst bool
}

// How a snapshot and the stream are joined.
//
// A snapshot shows certain transactions, and the stream brings all of them, in another order and at another time. A
// subscriber gets the snapshot, then every transaction that the snapshot does not show, and none that it does:
//
//   - What the stream brings later is dropped as long as the snapshot shows it: see subscription.seen.
//   - What the stream has brought before may still be missing from the snapshot: PostgreSQL writes a commit to the log
//     before it makes it visible, and with synchronous standbys long before. So the hub keeps every transaction until a
//     later look at the database shows it, and completes a snapshot from there: see unseen.
const (
	// snapshotReaders is how many snapshots are read at the same time where Options do not say it.
	snapshotReaders = 4
	// snapshotTimeout bounds one reading, waiting for a connection included.
	snapshotTimeout = 10 * time.Second
	// snapshotPause is between two readings for the same view, when the first one was overtaken.
	snapshotPause = 50 * time.Millisecond
	// lookEvery is between two looks at which transactions have become visible.
	lookEvery = time.Second
)

// seen keeps a subscription from getting again what its snapshot showed.
type seen struct {
	visibility *cdc.Visibility
	upto       cdc.LSN
}

// hides tells whether the snapshot showed a transaction, and whether later ones need not be asked about any more.
func (s *seen) hides(tx *cdc.Transaction) (hidden, passed bool) {
	if tx.Commit >= s.upto {
		return false, true
	}
	return s.visibility.Shows(tx.XID), false
}

// reading is a snapshot being read for everyone who waits for it: identical ones are one.
type reading struct {
	topic   *topic
	number  uint64
	waiting map[*subscription]struct{}
	since   time.Time     // when the first one wished for it; when it was parked
	place   *list.Element // among those that are wanted; nil when a reader has it
	stale   bool          // what it reads may have been read before a gap in the stream

	// What was read for those that wait until the stream has passed it: see Hub.park.
	snapshot *cdc.Snapshot
	rows     *shownRows
	// following are transactions beside the log that came while it was read.
	following      []*cdc.Transaction
	followingBytes int
}

// await puts a subscription among those that wait for the topic's snapshot.
func (h *Hub) await(s *subscription) {
	t := s.group.topic
	r := h.readings[t]
	if s.reading != r || s.aside {
		h.leave(s) // it is in one place only: another reading may be parked, and would complete it a second time
	}
	if r == nil {
		r = &reading{topic: t, waiting: map[*subscription]struct{}{}, since: time.Now()}
		h.readings[t] = r
		r.place = h.wanted.PushBack(r)
		signal(h.wake)
	}
	r.waiting[s] = struct{}{}
	s.reading = r
	h.pace.wish(time.Now())
}

// leave takes a subscription from those that wait for the topic's snapshot, or for room for it. A reading that nobody waits
// for any more is forgotten: clients that come and go must not make work and memory gather.
func (h *Hub) leave(s *subscription) {
	if s.aside {
		s.aside = false
		delete(s.client.aside, s)
	}
	r := s.reading
	if r == nil {
		return
	}
	s.reading = nil
	delete(r.waiting, s)
	if len(r.waiting) > 0 || h.readings[r.topic] != r {
		return
	}
	delete(h.readings, r.topic)
	if r.place != nil {
		h.wanted.Remove(r.place)
	}
}

// readSnapshots reads what is wanted, until ctx ends and no reading is left.
func (h *Hub) readSnapshots(ctx context.Context) {
	var readers errgroup.Group
	readers.SetLimit(h.snapshotReaders)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for ctx.Err() == nil {
		select {
		case <-h.wake:
		case <-timer.C:
		case <-ctx.Done():
		}
		for ctx.Err() == nil {
			r, wait := h.next()
			if wait {
				timer.Reset(stormWindow)
			}
			if r == nil {
				break
			}
			readers.Go(func() error { h.read(ctx, r); return nil })
		}
	}
	_ = readers.Wait() // the readers return no error
}

// next takes the reading that was wanted first. Where that has to wait, it tells so.
func (h *Hub) next() (r *reading, wait bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	first := h.wanted.Front()
	if first == nil {
		return nil, false
	}
	r = first.Value.(*reading)
	if now := time.Now(); h.pace.storms(now) && now.Sub(r.since) < stormPatience {
		return nil, true
	}
	h.wanted.Remove(first)
	r.place = nil
	return r, false
}

// read reads until the snapshot fits the stream, and completes the subscriptions that wait for it.
func (h *Hub) read(ctx context.Context, r *reading) {
	ctx, cancel := context.WithTimeout(ctx, snapshotTimeout)
	defer cancel()
	for h.start(r) {
		ch, index := r.topic.channel(), r.topic.index
		snapshot, err := h.snapshots.Snapshot(ctx, View{
			Channel: ch.Name, Schema: ch.Schema, Table: ch.Table, Column: index.Column, Value: r.topic.value, Exclude: ch.unread(), SnapshotOptions: *ch.Snapshot,
		})
		var rows *shownRows
		if err == nil {
			rows, err = ch.show(snapshot, h.waiting(r))
		}
		if h.finish(r, snapshot, rows, err) {
			return
		}
		select {
		case <-time.After(snapshotPause):
		case <-ctx.Done():
		}
	}
}

// start returns false when nobody waits any more.
func (h *Hub) start(r *reading) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	for s := range r.waiting {
		h.setAside(s, h.queueBytes/2)
	}
	if len(r.waiting) == 0 {
		return false
	}
	h.readingNumber++
	r.number, r.stale = h.readingNumber, false
	r.following, r.followingBytes = nil, 0
	h.running[r] = struct{}{}
	return true
}

// finish completes the subscriptions that wait, or returns false when the snapshot is too old to be completed.
func (h *Hub) finish(r *reading, snapshot *cdc.Snapshot, rows *shownRows, err error) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	delete(h.running, r)
	defer func() { h.unseen.settle(h.oldestReading()) }()
	if err != nil {
		r.topic.channel().snapshotFailures.note(err)
		h.giveUp(r)
		return true
	}
	if r.stale || !h.unseen.completes(r.topic.channel(), &snapshot.Visibility) {
		return false
	}
	if len(r.waiting) > 0 {
		delete(h.readings, r.topic)
		h.complete(r, snapshot, rows)
	}
	return true
}

// giveUp tells those who wait for a reading that it failed.
func (h *Hub) giveUp(r *reading) {
	for s := range r.waiting {
		switch {
		case s.group.extended:
			h.end(s, protocol.CodeSnapshotUnavailable, "the snapshot could not be read: try again")
		case s.again:
			// An error frame does not say which view has gone stale, and the client has asked for nothing.
			h.leave(s) // or others that come would wait for a reading that is over
			s.client.queue.close(protocol.CloseServiceRestart)
		default:
			h.drop(s)
			h.say(s.client, protocol.AppendError(nil, protocol.CodeSnapshotUnavailable))
		}
	}
}

// waiting lists the clients that wait for a reading, with who they are now.
func (h *Hub) waiting(r *reading) map[asker]any {
	h.mu.Lock()
	defer h.mu.Unlock()
	askers := make(map[asker]any, len(r.waiting))
	for s := range r.waiting {
		askers[asker{s.client, s.client.renewed}] = s.client.viewer
	}
	return askers
}

// complete sends the snapshot to each subscription that waits, then what the stream had brought and the snapshot
// does not show, and lets the subscription go live. A client that has come while the rows were filtered for the others
// waits for the next snapshot. Those of the extended protocol, and of a channel with a guard, may have to wait for the stream:
// see park.
func (h *Hub) complete(r *reading, snapshot *cdc.Snapshot, rows *shownRows) {
	frames := map[shownTo][]byte{}
	visibility := snapshot.Visibility // alone: the rows are not to live as long as the subscriptions
	parked := false
	for s := range r.waiting {
		to, ok := rows.to(s)
		switch {
		case !ok:
			delete(r.waiting, s)
			h.await(s)
			continue
		case h.position < snapshot.Upto && (s.group.extended || s.group.channel().guard != nil):
			parked = true
			continue
		case s.group.extended:
			delete(r.waiting, s)
			h.completeExtended(s, &visibility, rows, to, r.following, frames)
			continue
		}
		delete(r.waiting, s)
		frame := frames[to]
		if frame == nil {
			frame = h.encoder.wire(protocol.AppendSnapshot(nil, r.topic.channel().Name, s.group.scope(), rows.seenBy(to)), to.dialect)
			frames[to] = frame
		}
		if h.setAside(s, len(frame)) {
			continue
		}
		h.put(s, frame)
		h.release(s.group)
		s.reading = nil
		s.activate(&seen{visibility: &visibility, upto: snapshot.Upto})
		known := h.catchUp(s, &visibility, h.routeTo)
		for _, tx := range r.following {
			known = known && h.replayAll(s, tx, h.routeTo)
		}
		if !known {
			s.suspend()
			h.await(s)
		}
	}
	if parked {
		h.park(r, snapshot, rows)
	}
}

// router does with a change what is to be done for one subscription, and returns false where the way of the row is not
// known.
type router func(*subscription, *cdc.Transaction, *binding, *cdc.Change) (known bool)

// catchUp gives route what the hub has routed before and a subscription's snapshot does not show. It returns false where
// the way of a row is not known, which route need not have noticed while nobody looked: then only a later snapshot is of
// use.
func (h *Hub) catchUp(s *subscription, v *cdc.Visibility, route router) bool {
	ch := s.group.channel()
	for i := range h.unseen.transactions {
		t := &h.unseen.transactions[i]
		if !v.Shows(t.tx.XID) && !h.replayAll(s, t.tx, route) {
			t.cuts = append(t.cuts, cut{ch, protocol.ResetSchema})
			return false
		}
	}
	return true
}

// replayAll gives route all changes of a transaction that are of the subscription's channel.
func (h *Hub) replayAll(s *subscription, tx *cdc.Transaction, route router) bool {
	for change := range tx.Changes() {
		for _, b := range h.bindingsThen(change.Table) {
			if b.channel == s.group.channel() && !route(s, tx, b, &change) {
				return false
			}
		}
	}
	return true
}

// watchVisibility keeps unseen short.
func (h *Hub) watchVisibility(ctx context.Context) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		h.mu.Lock()
		idle := h.unseen.empty()
		h.mu.Unlock()
		if idle {
			continue
		}
		v, err := h.snapshots.Visibility(ctx)
		if err != nil {
			continue // the stream tells of a lost server better
		}
		h.mu.Lock()
		h.unseen.look(v, h.readingNumber)
		h.unseen.settle(h.oldestReading())
		h.mu.Unlock()
	}
}

// oldestReading is the number of the running reading that began first, or one that none has reached.
func (h *Hub) oldestReading() uint64 {
	oldest := h.readingNumber + 1
	for r := range h.running {
		oldest = min(oldest, r.number)
	}
	return oldest
}
