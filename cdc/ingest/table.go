package ingest

import (
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Source is the way by which a table's events come.
type Source string

// The sources. What SQL emits is for the tables of Hook.
const (
	Notify Source = "notify"
	Hook   Source = "hook"
	Emit   Source = "emit"
)

// Table describes a table, or something that is none, of which events tell.
type Table struct {
	// OID is the catalog's. For what is no table it is any number that no other Table and no table has.
	OID          uint32
	Schema, Name string
	// Source is Notify or Hook.
	Source Source
	// Columns are those of the catalog or, of what is no table, those that the configuration names. Events may bring others,
	// whose values are passed on as they are.
	Columns []Column
}

// Column is a column that is known beforehand.
type Column struct {
	// Column's JSON is not used where FromJSON is nil.
	cdc.Column
	// FromJSON makes PostgreSQL's text of a value; nil passes its JSON on as it is.
	FromJSON FromJSON
	// Scope: clients subscribe by it, so that every event has to say it. FromJSON gives the canonical text of scopes.
	Scope bool
	// Filter: who sees the row depends on it.
	Filter bool
	// AsSent makes JSON write a number, true or false as that, and not as a string.
	AsSent bool
}

// FromJSON makes PostgreSQL's text of a value that is neither null nor an object nor an array: of what a string says
// (quoted), or of the token of a number, true or false. It returns false where the column's type has no such value. It is
// safe for concurrent use.
type FromJSON func(text string, quoted bool) (string, bool)

// table is a Table at work. Its methods may be called from any goroutine.
type table struct {
	Table
	keyed bool // the catalog knows the primary key

	mu     sync.Mutex
	shapes map[string]*cdc.Table
}

// maxShapes bounds the descriptions of one table that are kept: what events bring beside the known columns may differ from
// one to the next.
const maxShapes = 64

func newTable(t Table) *table {
	t.Columns = slices.Clone(t.Columns)
	for i := range t.Columns {
		if t.Columns[i].FromJSON == nil {
			t.Columns[i].JSON = appendRaw
		}
	}
	return &table{
		Table: t, keyed: slices.ContainsFunc(t.Columns, func(c Column) bool { return c.Key }), shapes: map[string]*cdc.Table{},
	}
}

// shape describes rows with the known columns and the further ones, by sorted names. bare are the known columns that are to be
// written without quotes. The same description is the same *cdc.Table, so that whoever prepares for one does it once.
func (t *table) shape(further []string, key object, bare []bool) *cdc.Table {
	var id strings.Builder
	isKey := func(c cdc.Column) bool {
		if t.keyed {
			return c.Key
		}
		_, ok := key[c.Name]
		return ok
	}
	columns := make([]cdc.Column, 0, len(t.Columns)+len(further))
	for i, c := range t.Columns {
		c.Key = isKey(c.Column)
		if c.AsSent && bare[i] {
			c.JSON = appendBare
		}
		id.WriteString(strconv.FormatBool(c.Key) + strconv.FormatBool(c.AsSent && bare[i]))
		columns = append(columns, c.Column)
	}
	for _, name := range further {
		c := cdc.Column{Name: name, JSON: appendRaw}
		c.Key = isKey(c)
		id.WriteString(strconv.FormatBool(c.Key) + strconv.Quote(name))
		columns = append(columns, c)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	shape := t.shapes[id.String()]
	if shape == nil {
		if len(t.shapes) == maxShapes {
			clear(t.shapes)
		}
		shape = &cdc.Table{OID: t.OID, Schema: t.Schema, Name: t.Name, Columns: columns}
		t.shapes[id.String()] = shape
	}
	return shape
}

// appendRaw is the encoder of a value whose text is JSON already.
func appendRaw(dst, text []byte) []byte { return append(dst, text...) }

// appendBare writes a number, true or false as it is and, as a column may have been a string before, anything else as one.
func appendBare(dst, text []byte) []byte {
	if v := jsontext.Value(text); v.IsValid() && strings.IndexByte("0tf", byte(v.Kind())) >= 0 {
		return append(dst, text...)
	}
	quoted, err := jsontext.AppendQuote(dst, text)
	if err != nil { // not UTF-8, which no text is that came from JSON
		return append(dst, `""`...)
	}
	return quoted
}
