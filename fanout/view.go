package fanout

import (
	"slices"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// delta is what one change does to the views of one channel. There is one at a time, for its events are in the hub's encoder.
type delta struct {
	hub     *Hub
	tx      *cdc.Transaction
	binding *binding
	change  *cdc.Change
	// was and now are what the channel's filter says of the change; nil until it is asked, and where there is none.
	was, now *opinion
	rekeyed  answer // whether the row's primary key changed
}

// route turns a change into the deltas of the views that it touches: those of the scope values that the row had before
// and has after. It returns false where that cannot be told, or where the change emptied every view: then the channel's
// views have to begin anew.
func (h *Hub) route(tx *cdc.Transaction, b *binding, c *cdc.Change) bool {
	if c.Op.OfTable() {
		return false
	}
	if !b.judgeable(b.filtered, c) {
		return false
	}
	d := h.delta(tx, b, c)
	if b.channel.resolver != nil && !d.routeResolved() {
		return false
	}
	for i := range b.scopes {
		index := &b.channel.scopes[i]
		if index.Resolved || len(index.topics) == 0 {
			continue
		}
		m, known := b.move(c, i)
		if !known {
			return false
		}
		was, now := index.find(m.was), index.find(m.now)
		if was == now {
			d.send(was, true, true)
			continue
		}
		d.send(was, true, false)
		d.send(now, false, true)
	}
	return true
}

// routeTo does what route does for a single subscription. It returns false where route would. In the extended protocol it
// adds to the parts of the client.
func (h *Hub) routeTo(s *subscription, tx *cdc.Transaction, b *binding, c *cdc.Change) bool {
	d := h.delta(tx, b, c)
	kinds, n, known := d.kindsFor(s)
	for _, kind := range kinds[:n] {
		if s.group.extended {
			h.tellOne(s, d.extendedEvent(kind))
			continue
		}
		h.give(s, d.frame(s.group, kind))
	}
	return known
}

func (h *Hub) delta(tx *cdc.Transaction, b *binding, c *cdc.Change) delta {
	h.encoder.begin()
	return delta{hub: h, tx: tx, binding: b, change: c}
}

// kindsFor says how a single subscription is told of the change, and false where that is not known.
func (d *delta) kindsFor(s *subscription) (kinds [2]protocol.EventType, n int, known bool) {
	was, now, known := d.binding.passes(s.group.topic, d.change)
	if !known {
		return kinds, 0, false
	}
	kinds, n = d.kinds(d.visible(s.client, was, now))
	if n > 0 && d.oversized() {
		return kinds, 0, false
	}
	return kinds, n, true
}

// passes tells whether the row was in a topic's views and is.
func (b *binding) passes(t *topic, c *cdc.Change) (before, after, known bool) {
	if c.Op.OfTable() || !b.judgeable(b.filtered, c) {
		return false, false, false
	}
	if t.index.Resolved {
		was, now, known := b.ways(c)
		at := place{t.index, t.value}
		return slices.Contains(was, at), slices.Contains(now, at), known
	}
	for i := range b.scopes {
		if &b.channel.scopes[i] == t.index {
			m, known := b.move(c, i)
			return is(m.was, t.value), is(m.now, t.value), known
		}
	}
	return false, false, false
}

// kinds says how a view is told of the change, by n events at most two, given whether the row was in it before and is
// after. A row whose primary key changed leaves as one row and enters as another, also where it stays.
func (d *delta) kinds(before, after bool) (kinds [2]protocol.EventType, n int) {
	switch {
	case before && after && d.keyChanged():
		return [2]protocol.EventType{protocol.AfterDelete, protocol.AfterInsert}, 2
	case before && after:
		kinds[0] = protocol.AfterUpdate
	case before:
		kinds[0] = protocol.AfterDelete
	case after:
		kinds[0] = protocol.AfterInsert
	default:
		return kinds, 0
	}
	return kinds, 1
}

func (d *delta) keyChanged() bool {
	if d.rekeyed == unasked {
		d.rekeyed = no
		if d.change.KeyChanged() {
			d.rekeyed = yes
		}
	}
	return d.rekeyed == yes
}

// judge asks the channel's filter, if there is one, when the first view is there that the row was or is in.
func (d *delta) judge() (filtered bool) {
	f := d.binding.channel.filter
	if f != nil && d.now == nil {
		d.hub.judged++
		d.was, d.now = f.judge(d.binding, d.change)
	}
	return f != nil
}

// visible narrows before and after, whether the row was in a view and is, to what the client may see.
func (d *delta) visible(c *Client, before, after bool) (bool, bool) {
	if !d.judge() {
		return before, after
	}
	if c.answers.judged != d.hub.judged {
		c.answers = answers{judged: d.hub.judged}
	}
	was, now := &c.answers.was, &c.answers.now
	if d.was == d.now {
		was = now
	}
	return before && was.allows(d.was, c.viewer), after && now.allows(d.now, c.viewer)
}

// move is a row's way through the views of one scope column. A value that is not Text is in none: NULL, and the
// missing image of an insert or delete.
type move struct{ was, now cdc.Value }

// move returns false where the row's old place is not known: somebody has weakened the replica identity under us.
func (b *binding) move(c *cdc.Change, scope int) (move, bool) {
	at := b.scopes[scope]
	var m move
	if c.Op != cdc.Insert {
		var known bool
		if m.was, known = b.before(c, at); !known {
			return m, false
		}
	}
	if c.Op != cdc.Delete {
		m.now = c.After.Value(at)
		if m.now.State == cdc.Absent {
			m.now = m.was // a TOAST value that the update left alone
		}
	}
	return m, true
}

func is(v cdc.Value, text string) bool { return v.State == cdc.Text && string(v.Text) == text }

// before returns the value that the column had, and whether that is known at all. An update without a before image left
// the replica identity alone, so the columns of that are as they were.
func (b *binding) before(c *cdc.Change, at int) (cdc.Value, bool) {
	if c.Before == nil {
		v := c.After.Value(at)
		return v, b.columns[at].identity && v.State != cdc.Absent
	}
	v := c.Before.Value(at)
	return v, v.State != cdc.Absent
}

// send tells a topic's subscribers of the change, but for those whose snapshot showed it. before and after say whether the
// row was in the topic's views and is. An event is encoded once for all topics, a frame once for all who wrote the scope
// alike.
func (d *delta) send(t *topic, before, after bool) {
	if t == nil {
		return // nobody looks: neither the filter nor whether the key changed need be asked
	}
	if d.judge() {
		if before && !d.was.shared || after && !d.now.shared {
			d.sendEach(t, before, after)
			return
		}
		before, after = before && d.was.allowed, after && d.now.allowed
	}
	kinds, n := d.kinds(before, after)
	if n > 0 && d.oversized() {
		d.overflow(t)
		return
	}
	for _, kind := range kinds[:n] {
		for g := range t.all() {
			switch {
			case len(g.subs) == 0:
			case g.extended:
				d.hub.tell(g, d.extendedEvent(kind))
			case !d.hub.gather(g, d.event(kind)):
				d.sendGroup(g, kind)
			}
		}
	}
}

func (d *delta) sendGroup(g *group, kind protocol.EventType) {
	frame := d.frame(g, kind)
	for _, s := range g.subs {
		if !d.hidden(s) {
			d.hub.give(s, frame)
		}
	}
}

// sendEach is send where the filter has to be asked about each client. Then a group that batches is one client's alone.
func (d *delta) sendEach(t *topic, before, after bool) {
	for g := range t.all() {
		var frames byKind
		subs := g.subs
		if d.oversized() {
			subs = slices.Clone(subs) // for they may leave
		}
		for _, s := range subs {
			if d.hidden(s) {
				continue
			}
			kinds, n := d.kinds(d.visible(s.client, before, after))
			if n > 0 && d.oversized() {
				d.overflowOne(s)
				continue
			}
			for _, kind := range kinds[:n] {
				if g.extended {
					d.hub.tellOne(s, d.extendedEvent(kind))
					continue
				}
				if d.hub.gather(g, d.event(kind)) {
					continue
				}
				frame := frames.of(kind)
				if *frame == nil {
					*frame = d.frame(g, kind)
				}
				d.hub.give(s, *frame)
			}
		}
	}
}

// hidden tells whether the subscription's snapshot showed the change.
func (d *delta) hidden(s *subscription) bool {
	if s.seen == nil || d.tx.Ingested() {
		return false
	}
	hidden, passed := s.seen.hides(d.tx)
	if passed {
		s.passed()
	}
	return hidden
}

// give queues a frame with changes.
func (h *Hub) give(s *subscription, frame []byte) {
	if h.put(s, frame) {
		h.frames++
	}
}

// frame puts an event of the change onto the group's sheet.
func (d *delta) frame(g *group, kind protocol.EventType) []byte {
	return d.hub.write(g, d.hub.encoder.change(g, d.event(kind)))
}

// event is an event of the change, until the next change. It is encoded when it is asked for first.
func (d *delta) event(kind protocol.EventType) []byte {
	e := &d.hub.encoder
	to := e.events.of(kind)
	if len(*to) == 0 {
		m := e.members(d.binding, kind, d.change)
		*to = protocol.AppendEvent(room(*to, size(&m)), m)
		d.hub.events++
	}
	return *to
}

// extendedEvent is event as the extended protocol has it.
func (d *delta) extendedEvent(kind protocol.EventType) []byte {
	e := &d.hub.encoder
	to := e.extended.of(kind)
	if len(*to) == 0 {
		m := e.extendedMembers(d.binding, kind, d.change, d.tx.Origin())
		*to = protocol.AppendEvent(room(*to, size(&m)), m)
		d.hub.events++
	}
	return *to
}
