package fanout

import (
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
	"github.com/reactive-gw/reactive-gw/protocol/wire"
)

// encoder writes events and frames into buffers of its own, which the next ones overwrite: whoever keeps one copies it. It
// belongs to the hub's lock.
type encoder struct {
	key, row, changed, before, unchanged []byte

	events, extended byKind // of the change at hand
	scope, frame     []byte
	deflater         wire.Deflater
}

// byKind is one text for each kind of event.
type byKind struct{ insert, update, delete []byte }

func (b *byKind) of(kind protocol.EventType) *[]byte {
	switch kind {
	case protocol.AfterInsert:
		return &b.insert
	case protocol.AfterUpdate:
		return &b.update
	}
	return &b.delete
}

// begin makes room for the events of a change.
func (e *encoder) begin() {
	e.events, e.extended = e.events.emptied(), e.extended.emptied()
}

func (b byKind) emptied() byKind { return byKind{b.insert[:0], b.update[:0], b.delete[:0]} }

// members are those of the event, until the next call.
func (e *encoder) members(b *binding, kind protocol.EventType, c *cdc.Change) protocol.Event {
	image := c.After
	if kind == protocol.AfterDelete {
		image = c.Before
	}
	e.changed = room(e.changed, len(c.After))
	e.key = b.appendKey(e.key[:0], image)
	e.row = b.appendRow(room(e.row, len(image)), image)
	if kind == protocol.AfterUpdate {
		for i, v := range c.Changed() {
			if i < len(b.columns) && !b.columns[i].hidden {
				e.changed = appendMember(e.changed, 0, &b.columns[i], v)
			}
		}
	}
	return protocol.Event{
		Type: kind, Schema: b.schema, Table: b.table, PrimaryKey: e.key, Row: e.row, Changed: finish(e.changed, 0),
	}
}

// size is about how many bytes the event has.
func size(e *protocol.Event) int {
	return len(e.PrimaryKey) + len(e.Row) + len(e.Changed) + len(e.Before) + len(e.Unchanged)
}

// extendedMembers is members with what the extended protocol adds.
func (e *encoder) extendedMembers(b *binding, kind protocol.EventType, c *cdc.Change, origin string) protocol.Event {
	event := e.members(b, kind, c)
	event.Origin = origin
	if kind == protocol.AfterUpdate {
		e.before = room(e.before, len(c.Before))
		for i := range c.Changed() {
			was := c.Before.Value(i)
			if i < len(b.columns) && !b.columns[i].hidden && was.State != cdc.Absent {
				e.before = appendMember(e.before, 0, &b.columns[i], was)
			}
		}
		event.Before = finish(e.before, 0)
	}
	if kind != protocol.AfterDelete {
		e.unchanged = e.unchanged[:0]
		for i, v := range c.After.Values() {
			if i < len(b.columns) && !b.columns[i].hidden && v.State == cdc.Absent {
				opening := byte(',')
				if len(e.unchanged) == 0 {
					opening = '['
				}
				name := b.columns[i].member
				e.unchanged = append(append(e.unchanged, opening), name[:len(name)-1]...)
			}
		}
		if len(e.unchanged) > 0 {
			e.unchanged = append(e.unchanged, ']')
		}
		event.Unchanged = e.unchanged
	}
	return event
}

// change is the frame of an event for a group.
func (e *encoder) change(g *group, event []byte) []byte {
	e.scope = g.appendScope(e.scope[:0])
	e.frame = protocol.AppendChange(room(e.frame, len(event)), g.channel().Name, e.scope, event)
	return e.frame
}

// changes is the frame of joined events for a group.
func (e *encoder) changes(g *group, events []byte) []byte {
	e.scope = g.appendScope(e.scope[:0])
	e.frame = protocol.AppendChanges(room(e.frame, len(events)), g.channel().Name, e.scope, events)
	return e.frame
}

// appendWire appends a frame in its wire form.
func (e *encoder) appendWire(dst, frame []byte, deflated bool) []byte {
	if deflated {
		return e.deflater.Append(dst, frame)
	}
	return wire.Append(dst, frame)
}

// wire is a frame in its wire form, in a slice of its own.
func (e *encoder) wire(frame []byte, d dialect) []byte {
	if !d.deflated {
		return wire.Make(frame)
	}
	dst := e.deflater.Append(make([]byte, 0, wire.Size(len(frame))), frame)
	if len(dst) < cap(dst)/2 { // it may be kept for long
		return append([]byte(nil), dst...)
	}
	return dst
}
