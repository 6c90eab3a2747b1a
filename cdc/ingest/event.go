package ingest

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Event tells of one row. The objects are JSON, from column name to value; their values are those of PostgreSQL's to_jsonb.
type Event struct {
	Type   Type
	Schema string
	Table  string
	// PrimaryKey has the key's columns. It may hold more, up to the whole row: where the catalog has the table, the key's
	// columns are taken from there, and what Row lacks is taken from here.
	PrimaryKey []byte
	// Row is the new image of an insert or update, the old one of a deletion.
	Row []byte
	// Changed has the columns that an update changed, with their new values; nil where that is not known.
	Changed []byte
	// Before has the old values of columns that an update changed; nil where they are not known. With it a row is seen to
	// leave the view that it was in.
	Before []byte
	// Incomplete says that something happened in the table and the rest does not say what: its views begin anew.
	Incomplete bool
}

// Type is what happened to a row.
type Type string

// The types.
const (
	AfterInsert Type = "afterInsert"
	AfterUpdate Type = "afterUpdate"
	AfterDelete Type = "afterDelete"
)

func (t Type) op() cdc.Op {
	switch t {
	case AfterInsert:
		return cdc.Insert
	case AfterUpdate:
		return cdc.Update
	case AfterDelete:
		return cdc.Delete
	}
	return 0
}

// Parser makes events of a payload. It may be called from any goroutine. Its error should be an *Error: the text of any
// other is not shown to anybody. The events may alias the payload.
type Parser func(payload []byte) ([]Event, error)

// MaxBytes bounds a payload: the body of a request, or what one emit writes.
const MaxBytes = 1 << 20

// maxDepth is how many objects and arrays may be open at once, those of a json column included.
const maxDepth = 512

// Parse is the Parser for the JSON of mtbReactive: an event, or an array of events, which is one transaction. It is strict
// (RFC 8259 in UTF-8, no name twice in an object), and what it does not know in an event it ignores.
func Parse(payload []byte) ([]Event, error) {
	if len(payload) > MaxBytes {
		return nil, &Error{Kind: Malformed, Detail: fmt.Sprintf("more than %d bytes", MaxBytes)}
	}
	r := newReader(payload)
	var events []Event
	switch r.PeekKind() {
	case '{':
		e, err := r.event(0)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	case '[':
		if _, err := r.ReadToken(); err != nil {
			return nil, r.malformed(err)
		}
		for r.PeekKind() != ']' {
			e, err := r.event(len(events))
			if err != nil {
				return nil, err
			}
			events = append(events, e)
		}
		if _, err := r.ReadToken(); err != nil {
			return nil, r.malformed(err)
		}
		if len(events) == 0 {
			return nil, &Error{Kind: Invalid, Detail: "the array has no event"}
		}
	default:
		if _, err := r.ReadToken(); err != nil {
			return nil, r.malformed(err)
		}
		return nil, &Error{Kind: Malformed, Detail: "neither an event nor an array of events"}
	}
	if err := r.end(); err != nil {
		return nil, err
	}
	return events, nil
}

// reader walks strict JSON.
type reader struct {
	*jsontext.Decoder
	text []byte
}

func newReader(text []byte) reader {
	// Both options are off unless they are asked for: they are named because the contract rests on them.
	return reader{jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false)), text}
}

func (r reader) end() error {
	if _, err := r.ReadToken(); !errors.Is(err, io.EOF) {
		return r.malformed(errors.New("more than white space behind the value"))
	}
	return nil
}

// malformed says where the text is no JSON, and nothing of what it says.
func (r reader) malformed(err error) error {
	e := &Error{Kind: Malformed, Offset: r.InputOffset(), Detail: "not JSON in UTF-8"}
	var syntax *jsontext.SyntacticError
	if errors.As(err, &syntax) {
		e.Offset = syntax.ByteOffset
	}
	switch {
	case errors.Is(err, jsontext.ErrDuplicateName):
		e.Detail = "a member name occurs twice"
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		e.Offset, e.Detail = int64(len(r.text)), "the text ends too early"
	case syntax == nil:
		e.Detail = err.Error()
	}
	return e
}

// members reads the object that comes next.
func (r reader) members(visit func(name string, value jsontext.Value)) error {
	if _, err := r.ReadToken(); err != nil {
		return r.malformed(err)
	}
	depth := r.StackDepth()
	for r.PeekKind() != '}' {
		token, err := r.ReadToken()
		if err != nil {
			return r.malformed(err)
		}
		name, nameEnd := token.String(), r.InputOffset()
		for first := true; first || r.StackDepth() > depth; first = false {
			if _, err := r.ReadToken(); err != nil {
				return r.malformed(err)
			}
			if r.StackDepth() > maxDepth {
				return r.malformed(errors.New("nested too deep"))
			}
		}
		visit(name, bytes.TrimLeft(r.text[nameEnd:r.InputOffset()], ": \t\r\n"))
	}
	if _, err := r.ReadToken(); err != nil {
		return r.malformed(err)
	}
	return nil
}

// event reads the event that comes next, the nth of the payload.
func (r reader) event(n int) (Event, error) {
	if r.PeekKind() != '{' {
		if _, err := r.ReadToken(); err != nil {
			return Event{}, r.malformed(err)
		}
		return Event{}, &Error{Kind: Invalid, Event: n, Detail: "the event is no object"}
	}
	var e Event
	var wrong string
	text := func(name string, value jsontext.Value) string {
		if value.Kind() != '"' {
			wrong = name + " is no string"
			return ""
		}
		return unquote(value)
	}
	object := func(name string, value jsontext.Value) []byte {
		switch value.Kind() {
		case '{':
			return value
		case 'n':
		default:
			wrong = name + " is no object"
		}
		return nil
	}
	err := r.members(func(name string, value jsontext.Value) {
		switch name {
		case "type":
			e.Type = Type(text(name, value))
		case "schemaName":
			e.Schema = text(name, value)
		case "tableName":
			e.Table = text(name, value)
		case "primaryKey":
			e.PrimaryKey = object(name, value)
		case "row":
			e.Row = object(name, value)
		case "changed":
			e.Changed = object(name, value)
		case "before":
			e.Before = object(name, value)
		case "incomplete":
			if e.Incomplete = value.Kind() == 't'; !e.Incomplete && value.Kind() != 'f' {
				wrong = "incomplete is neither true nor false"
			}
		}
	})
	if err == nil && wrong != "" {
		err = &Error{Kind: Invalid, Event: n, Detail: wrong}
	}
	return e, err
}

// object is the members of a JSON object, by name.
type object map[string]jsontext.Value

// parseObject reads an object that may come from anywhere; nil is the empty one.
func parseObject(text []byte) (object, error) {
	o := object{}
	if text == nil {
		return o, nil
	}
	r := newReader(text)
	if r.PeekKind() != '{' {
		return nil, errors.New("is no JSON object")
	}
	if err := r.members(func(name string, value jsontext.Value) { o[name] = value }); err != nil {
		return nil, err
	}
	return o, r.end()
}

// unquote returns what a JSON string that was read without error says.
func unquote(quoted []byte) string {
	text, _ := jsontext.AppendUnquote(nil, quoted)
	return string(text)
}
