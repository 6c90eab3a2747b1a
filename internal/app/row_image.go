package app

import (
	"slices"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// rowImage is an auth.Row: one image of a row after the other, as expressions see them. It belongs to one goroutine.
type rowImage struct {
	types   *values.Catalog
	table   *cdc.Table
	row     cdc.Row
	columns []imageColumn // of the table, those that were asked for
}

type imageColumn struct {
	name   string
	at     int
	native values.Native
}

// maxImageText is the size of text above which a value is not converted: auth refuses to look at such values.
const maxImageText = 64 << 10

func (r *rowImage) set(t *cdc.Table, row cdc.Row) {
	if r.table != t {
		r.table, r.columns = t, r.columns[:0]
	}
	r.row = row
}

// Value implements auth.Row.
func (r *rowImage) Value(column string) (any, bool) {
	i := slices.IndexFunc(r.columns, func(c imageColumn) bool { return c.name == column })
	if i < 0 {
		at := r.table.Column(column)
		if at < 0 {
			return nil, false
		}
		i = len(r.columns)
		r.columns = append(r.columns, imageColumn{column, at, r.types.Native(r.table.Columns[at].TypeOID)})
	}
	v := r.row.Value(r.columns[i].at)
	switch {
	case v.State == cdc.Null:
		return nil, true
	case v.State != cdc.Text || len(v.Text) > maxImageText:
		return nil, false
	}
	return r.columns[i].native(v.Text)
}
