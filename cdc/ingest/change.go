package ingest

import (
	"fmt"
	"maps"
	"slices"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// change is what an event comes to.
type change struct {
	source        *table
	op            cdc.Op
	table         *cdc.Table
	before, after cdc.Row
}

// images are the objects of an event, taken apart.
type images struct {
	now     object // what is known of Row, and of what else says how the row is
	key     object
	changed object // nil where that is not known
	before  object
}

func (e *Event) images() (images, error) {
	var m images
	var parts [4]object
	for i, part := range []struct {
		name string
		text []byte
	}{{"row", e.Row}, {"primaryKey", e.PrimaryKey}, {"changed", e.Changed}, {"before", e.Before}} {
		var err error
		if parts[i], err = parseObject(part.text); err != nil {
			return m, fmt.Errorf("%s: %w", part.name, err)
		}
	}
	m.now, m.key, m.before = parts[0], parts[1], parts[3]
	if e.Changed != nil {
		m.changed = parts[2]
	}
	for _, more := range []object{m.changed, m.key} {
		for name, value := range more {
			if _, ok := m.now[name]; !ok {
				m.now[name] = value
			}
		}
	}
	return m, nil
}

// change makes the change that an event tells of. Its error says what is wrong with the event.
//
// An update that says neither what changed nor how it was is taken to have left alone the columns that scopes and filters look
// at. Where it says that such a column changed, and not what its old value was, nobody knows which views the row has left.
func (t *table) change(e *Event) (change, error) {
	c := change{source: t, op: e.Type.op()}
	if c.op == 0 {
		return c, fmt.Errorf("type is none of %s, %s and %s", AfterInsert, AfterUpdate, AfterDelete)
	}
	if e.Incomplete {
		return t.incomplete()
	}
	m, err := e.images()
	if err != nil {
		return c, err
	}
	if err := t.complete(c.op, m); err != nil {
		return c, err
	}
	further := t.further(m)
	bare := make([]bool, len(t.Columns))
	for i, column := range t.Columns {
		kind := m.now[column.Name].Kind()
		bare[i] = kind == '0' || kind == 't' || kind == 'f'
	}
	c.table = t.shape(further, m.key, bare)
	now, err := t.values(c.table, m.now)
	if err != nil {
		return c, err
	}
	packed, err := cdc.AppendRow(nil, now)
	if err != nil {
		return c, err
	}
	switch c.op {
	case cdc.Insert:
		c.after = packed
	case cdc.Delete:
		c.before = packed
	case cdc.Update:
		c.after = packed
		old, err := t.old(c.table, m, now)
		if err != nil {
			return c, err
		}
		if c.before, err = cdc.AppendRow(nil, old); err != nil {
			return c, err
		}
	}
	return c, nil
}

// incomplete is an update of which nothing is known, so that no view can be told by changes how it is now.
func (t *table) incomplete() (change, error) {
	c := change{source: t, op: cdc.Update, table: t.shape(nil, nil, make([]bool, len(t.Columns)))}
	unknown, err := cdc.AppendRow(nil, slices.Repeat([]cdc.Value{{State: cdc.Absent}}, len(c.table.Columns)))
	c.before, c.after = unknown, unknown
	return c, err
}

// complete checks that the event says what nobody can do without.
func (t *table) complete(op cdc.Op, m images) error {
	if !t.keyed && len(m.key) == 0 {
		return fmt.Errorf("primaryKey is missing")
	}
	for _, c := range t.Columns {
		_, known := m.now[c.Name]
		switch {
		case known:
		case c.Key:
			return fmt.Errorf("neither primaryKey nor row has %q, which is part of the primary key", c.Name)
		case c.Scope && op != cdc.Delete:
			return fmt.Errorf("row has no %q, by which clients subscribe", c.Name)
		}
	}
	return nil
}

// further lists the columns beside those that are known beforehand.
func (t *table) further(m images) []string {
	names := map[string]bool{}
	for _, o := range []object{m.now, m.before} {
		for name := range o {
			names[name] = true
		}
	}
	for _, c := range t.Columns {
		delete(names, c.Name)
	}
	return slices.Sorted(maps.Keys(names))
}

// values are the image that an object is, Absent where it says nothing.
func (t *table) values(shape *cdc.Table, o object) ([]cdc.Value, error) {
	list := make([]cdc.Value, len(shape.Columns))
	for i, c := range shape.Columns {
		value, ok := o[c.Name]
		if !ok {
			list[i] = cdc.Value{State: cdc.Absent}
			continue
		}
		var from FromJSON
		if i < len(t.Columns) {
			from = t.Columns[i].FromJSON
		}
		if list[i], ok = valueOf(value, from); !ok {
			return nil, fmt.Errorf("column %q has a value that is none of its type", c.Name)
		}
	}
	return list, nil
}

func valueOf(value jsontext.Value, from FromJSON) (cdc.Value, bool) {
	kind := value.Kind()
	switch {
	case kind == 'n':
		return cdc.Value{State: cdc.Null}, true
	case from == nil:
		value = value.Clone() // the caller's bytes stay as they are
		return cdc.Value{State: cdc.Text, Text: value}, value.Compact() == nil
	case kind == '{' || kind == '[':
		return cdc.Value{}, false
	}
	text := string(value)
	if kind == '"' {
		text = unquote(value)
	}
	text, ok := from(text, kind == '"')
	return cdc.Value{State: cdc.Text, Text: []byte(text)}, ok
}

// old is the image before an update, as far as the event tells.
func (t *table) old(shape *cdc.Table, m images, now []cdc.Value) ([]cdc.Value, error) {
	list, err := t.values(shape, m.before)
	if err != nil {
		return nil, fmt.Errorf("before: %w", err)
	}
	for i, c := range shape.Columns {
		_, told := m.before[c.Name]
		_, changed := m.changed[c.Name]
		looked := i < len(t.Columns) && (t.Columns[i].Scope || t.Columns[i].Filter)
		switch {
		case told || changed: // as it is told, or not known
		case m.changed != nil, len(m.before) > 0, looked, c.Key:
			list[i] = now[i]
		}
	}
	return list, nil
}
