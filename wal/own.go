package wal

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// The stream may bring the tables of the gateway's own schema: the outbox, through a publication of its own, and all of them
// under a publication FOR ALL TABLES. Clients are shown none of their rows. A transaction that touches nothing else has no
// changes, so it leads to no checkpoint: a checkpoint does not cause the next one.

const (
	ownSchema = "mtbreactive"
	// outboxTable is what mtbreactive.emit and mtbreactive.set_origin write into: see migrations/0005_outbox.sql.
	outboxTable       = "outbox"
	checkpointTable   = "checkpoint"
	setupTable        = "setup"
	outboxPublication = "mtbreactive_outbox"
)

// ErrForeignTable says that a table of our schema is somebody else's, who could have code of theirs run by what is written into it.
var ErrForeignTable = errors.New("the table is not the gateway's own: look at it, run DROP SCHEMA mtbreactive CASCADE, and restart the gateway")

// foreignTable finds the owner of a table of our schema, or of the schema, that is neither our role, nor a superuser, nor the
// owner of the database.
const foreignTable = `
select coalesce((
    select r.rolname::pg_catalog.text
    from pg_catalog.pg_namespace n
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = $2
    join pg_catalog.pg_roles r on r.oid in (n.nspowner, c.relowner)
    join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
    where n.nspname = $1 and not r.rolsuper and r.rolname not in (current_user, 'pg_database_owner') and r.oid <> d.datdba
    limit 1), '')`

// refuseForeignTable looks before each use: the schema was judged at the start, and may have been dropped and made again since.
// Where there is no table, what follows fails.
func refuseForeignTable(ctx context.Context, q interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}, table string) error {
	var owner string
	if err := q.QueryRow(ctx, foreignTable, ownSchema, table).Scan(&owner); err != nil {
		return fmt.Errorf("look at %s.%s: %w", ownSchema, table, err)
	}
	if owner != "" {
		return fmt.Errorf("%s.%s of role %s: %w", ownSchema, table, owner, ErrForeignTable)
	}
	return nil
}

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
