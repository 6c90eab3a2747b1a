package cdc

import (
	"encoding/binary"
	"errors"
	"iter"
	"math"
)

// Row is one immutable row image, packed in the layout of pgoutput's TupleData (PostgreSQL manual, "Logical Replication
// Message Formats"), so that a row from the WAL is stored as it came: a 16-bit column count, then for each column a
// State and, where that is Text, a 32-bit length and the value in text output format. A nil Row means that there is no
// image. Rows are made by AppendRow or checked by CheckRow; reading a Row never panics.
type Row []byte

// State tells what is known of a value.
type State byte

// The states, by their bytes in pgoutput.
const (
	Null State = 'n'
	// Absent: the source did not say. It stands for a TOAST value that an UPDATE left alone, and for the columns outside
	// the replica identity in an image that holds only the key. It never means NULL.
	Absent State = 'u'
	Text   State = 't'
)

// Value is one column's value. Text aliases the row and must not be changed.
type Value struct {
	State State
	Text  []byte
}

// Equal tells whether two values are known to be the same.
func (v Value) Equal(w Value) bool {
	return v.State == w.State && v.State != Absent && string(v.Text) == string(w.Text)
}

// ErrRow is what CheckRow and AppendRow return for bytes or values that are no row.
var ErrRow = errors.New("malformed row")

// Len is the number of columns.
func (r Row) Len() int {
	if len(r) < 2 {
		return 0
	}
	return int(binary.BigEndian.Uint16(r))
}

// Value returns column i, Absent where the row has no such column. It walks the row: for all columns use Values.
func (r Row) Value(i int) Value {
	c := r.cursor()
	for ; i > 0; i-- {
		if _, ok := c.next(); !ok {
			return Value{State: Absent}
		}
	}
	v, ok := c.next()
	if !ok {
		return Value{State: Absent}
	}
	return v
}

// Values yields every column with its position.
func (r Row) Values() iter.Seq2[int, Value] {
	return func(yield func(int, Value) bool) {
		c := r.cursor()
		for i := 0; ; i++ {
			v, ok := c.next()
			if !ok || !yield(i, v) {
				return
			}
		}
	}
}

// AppendRow packs values onto dst. It refuses more columns and longer values than PostgreSQL has, and unknown states.
func AppendRow(dst []byte, values []Value) ([]byte, error) {
	if len(values) > math.MaxInt16 {
		return dst, ErrRow
	}
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(values)))
	for _, v := range values {
		dst = append(dst, byte(v.State))
		switch {
		case v.State == Null, v.State == Absent:
			continue
		case v.State != Text, len(v.Text) > math.MaxInt32:
			return dst, ErrRow
		}
		dst = binary.BigEndian.AppendUint32(dst, uint32(len(v.Text)))
		dst = append(dst, v.Text...)
	}
	return dst, nil
}

// CheckRow returns the length in bytes of the row at the beginning of b, which may hold more, and whether any of its
// values is Absent.
func CheckRow(b []byte) (size int, absent bool, err error) {
	if len(b) < 2 {
		return 0, false, ErrRow
	}
	rest := b[2:]
	n := int(binary.BigEndian.Uint16(b))
	if n > math.MaxInt16 {
		return 0, false, ErrRow
	}
	for ; n > 0; n-- {
		if len(rest) == 0 {
			return 0, false, ErrRow
		}
		state := State(rest[0])
		rest = rest[1:]
		switch state {
		case Null:
		case Absent:
			absent = true
		case Text:
			if len(rest) < 4 {
				return 0, false, ErrRow
			}
			size := binary.BigEndian.Uint32(rest)
			if size > math.MaxInt32 || uint64(len(rest)-4) < uint64(size) {
				return 0, false, ErrRow
			}
			rest = rest[4+size:]
		default:
			return 0, false, ErrRow
		}
	}
	return len(b) - len(rest), absent, nil
}

// cursor walks a row. It stops at the first byte that makes no sense.
type cursor struct {
	rest []byte
	left int
}

func (r Row) cursor() cursor {
	if len(r) < 2 {
		return cursor{}
	}
	return cursor{rest: r[2:], left: r.Len()}
}

func (c *cursor) next() (Value, bool) {
	if c.left == 0 || len(c.rest) == 0 {
		return Value{State: Absent}, false
	}
	c.left--
	state := State(c.rest[0])
	if state != Text {
		c.rest = c.rest[1:]
		return Value{State: state}, true
	}
	if len(c.rest) < 5 {
		c.left = 0
		return Value{State: Absent}, false
	}
	size := uint64(binary.BigEndian.Uint32(c.rest[1:]))
	if uint64(len(c.rest)-5) < size {
		c.left = 0
		return Value{State: Absent}, false
	}
	text := c.rest[5 : 5+size : 5+size]
	c.rest = c.rest[5+size:]
	return Value{State: Text, Text: text}, true
}
