package fanout

import (
	"slices"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// binding joins a channel to a table's shape: where its columns are and how they are written. A table that is altered
// gets another shape, and so other bindings.
type binding struct {
	channel *channel
	scopes  []int // by channel.scopes: the position of the column
	columns []boundColumn
	schema  string
	table   string
}

// boundColumn is a column as it is written into events.
type boundColumn struct {
	member   []byte // "name": with its quotes and colon
	json     cdc.AppendJSON
	key      bool
	identity bool
	hidden   bool
}

// bind returns false where a scope column is gone or has another type than the channel was made for.
func (c *channel) bind(t *cdc.Table) (*binding, bool) {
	b := &binding{channel: c, schema: t.Schema, table: t.Name}
	for _, s := range c.scopes {
		at := t.Column(s.Column)
		if at < 0 || t.Columns[at].TypeOID != s.TypeOID {
			return nil, false
		}
		b.scopes = append(b.scopes, at)
	}
	for _, column := range t.Columns {
		b.columns = append(b.columns, boundColumn{
			member: append(protocol.AppendString(nil, column.Name), ':'), json: column.JSON,
			key: column.Key, identity: column.Identity, hidden: slices.Contains(c.Exclude, column.Name),
		})
	}
	return b, true
}

// encoder writes events. It keeps its buffers between events and belongs to the hub's lock.
type encoder struct {
	key, row, changed []byte
}

// event returns a new event of the change, in a buffer of its own.
func (e *encoder) event(b *binding, kind protocol.EventType, c *cdc.Change) []byte {
	image := c.After
	if kind == protocol.AfterDelete {
		image = c.Before
	}
	e.key, e.row, e.changed = e.key[:0], e.row[:0], e.changed[:0]
	for i, v := range image.Values() {
		if i >= len(b.columns) {
			break
		}
		column := &b.columns[i]
		if column.key {
			e.key = appendMember(e.key, column, v)
		}
		// An Absent value is left out: what is not known must not look like NULL.
		if !column.hidden && v.State != cdc.Absent {
			e.row = appendMember(e.row, column, v)
		}
	}
	if kind == protocol.AfterUpdate {
		for i, v := range c.Changed() {
			if i < len(b.columns) && !b.columns[i].hidden {
				e.changed = appendMember(e.changed, &b.columns[i], v)
			}
		}
	}
	return protocol.AppendEvent(nil, protocol.Event{
		Type: kind, Schema: b.schema, Table: b.table, PrimaryKey: finish(e.key), Row: finish(e.row), Changed: finish(e.changed),
	})
}

// appendMember adds a column to an object that finish closes.
func appendMember(object []byte, column *boundColumn, v cdc.Value) []byte {
	opening := byte(',')
	if len(object) == 0 {
		opening = '{'
	}
	object = append(append(object, opening), column.member...)
	switch {
	case v.State != cdc.Text:
		return append(object, "null"...)
	case column.json == nil:
		return protocol.AppendString(object, v.Text)
	}
	return column.json(object, v.Text)
}

func finish(object []byte) []byte {
	if len(object) == 0 {
		return object
	}
	return append(object, '}')
}
