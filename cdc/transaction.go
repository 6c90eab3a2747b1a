package cdc

import (
	"encoding/binary"
	"fmt"
	"iter"
	"time"
)

// Transaction is one committed transaction: where and when it committed, and its changes in the order in which they
// were made. It is immutable and may be read from any goroutine.
type Transaction struct {
	// XID is the top-level transaction's identifier, the low 32 bits of it; 0, which PostgreSQL gives to none, where the
	// changes did not come from the log: see Ingested.
	XID uint32
	// Commit is the position of the commit record: what a transaction that is sent again is recognised by.
	Commit LSN
	// End is the position behind the commit record: what is acknowledged. It may equal the Commit of the next one.
	End LSN

	at      int64 // microseconds since 1970, as precise as the server's clock
	changes int
	last    []byte    // the changes, packed: all but those in segments
	table   [1]*Table // where all changes are of one table; else nil
	more    *more     // nil: there is nothing of it
}

// more is what most transactions have nothing of. A hundred thousand of them may be kept for clients that come back.
type more struct {
	origin   string
	tables   []*Table
	segments []segment // before the last changes
	bytes    int       // of the segments that are in memory
	disk     *spillFile
}

// segment is a part of the packed changes. No change lies in two.
type segment struct {
	packed []byte // nil: it is on disk
	at     int64
	size   int
}

// MaxOrigin bounds the origin of a transaction, in bytes.
const MaxOrigin = 256

// Time is the commit's time on the server's clock.
func (t *Transaction) Time() time.Time { return time.UnixMicro(t.at) }

// Origin is what the transaction said of where it comes from, at most MaxOrigin bytes of UTF-8; empty where it said
// nothing. A client that wrote it itself may know it by that.
func (t *Transaction) Origin() string {
	if t.more == nil {
		return ""
	}
	return t.more.origin
}

// Ingested tells whether the changes were told to the gateway beside the log. Such a transaction has no identifier and no
// position: no snapshot can say whether it shows it, and no log can bring it again.
func (t *Transaction) Ingested() bool { return t.XID == 0 }

// IngestPosition is the place of an ingested transaction among all that reach clients.
type IngestPosition struct {
	// After is the last transaction of the log that was delivered before it, 0 where there was none.
	After LSN
	// Number counts the ingested transactions since the process began, from 1.
	Number uint64
}

// String gives 16/B374D848+7.
func (p IngestPosition) String() string { return fmt.Sprintf("%s+%d", p.After, p.Number) }

// Len is the number of changes.
func (t *Transaction) Len() int { return t.changes }

// Size is the memory that the transaction holds, in bytes, near enough to bound queues by it.
func (t *Transaction) Size() int {
	size := len(t.last) + transactionOverhead
	if t.more != nil {
		size += t.more.bytes
	}
	return size
}

// Clone returns a transaction that keeps no memory of others: to be kept alone. See slab.
func (t *Transaction) Clone() *Transaction {
	c := *t
	c.last = append(make([]byte, 0, len(t.last)), t.last...)
	return &c
}

// DiskSize is what the transaction holds on disk, in bytes.
func (t *Transaction) DiskSize() int64 {
	if t.more == nil {
		return 0
	}
	return t.more.disk.size()
}

// transactionOverhead is what a transaction costs beside its changes: itself and its place in queues and in the log.
const transactionOverhead = 128

// Tables lists the tables that the changes are of, in the order of their first one. It must not be changed. A table that
// was altered in the transaction is there more than once.
func (t *Transaction) Tables() []*Table {
	switch {
	case t.table[0] != nil:
		return t.table[:]
	case t.more != nil:
		return t.more.tables
	}
	return nil
}

// Changes yields the changes in order. It may be called more than once, and from several goroutines at a time.
//
// Of a transaction on disk it reads a segment at a time. Where the disk does not give back what was written it panics: half
// a transaction may have been passed on by then, which can neither be finished nor called back. A gateway that is started
// anew gets it whole from its source.
func (t *Transaction) Changes() iter.Seq[Change] {
	return func(yield func(Change) bool) {
		tables := t.Tables()
		if t.more != nil {
			for i := range t.more.segments {
				packed, err := t.more.load(&t.more.segments[i])
				if err != nil {
					panic(fmt.Errorf("read transaction %d back from disk: %w", t.XID, err))
				}
				if !each(packed, tables, yield) {
					return
				}
			}
		}
		each(t.last, tables, yield)
	}
}

// each yields the packed changes, and returns false when no more are wanted.
func each(packed []byte, tables []*Table, yield func(Change) bool) bool {
	for len(packed) > 0 {
		if packed[0] == packedWithin {
			_, packed = uvarint(packed[1:])
			continue
		}
		var c Change
		c, packed = unpack(packed, tables)
		if !yield(c) {
			return false
		}
	}
	return true
}

func (m *more) load(s *segment) ([]byte, error) {
	if s.packed != nil {
		return s.packed, nil
	}
	return m.disk.read(s.at, s.size)
}

// A change is packed as: the op, the table's index as a varint, then each image as a varint length and its bytes. A
// length of 0 is no image: an image has two bytes at least. In a streamed transaction, packedWithin and a varint stand before
// the changes of another subtransaction than before, and at the beginning of each segment.
const packedWithin = 0

// changeOverhead is the most that a packed change has besides its images.
const changeOverhead = 1 + 3*binary.MaxVarintLen64

func packChange(dst []byte, op Op, table int, before, after Row) []byte {
	dst = append(dst, byte(op))
	dst = binary.AppendUvarint(dst, uint64(table))
	dst = binary.AppendUvarint(dst, uint64(len(before)))
	dst = append(dst, before...)
	dst = binary.AppendUvarint(dst, uint64(len(after)))
	return append(dst, after...)
}

func appendWithin(dst []byte, subtransaction uint32) []byte {
	return binary.AppendUvarint(append(dst, packedWithin), uint64(subtransaction))
}

func unpack(b []byte, tables []*Table) (Change, []byte) {
	op := Op(b[0])
	table, b := uvarint(b[1:])
	before, b := image(b)
	after, b := image(b)
	return Change{Op: op, Table: tables[table], Before: before, After: after}, b
}

func uvarint(b []byte) (uint64, []byte) {
	v, n := binary.Uvarint(b)
	return v, b[n:]
}

func image(b []byte) (Row, []byte) {
	size, b := uvarint(b)
	if size == 0 {
		return nil, b
	}
	return Row(b[:size:size]), b[size:]
}
