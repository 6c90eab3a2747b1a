package fanout

import (
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// delta holds the events of one change for one channel, each encoded when the first view needs it.
type delta struct {
	hub                    *Hub
	binding                *binding
	change                 *cdc.Change
	insert, update, delete []byte
}

// route turns a change into the deltas of the views that it touches: those of the scope values that the row had before
// and has after.
func (h *Hub) route(b *binding, c *cdc.Change) {
	if c.Op == cdc.Truncate {
		// The views are empty now, and base clients have no frame that would say so.
		h.interrupt(b.channel)
		return
	}
	d := delta{hub: h, binding: b, change: c}
	keyChanged := c.Op == cdc.Update && c.KeyChanged()
	for i, at := range b.scopes {
		index := &b.channel.scopes[i]
		if len(index.topics) == 0 {
			continue
		}
		var was, now *topic
		if c.Op != cdc.Insert {
			before, known := b.before(c, at)
			if !known {
				// Somebody weakened the replica identity under us: whose view the row left cannot be told.
				h.interrupt(b.channel)
				return
			}
			was = index.topicOf(before)
		}
		if c.Op != cdc.Delete {
			now = index.topicOf(c.After.Value(at))
		}
		if was == now && !keyChanged {
			d.send(now, protocol.AfterUpdate)
			continue
		}
		d.send(was, protocol.AfterDelete)
		d.send(now, protocol.AfterInsert)
	}
}

// before returns the value that the column had, and whether that is known at all. An update without a before image left
// the replica identity alone, so the columns of that are as they were.
func (b *binding) before(c *cdc.Change, at int) (cdc.Value, bool) {
	if c.Before == nil {
		return c.After.Value(at), b.columns[at].identity
	}
	v := c.Before.Value(at)
	return v, v.State != cdc.Absent
}

// topicOf returns nil for NULL, which no scope value equals, and where nobody subscribed.
func (s *scopeIndex) topicOf(v cdc.Value) *topic {
	if v.State != cdc.Text {
		return nil
	}
	return s.find(v.Text)
}

// send puts an event of the change into the queues of a topic's subscribers. The event is encoded once for all topics,
// the frame once for all who wrote the scope alike.
func (d *delta) send(t *topic, kind protocol.EventType) {
	if t == nil {
		return
	}
	h, event := d.hub, d.event(kind)
	for _, g := range t.groups {
		frame := protocol.AppendChange(make([]byte, 0, len(event)+len(g.echo)+len(t.channel.Name)+48), t.channel.Name, []byte(g.echo), event)
		h.frames += uint64(len(g.subs))
		for _, s := range g.subs {
			h.push(s.client, frame)
		}
	}
}

func (h *Hub) push(c *Client, frame []byte) {
	if c.queue.push(frame) && !c.touched {
		c.touched = true
		h.touched = append(h.touched, c)
	}
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
