package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// ErrMessage is wrapped by every error of Decode: the bytes are no pgoutput message of protocol version 2.
var ErrMessage = errors.New("malformed pgoutput message")

// Handler takes what Decode finds in a message. Slices and rows alias the message: a handler that keeps them copies. An
// error from a handler comes back from Decode as it is.
type Handler interface {
	Begin(Begin) error
	Commit(Commit) error
	Relation(Relation) error
	Insert(relation uint32, after cdc.Row) error
	// Update has old == OldNone and no before image where the identity did not change and is not FULL.
	Update(relation uint32, old OldTuple, before, after cdc.Row) error
	Delete(relation uint32, old OldTuple, before cdc.Row) error
	// Oversized is called instead of the three where a message of so many bytes was too long to be held.
	Oversized(relation uint32, size int) error
	Truncate(Truncate) error
	Message(LogicalMessage) error
	Origin(Origin) error
	Type(Type) error

	// StreamStart begins a block of a transaction in progress, StreamStop ends it. What comes between belongs to it.
	StreamStart(StreamStart) error
	StreamStop() error
	StreamCommit(StreamCommit) error
	StreamAbort(StreamAbort) error
	// Within says, in a block before each other call, whose it is: a subtransaction's or the transaction's own. It is not called
	// before Message: the server does not tell which subtransaction one is of.
	Within(xid uint32) error
}

// Begin opens a transaction.
type Begin struct {
	Final cdc.LSN // position of the commit record to come
	Time  time.Time
	XID   uint32
}

// Commit closes a transaction.
type Commit struct {
	Commit cdc.LSN // position of the commit record
	End    cdc.LSN // behind it
	Time   time.Time
}

// Relation describes a table before its first change and after each of its alterations.
type Relation struct {
	OID      uint32
	Schema   string
	Name     string
	Identity byte // pg_class.relreplident: d, n, f or i
	Columns  []RelationColumn

	nameless bool // a name has no Unicode, so that nothing can be told of the table
}

// RelationColumn is one published column.
type RelationColumn struct {
	Name     string
	TypeOID  uint32
	TypeMod  int32
	Identity bool // part of the replica identity: under FULL every column is
}

// OldTuple says what a before image holds.
type OldTuple byte

// The before images, by their bytes in pgoutput.
const (
	OldNone OldTuple = 0
	OldKey  OldTuple = 'K' // the columns of the replica identity; all others are sent as NULL whatever they were
	OldFull OldTuple = 'O'
)

// Truncate names the tables that one TRUNCATE emptied.
type Truncate struct {
	Relations []uint32
	Cascade   bool
	Restart   bool
}

// LogicalMessage is a pg_logical_emit_message.
type LogicalMessage struct {
	XID           uint32 // the transaction in whose block it comes; 0 outside of blocks
	Transactional bool
	LSN           cdc.LSN
	Prefix        string
	Content       []byte
}

// Origin names the replication origin that a transaction came from.
type Origin struct {
	Commit cdc.LSN // on the origin's server
	Name   string
}

// Type names a type that is not built in, before a Relation that uses it.
type Type struct {
	OID    uint32
	Schema string
	Name   string
}

// StreamStart opens a block of a transaction in progress.
type StreamStart struct {
	XID   uint32 // of the top-level transaction
	First bool   // of its blocks
}

// StreamCommit closes a transaction that came in blocks.
type StreamCommit struct {
	XID    uint32
	Commit cdc.LSN // position of the commit record
	End    cdc.LSN // behind it
	Time   time.Time
}

// StreamAbort says that a transaction that came in blocks, or a subtransaction of it, was rolled back.
type StreamAbort struct {
	XID uint32
	// Subtransaction is the same as XID where the whole transaction was rolled back. Of subtransactions there is a message
	// for each that changes came of.
	Subtransaction uint32
}

// Decoder reads the messages of one connection. The zero value is ready for the first one. It belongs to one goroutine.
type Decoder struct {
	inBlock bool // between StreamStart and StreamStop: messages begin with the identifier of whose they are
}

// Decode reads one pgoutput message of protocol version 2 (PostgreSQL manual, "Logical Replication Message Formats") and calls the handler's
// method for it. Every length is checked: a message that is cut short, too long or of unknown kind is an ErrMessage, and
// nothing is called.
func (d *Decoder) Decode(message []byte, h Handler) error {
	if len(message) == 0 {
		return fmt.Errorf("decode: empty: %w", ErrMessage)
	}
	kind := message[0]
	r := &reader{rest: message[1:]}
	var xid uint32
	if d.inBlock && attributed(kind) {
		xid = r.uint32()
	}
	var handle func() error
	switch kind {
	case 'I', 'U', 'D':
		// The hot path: no closure, no allocation.
		return decodeRow(kind, r, d.inBlock, xid, h)
	case 'B':
		m := Begin{Final: r.lsn(), Time: r.time(), XID: r.uint32()}
		handle = func() error { return h.Begin(m) }
	case 'C':
		r.flags(0)
		m := Commit{Commit: r.lsn(), End: r.lsn(), Time: r.time()}
		handle = func() error { return h.Commit(m) }
	case 'R':
		m := r.relation()
		handle = func() error { return h.Relation(m) }
	case 'T':
		m := r.truncate()
		handle = func() error { return h.Truncate(m) }
	case 'M':
		m := LogicalMessage{XID: xid, Transactional: r.flags(1) != 0, LSN: r.lsn(), Prefix: r.string(), Content: r.bytes(int64(r.uint32()))}
		handle = func() error { return h.Message(m) }
	case 'O':
		m := Origin{Commit: r.lsn(), Name: r.string()}
		handle = func() error { return h.Origin(m) }
	case 'Y':
		m := Type{OID: r.uint32(), Schema: r.string(), Name: r.string()}
		handle = func() error { return h.Type(m) }
	case 'S':
		m := StreamStart{XID: r.uint32(), First: r.flags(1) != 0}
		handle = func() error { d.inBlock = true; return h.StreamStart(m) }
	case 'E':
		handle = func() error { d.inBlock = false; return h.StreamStop() }
	case 'c':
		m := StreamCommit{XID: r.uint32()}
		r.flags(0)
		m.Commit, m.End, m.Time = r.lsn(), r.lsn(), r.time()
		handle = func() error { return h.StreamCommit(m) }
	case 'A':
		m := StreamAbort{XID: r.uint32(), Subtransaction: r.uint32()}
		handle = func() error { return h.StreamAbort(m) }
	default:
		return fmt.Errorf("decode: unknown kind %q: %w", kind, ErrMessage)
	}
	if err := r.finish(kind); err != nil {
		return err
	}
	if d.inBlock && attributed(kind) && kind != 'M' {
		if err := h.Within(xid); err != nil {
			return err
		}
	}
	return handle()
}

// DecodeHead is Decode for a message of size bytes of which only the first are there. A logical message of such a size is not
// addressed to the gateway.
func (d *Decoder) DecodeHead(head []byte, size int, h Handler) error {
	if len(head) == 0 {
		return fmt.Errorf("decode: empty: %w", ErrMessage)
	}
	kind, r := head[0], &reader{rest: head[1:]}
	switch kind {
	case 'M':
		return nil
	case 'I', 'U', 'D':
	default:
		return fmt.Errorf("decode %q: %d bytes: %w", kind, size, ErrMessage)
	}
	var xid uint32
	if d.inBlock {
		xid = r.uint32()
	}
	relation := r.uint32()
	if r.bad {
		return r.finish(kind)
	}
	if d.inBlock {
		if err := h.Within(xid); err != nil {
			return err
		}
	}
	return h.Oversized(relation, size)
}

// attributed tells whether a message of the kind, within a block, says whose it is.
func attributed(kind byte) bool {
	switch kind {
	case 'I', 'U', 'D', 'R', 'T', 'M', 'Y':
		return true
	}
	return false
}

func decodeRow(kind byte, r *reader, inBlock bool, xid uint32, h Handler) error {
	relation := r.uint32()
	var old OldTuple
	var before, after cdc.Row
	mark := r.byte()
	if kind != 'I' && (mark == byte(OldKey) || mark == byte(OldFull)) {
		old = OldTuple(mark)
		before = r.row()
		if kind == 'U' {
			mark = r.byte()
		}
	}
	switch {
	case kind == 'D' && old == OldNone, kind != 'D' && mark != 'N':
		r.fail()
	case kind != 'D':
		after = r.row()
	}
	if err := r.finish(kind); err != nil {
		return err
	}
	if inBlock {
		if err := h.Within(xid); err != nil {
			return err
		}
	}
	switch kind {
	case 'I':
		return h.Insert(relation, after)
	case 'U':
		return h.Update(relation, old, before, after)
	default:
		return h.Delete(relation, old, before)
	}
}

// reader takes a message apart. The first read beyond the end marks it bad, and every later one returns nothing, so
// that a decoder reads straight on and looks once, at the end.
type reader struct {
	rest []byte
	bad  bool
}

func (r *reader) fail() { r.bad, r.rest = true, nil }

func (r *reader) finish(kind byte) error {
	if r.bad {
		return fmt.Errorf("decode %q: cut short or misshapen: %w", kind, ErrMessage)
	}
	if len(r.rest) > 0 {
		return fmt.Errorf("decode %q: %d bytes too many: %w", kind, len(r.rest), ErrMessage)
	}
	return nil
}

func (r *reader) bytes(n int64) []byte {
	if r.bad || n < 0 || n > int64(len(r.rest)) {
		r.fail()
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

func (r *reader) byte() byte {
	if b := r.bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// flags reads a byte in which only the known bits may be set: what another one means, this decoder cannot know.
func (r *reader) flags(known byte) byte {
	b := r.byte()
	if b&^known != 0 {
		r.fail()
	}
	return b
}

func (r *reader) uint16() uint16 {
	if b := r.bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (r *reader) uint32() uint32 {
	if b := r.bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (r *reader) uint64() uint64 {
	if b := r.bytes(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (r *reader) lsn() cdc.LSN { return cdc.LSN(r.uint64()) }

// postgresEpoch is 2000-01-01 UTC, from which PostgreSQL counts its microseconds, in Unix microseconds.
const postgresEpoch = 946684800_000000

func (r *reader) time() time.Time {
	return time.UnixMicro(postgresEpoch + int64(r.uint64())).UTC()
}

func (r *reader) string() string {
	end := bytes.IndexByte(r.rest, 0)
	if end < 0 {
		r.fail()
		return ""
	}
	return string(r.bytes(int64(end) + 1)[:end])
}

func (r *reader) row() cdc.Row {
	size, _, err := cdc.CheckRow(r.rest)
	if err != nil {
		r.fail()
		return nil
	}
	return cdc.Row(r.bytes(int64(size)))
}

func (r *reader) relation() Relation {
	m := Relation{OID: r.uint32(), Schema: r.string(), Name: r.string(), Identity: r.byte()}
	if m.Schema == "" {
		m.Schema = "pg_catalog" // the manual: an empty namespace stands for it
	}
	n := int(r.uint16())
	for i := 0; i < n && !r.bad; i++ {
		m.Columns = append(m.Columns, RelationColumn{
			Identity: r.flags(1) != 0, Name: r.string(), TypeOID: r.uint32(), TypeMod: int32(r.uint32()),
		})
	}
	return m
}

func (r *reader) truncate() Truncate {
	n := int64(r.uint32())
	options := r.flags(3)
	m := Truncate{Cascade: options&1 != 0, Restart: options&2 != 0}
	if n*4 != int64(len(r.rest)) {
		r.fail()
		return m
	}
	for ; n > 0; n-- {
		m.Relations = append(m.Relations, r.uint32())
	}
	return m
}
