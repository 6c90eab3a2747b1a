package wal

import (
	"encoding/hex"
	"slices"
	"unicode/utf8"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// The stream may bring the tables of the gateway's own schema: the outbox, through a publication of its own, and all of them
// under a publication FOR ALL TABLES. Clients are shown none of their rows. A transaction that touches nothing else has no
// changes, so it leads to no checkpoint: a checkpoint does not cause the next one.

const (
	ownSchema = "mtbreactive"
	// outboxTable is what mtbreactive.emit and mtbreactive.set_origin write into: see migrations/0005_outbox.sql.
	outboxTable       = "outbox"
	outboxPublication = "mtbreactive_outbox"
)

// The kinds of rows in the outbox.
const (
	outboxEvent  = "event"
	outboxOrigin = "origin"
)

// ownTable is a table of the gateway's own schema.
type ownTable struct {
	outbox        bool
	kind, content int // columns of the outbox
}

func newOwnTable(m Relation) *ownTable {
	column := func(name string) int {
		return slices.IndexFunc(m.Columns, func(c RelationColumn) bool { return c.Name == name })
	}
	t := &ownTable{kind: column("kind"), content: column("content")}
	t.outbox = m.Name == outboxTable && t.kind >= 0 && t.content >= 0
	return t
}

// Events decodes what mtbreactive.emit has written.
type Events interface {
	// Emitted calls add for each change that the content stands for, in order and with the rules of Assembler.Add, or for
	// none where it is no good: that stops nobody, so it is for the decoder to say so. The error is what add returned. The
	// content is not kept.
	Emitted(content []byte, add func(op cdc.Op, table *cdc.Table, before, after cdc.Row) error) error
	// Unread is for what was emitted and could not be read: it may be about every table that events come for.
	Unread(add func(op cdc.Op, table *cdc.Table, before, after cdc.Row) error) error
}

// takeOwn takes in a change of an own table. Only what is inserted into the outbox says something. The assembler knows the
// subtransaction that it came in, so that a savepoint that is rolled back takes it back.
func (c *collector) takeOwn(op cdc.Op, rel *relation, after cdc.Row) error {
	if op != cdc.Insert || !rel.own.outbox {
		return nil
	}
	if after.Len() != len(rel.message.Columns) {
		return rel.columnsMismatch(after)
	}
	kind := string(after.Value(rel.own.kind).Text)
	c.emitted = decodeBytea(c.emitted[:0], after.Value(rel.own.content).Text)
	defer func() {
		if cap(c.emitted) > maxEmittedKept {
			c.emitted = nil
		}
	}()
	switch {
	case kind == outboxOrigin && len(c.emitted) <= cdc.MaxOrigin && utf8.Valid(c.emitted):
		return c.assembler.SetOrigin(string(c.emitted))
	case kind == outboxEvent && c.events != nil:
		return c.events.Emitted(c.emitted, c.assembler.Add)
	}
	return nil
}

// unreadOwn takes in a change of an own table that could not be read.
func (c *collector) unreadOwn(rel *relation) error {
	if !rel.own.outbox || c.events == nil {
		return nil
	}
	return c.events.Unread(c.assembler.Add)
}

// maxEmittedKept is the size of a buffer that is kept for the next row.
const maxEmittedKept = 64 << 10

// decodeBytea appends the bytes that a bytea's text in hexadecimal stands for (PostgreSQL manual, "bytea Hex Format"), or
// nothing where it is no such text.
func decodeBytea(dst, text []byte) []byte {
	if len(text) < 2 || text[0] != '\\' || text[1] != 'x' {
		return dst
	}
	decoded, err := hex.AppendDecode(dst, text[2:])
	if err != nil {
		return dst
	}
	return decoded
}
