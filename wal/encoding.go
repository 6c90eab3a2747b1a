package wal

import (
	"context"
	_ "embed"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// A server that converts what it streams ends the stream for good at a byte that has no Unicode (SQLSTATE 22P05). So it is
// not asked to convert: the stream comes in the database's own encoding, and becomes UTF-8 here. A UTF8 database has no
// decoder, and costs nothing.

// encodings has a line for each encoding of PostgreSQL in which a byte is a character (PostgreSQL manual, "Supported Character
// Sets"): its name, and the characters of the bytes from 0x80 on in hexadecimal, - for a byte that has none. They are the
// server's own: TestP85EveryByteIsDecodedAsTheServerDoes compares them.
//
//go:embed encodings.txt
var encodings string

// highBytes is the first byte that differs between encodings.
const highBytes = 0x80

// decoder turns the texts of a database into UTF-8. The nil decoder is that of a UTF8 database.
type decoder struct {
	encoding string
	utf8     [256 - highBytes]string // empty for a byte that has no Unicode
	native   map[rune]byte
}

// newDecoder returns false for an encoding whose texts cannot be decoded.
func newDecoder(encoding string) (*decoder, bool) {
	if encoding == "UTF8" {
		return nil, true
	}
	for line := range strings.Lines(encodings) {
		fields := strings.Fields(line)
		if fields[0] != encoding {
			continue
		}
		d := &decoder{encoding: encoding, native: map[rune]byte{}}
		for i, code := range fields[1:] {
			if r, err := strconv.ParseUint(code, 16, 21); err == nil {
				d.utf8[i], d.native[rune(r)] = string(rune(r)), byte(highBytes+i)
			}
		}
		return d, true
	}
	return nil, false
}

// Decodable tells whether no text of a database with the encoding can stop the stream.
func Decodable(encoding string) bool {
	_, ok := newDecoder(encoding)
	return ok
}

// speak makes the server send texts as the database has them.
func (d *decoder) speak(ctx context.Context, conn *pgconn.PgConn) error {
	if d == nil {
		return nil
	}
	if _, err := conn.Exec(ctx, "SET client_encoding TO "+literal(d.encoding)).ReadAll(); err != nil {
		return fmt.Errorf("set client_encoding: %w", err)
	}
	return nil
}

// encode turns a command into the database's encoding. The server refuses what that does not have.
func (d *decoder) encode(command string) string {
	if d == nil {
		return command
	}
	b := make([]byte, 0, len(command))
	for _, r := range command {
		if native, ok := d.native[r]; ok {
			b = append(b, native)
		} else {
			b = utf8.AppendRune(b, r)
		}
	}
	return string(b)
}

// append appends a text to dst, or returns false where it has no Unicode.
func (d *decoder) append(dst, text []byte) ([]byte, bool) {
	for _, b := range text {
		if b < highBytes {
			dst = append(dst, b)
			continue
		}
		character := d.utf8[b-highBytes]
		if character == "" {
			return dst, false
		}
		dst = append(dst, character...)
	}
	return dst, true
}

// name decodes an identifier. A byte that has no Unicode becomes U+FFFD.
func (d *decoder) name(s string) (name string, ok bool) {
	if d == nil {
		return s, true
	}
	b, ok := d.append(nil, []byte(s))
	if !ok {
		return strings.ToValidUTF8(s, "\uFFFD"), false
	}
	return string(b), true
}

// names decodes those of a table.
func (d *decoder) names(m *Relation) {
	if d == nil {
		return
	}
	decode := func(s *string) {
		name, ok := d.name(*s)
		*s, m.nameless = name, m.nameless || !ok
	}
	decode(&m.Schema)
	decode(&m.Name)
	for i := range m.Columns {
		decode(&m.Columns[i].Name)
	}
}

// rows decodes the two images of a change, either of which may be nil. Both are valid until the next call with the same
// scratch space. It returns false where a value has no Unicode.
func (d *decoder) rows(scratch []byte, before, after cdc.Row) (_, _ cdc.Row, used []byte, ok bool) {
	if d == nil || plain(before) && plain(after) {
		return before, after, scratch, true
	}
	scratch, ok = d.row(scratch[:0], before)
	middle := len(scratch)
	if ok {
		scratch, ok = d.row(scratch, after)
	}
	if !ok {
		return nil, nil, scratch, false
	}
	if before != nil {
		before = cdc.Row(scratch[:middle:middle])
	}
	if after != nil {
		after = cdc.Row(scratch[middle:])
	}
	return before, after, scratch, true
}

// plain tells whether a row is the same in UTF-8.
func plain(row cdc.Row) bool {
	for _, b := range row {
		if b >= highBytes {
			return false
		}
	}
	return true
}

// row appends a row, in the layout of cdc.Row.
func (d *decoder) row(dst []byte, row cdc.Row) (_ []byte, ok bool) {
	if row == nil {
		return dst, true
	}
	dst = append(dst, row[:2]...)
	for _, v := range row.Values() {
		dst = append(dst, byte(v.State))
		if v.State != cdc.Text {
			continue
		}
		dst = append(dst, 0, 0, 0, 0)
		start := len(dst)
		if dst, ok = d.append(dst, v.Text); !ok {
			return dst, false
		}
		binary.BigEndian.PutUint32(dst[start-4:], uint32(len(dst)-start))
	}
	return dst, true
}

// unknown is an SQL condition that holds of an expression of type text with a character that has no Unicode. Converted to the
// database's own encoding it is as it is, and bytea's escape format has the bytes from 0x80 on in octal.
func (d *decoder) unknown(expression string) string {
	var octal []string
	if d != nil {
		for i, character := range d.utf8 {
			if character == "" {
				octal = append(octal, strconv.FormatInt(int64(highBytes+i), 8))
			}
		}
	}
	if octal == nil {
		return "false"
	}
	return fmt.Sprintf(`pg_catalog.encode(pg_catalog.convert_to(%s, %s), 'escape') OPERATOR(pg_catalog.~) '\\(%s)'`,
		expression, literal(d.encoding), strings.Join(octal, "|"))
}

// findSQL finds the rows of a table that have no Unicode.
func (d *decoder) findSQL(t TableName) string {
	return fmt.Sprintf("SELECT ctid FROM %s AS r WHERE %s;", t.Quoted(), d.unknown("r::pg_catalog.text"))
}
