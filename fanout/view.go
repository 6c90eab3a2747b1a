package fanout

import (
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// delta holds the events of one change for one channel, each encoded when the first view needs it.
type delta struct {
	hub                    *Hub
	tx                     *cdc.Transaction
	binding                *binding
	change                 *cdc.Change
	insert, update, delete []byte
}

// route turns a change into the deltas of the views that it touches: those of the scope values that the row had before
// and has after. It returns false where that cannot be told, or where the change emptied every view: then the channel's
// views have to begin anew.
func (h *Hub) route(tx *cdc.Transaction, b *binding, c *cdc.Change) bool {
	if c.Op == cdc.Truncate {
		return false
	}
	d := delta{hub: h, tx: tx, binding: b, change: c}
	for i := range b.scopes {
		index := &b.channel.scopes[i]
		if len(index.topics) == 0 {
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

// routeTo does what route does for a single subscription, of a change whose route was known.
func (h *Hub) routeTo(s *subscription, b *binding, c *cdc.Change) {
	t := s.group.topic
	for i := range b.scopes {
		if &b.channel.scopes[i] != t.index {
			continue
		}
		m, _ := b.move(c, i)
		d := delta{hub: h, binding: b, change: c}
		for _, kind := range d.kinds(is(m.was, t.value), is(m.now, t.value)) {
			h.give(s, d.frame(s.group, kind))
		}
	}
}

// kinds says how a view is told of the change, given whether the row was in it before and is after. A row whose primary key
// changed leaves as one row and enters as another, also where it stays.
func (d *delta) kinds(before, after bool) []protocol.EventType {
	switch {
	case before && after && !d.change.KeyChanged():
		return []protocol.EventType{protocol.AfterUpdate}
	case before && after:
		return []protocol.EventType{protocol.AfterDelete, protocol.AfterInsert}
	case before:
		return []protocol.EventType{protocol.AfterDelete}
	case after:
		return []protocol.EventType{protocol.AfterInsert}
	}
	return nil
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
		return // nobody looks: whether the key changed need not be found out
	}
	for _, kind := range d.kinds(before, after) {
		for _, g := range t.groups {
			if len(g.subs) > 0 && !d.hub.gather(g, d.event(kind)) {
				d.sendGroup(g, kind)
			}
		}
	}
}

func (d *delta) sendGroup(g *group, kind protocol.EventType) {
	frame := d.frame(g, kind)
	for _, s := range g.subs {
		if s.seen != nil {
			hidden, passed := s.seen.hides(d.tx)
			if hidden {
				continue
			}
			if passed {
				s.passed()
			}
		}
		d.hub.give(s, frame)
	}
}

// give queues a frame with changes.
func (h *Hub) give(s *subscription, frame []byte) {
	if h.push(s.client, frame) {
		h.frames++
	}
}

// frameAround is what a frame has besides the channel's name, the scope and the events.
const frameAround = 48

// frame returns a new frame with an event of the change.
func (d *delta) frame(g *group, kind protocol.EventType) []byte {
	event, name := d.event(kind), g.topic.channel.Name
	return protocol.AppendChange(make([]byte, 0, len(event)+len(g.echo)+len(name)+frameAround), name, []byte(g.echo), event)
}

func (d *delta) event(kind protocol.EventType) []byte {
	var slot *[]byte
	switch kind {
	case protocol.AfterInsert:
		slot = &d.insert
	case protocol.AfterUpdate:
		slot = &d.update
	case protocol.AfterDelete:
		slot = &d.delete
	}
	if *slot == nil {
		*slot = d.hub.encoder.event(d.binding, kind, d.change)
		d.hub.events++
	}
	return *slot
}
