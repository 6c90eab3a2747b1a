package fanout

import (
	"slices"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// binding joins a channel to a table's shape: where its columns are and how they are written. A table that is altered
// gets another shape, and so other bindings.
type binding struct {
	channel  *channel
	scopes   []int // by channel.scopes: the position of the column, or elsewhere
	filtered []int // by channel.FilterColumns
	resolved []int // by channel.ResolverColumns
	columns  []boundColumn
	schema   string
	table    string
}

// elsewhere is the position of a scope that is resolved.
const elsewhere = -1

// boundColumn is a column as it is written into events.
type boundColumn struct {
	member   []byte // "name": with its quotes and colon
	json     cdc.AppendJSON
	key      bool
	identity bool
	hidden   bool
}

// bind returns false where a column that scopes, the filter or the resolver look at is gone or has another type than the
// channel was made for, or where a column that is to be hidden may have another name now.
func (c *channel) bind(t *cdc.Table) (_ *binding, ok bool) {
	if c.unmasks(t) {
		return nil, false
	}
	b := newBinding(c, t)
	for _, s := range c.scopes {
		if s.Resolved {
			b.scopes = append(b.scopes, elsewhere)
			continue
		}
		at := t.Column(s.Column)
		if at < 0 || t.Columns[at].TypeOID != s.TypeOID {
			return nil, false
		}
		b.scopes = append(b.scopes, at)
	}
	if b.filtered, ok = positions(t, c.FilterColumns); !ok {
		return nil, false
	}
	b.resolved, ok = positions(t, c.ResolverColumns)
	return b, ok
}

// positions returns where the columns are, and false where one is gone or has another type.
func positions(t *cdc.Table, columns []InputColumn) (positions []int, ok bool) {
	for _, c := range columns {
		at := t.Column(c.Column)
		if at < 0 || t.Columns[at].TypeOID != c.TypeOID {
			return nil, false
		}
		positions = append(positions, at)
	}
	return positions, true
}

// unmasks tells whether a column that is to be hidden is gone and another one is there that the channel was not made for:
// the stream does not say whether it was renamed.
func (c *channel) unmasks(t *cdc.Table) bool {
	gone := slices.ContainsFunc(c.Exclude, func(name string) bool { return t.Column(name) < 0 })
	return gone && slices.ContainsFunc(t.Columns, func(column cdc.Column) bool { return !slices.Contains(c.Columns, column.Name) })
}

// newBinding makes a binding for writing rows; those that are routed need its scopes too.
func newBinding(c *channel, t *cdc.Table) *binding {
	b := &binding{channel: c, schema: t.Schema, table: t.Name}
	for _, column := range t.Columns {
		b.columns = append(b.columns, boundColumn{
			member: append(protocol.AppendString(nil, column.Name), ':'), json: column.JSON,
			key: column.Key, identity: column.Identity, hidden: slices.Contains(c.Exclude, column.Name),
		})
	}
	return b
}

// appendRow appends a row as a JSON object. An Absent value is left out: what is not known must not look like NULL.
func (b *binding) appendRow(dst []byte, row cdc.Row) []byte {
	start := len(dst)
	for i, v := range row.Values() {
		if i < len(b.columns) && !b.columns[i].hidden && v.State != cdc.Absent {
			dst = appendMember(dst, start, &b.columns[i], v)
		}
	}
	return finish(dst, start)
}

// appendKey appends a row's primary key as a JSON object.
func (b *binding) appendKey(dst []byte, row cdc.Row) []byte {
	start := len(dst)
	for i, v := range row.Values() {
		if i < len(b.columns) && b.columns[i].key && !b.columns[i].hidden && v.State != cdc.Absent {
			dst = appendMember(dst, start, &b.columns[i], v)
		}
	}
	return finish(dst, start)
}

// appendMember adds a column to the object that begins at start and that finish closes.
func appendMember(dst []byte, start int, column *boundColumn, v cdc.Value) []byte {
	opening := byte(',')
	if len(dst) == start {
		opening = '{'
	}
	dst = append(append(dst, opening), column.member...)
	switch {
	case v.State != cdc.Text:
		return append(dst, "null"...)
	case column.json == nil:
		return protocol.AppendString(dst, v.Text)
	}
	return column.json(dst, v.Text)
}

// finish closes the object that begins at start.
func finish(dst []byte, start int) []byte {
	if len(dst) == start {
		return append(dst, '{', '}')
	}
	return append(dst, '}')
}
