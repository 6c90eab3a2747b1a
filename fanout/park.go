package fanout

import (
	"slices"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// What a client of the extended protocol holds is, at every cursor, what the database held at that commit. A snapshot is
// of no such moment: it may show a commit that the stream has yet to bring, and not show one that it has brought. So it
// is parked until the stream has passed all that it shows, and then what it does not show is put into it. What is sent
// is the view at the position where the stream stands.
//
// Where rights may be taken away, every client's is parked: it may show what was committed behind a removal that the stream has
// yet to bring. When it does, the subscription is on hold before the snapshot is completed.

// park keeps a reading until the stream has passed its snapshot. Its number stays among those that run: what the
// snapshot does not show is needed until then.
func (h *Hub) park(r *reading, snapshot *cdc.Snapshot, rows *shownRows) {
	r.snapshot, r.rows, r.since = snapshot, rows, time.Now()
	h.running[r] = struct{}{}
	h.parked = append(h.parked, r)
}

// completeParked completes the readings that the stream has passed.
func (h *Hub) completeParked() {
	if len(h.parked) == 0 {
		return
	}
	parked := h.parked
	h.parked = nil
	for _, r := range parked {
		if len(r.waiting) > 0 && h.position < r.snapshot.Upto && !r.stale {
			h.parked = append(h.parked, r)
			continue
		}
		delete(h.running, r)
		if r.stale || !h.unseen.completes(r.topic.channel(), &r.snapshot.Visibility) {
			for s := range r.waiting {
				delete(r.waiting, s)
				h.await(s)
			}
			continue
		}
		h.complete(r, r.snapshot, r.rows)
	}
	h.unseen.settle(h.oldestReading())
}

// giveUpParked ends the wait of those for whom the stream takes too long.
func (h *Hub) giveUpParked(now time.Time) {
	defer h.flush()
	h.parked = slices.DeleteFunc(h.parked, func(r *reading) bool {
		if now.Sub(r.since) < snapshotTimeout {
			return false
		}
		delete(h.running, r)
		h.giveUp(r)
		return true
	})
}

// distrustReadings makes every snapshot that is being read, or parked, be read again.
func (h *Hub) distrustReadings() {
	for _, r := range h.readings {
		r.stale = true
	}
	for _, r := range h.parked {
		r.stale = true
	}
	h.completeParked()
}

// waitingFor lists the channel's subscriptions that wait for a snapshot, or for room for it.
func (h *Hub) waitingFor(ch *channel) []*subscription {
	var subs []*subscription
	collect := func(r *reading) {
		if r.topic.channel() == ch {
			for s := range r.waiting {
				subs = append(subs, s)
			}
		}
	}
	for _, r := range h.readings {
		collect(r)
	}
	for _, r := range h.parked {
		collect(r)
	}
	for c := range h.clients {
		for s := range c.aside {
			if s.group.channel() == ch {
				subs = append(subs, s)
			}
		}
	}
	return subs
}

// completeExtended sends a subscription its view as it is where the stream stands, and lets it go live. frames holds those
// that need nothing put into them.
func (h *Hub) completeExtended(s *subscription, v *cdc.Visibility, rows *shownRows, to shownTo, following []*cdc.Transaction, frames map[shownTo][]byte) {
	name, echo := s.group.channel().Name, s.group.scope()
	m := merge{hub: h}
	put := func(s *subscription, tx *cdc.Transaction, b *binding, c *cdc.Change) bool {
		if m.rows == nil {
			m.rows = rows.keyedFor(to)
		}
		return m.route(s, tx, b, c)
	}
	known := h.catchUp(s, v, put)
	for _, tx := range following {
		known = known && h.replayAll(s, tx, put)
	}
	if !known {
		h.await(s)
		return
	}
	frame := frames[to]
	switch {
	case m.rows != nil:
		frame = h.encoder.wire(protocol.AppendSnapshotAt(nil, name, echo, h.cursor(), m.values()), to.dialect)
	case frame == nil:
		frame = h.encoder.wire(protocol.AppendSnapshotAt(nil, name, echo, h.cursor(), rows.seenBy(to)), to.dialect)
		frames[to] = frame
	}
	if h.setAside(s, len(frame)) {
		return
	}
	s.reading = nil
	s.activate(nil)
	h.put(s, frame)
}

// merge puts changes into the rows of a snapshot.
type merge struct {
	hub  *Hub
	rows []keyedRow
}

// keyedRow is a row as it is sent, with its primary key.
type keyedRow struct{ key, json []byte }

// route does to the rows what the change does to the subscription's view. It returns false where that is not known.
func (m *merge) route(s *subscription, tx *cdc.Transaction, b *binding, c *cdc.Change) bool {
	d := m.hub.delta(tx, b, c)
	kinds, n, known := d.kindsFor(s)
	for _, kind := range kinds[:n] {
		image := c.After
		if kind == protocol.AfterDelete {
			image = c.Before
		}
		if kind != protocol.AfterDelete && b.unknown(image) {
			return false // a value that the row has is not known here: a later snapshot shows it
		}
		key := b.appendKey(nil, image)
		at := slices.IndexFunc(m.rows, func(r keyedRow) bool { return string(r.key) == string(key) })
		switch {
		case kind == protocol.AfterDelete && at >= 0:
			m.rows = slices.Delete(m.rows, at, at+1)
		case kind == protocol.AfterDelete:
		case at >= 0:
			m.rows[at].json = b.appendRow(nil, image)
		default:
			m.rows = append(m.rows, keyedRow{key, b.appendRow(nil, image)})
		}
	}
	return known
}

// unknown tells whether a value is Absent that clients are shown.
func (b *binding) unknown(row cdc.Row) bool {
	for i, v := range row.Values() {
		if i < len(b.columns) && !b.columns[i].hidden && v.State == cdc.Absent {
			return true
		}
	}
	return false
}

func (m *merge) values() [][]byte {
	rows := make([][]byte, len(m.rows))
	for i, r := range m.rows {
		rows[i] = r.json
	}
	return rows
}
