package cdc

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// Errors of the assembler: the source broke the grammar Begin, changes, Commit, or that of a streamed transaction.
var (
	ErrNoTransaction   = errors.New("no transaction is open")
	ErrTransactionOpen = errors.New("a transaction is open already")
	ErrCommitMismatch  = errors.New("the commit's position is not the one that the transaction began with")
)

// Assembler gathers changes and yields each transaction, whole, at its commit. It copies what it is given. It belongs to one
// goroutine.
//
// A transaction comes in one piece, from Begin to Commit, or, while it is still in progress on the server, in blocks, from
// StreamStart to StreamStop, with those of others and whole transactions in between, until StreamCommit.
type Assembler struct {
	// Spill bounds the memory; the zero value does not.
	Spill Spill

	whole    assembly             // the transaction that comes in one piece
	streamed map[uint32]*assembly // those in progress, by their identifiers
	open     *assembly            // the one that changes go to; nil between transactions and blocks
	slab     slab
	memory   int // of the sealed segments of all
}

// assembly is a transaction in the making. What was added last is in the buffer, the segment to come.
type assembly struct {
	xid     uint32
	commit  LSN
	time    time.Time
	changes int
	buffer  []byte
	more
	subtransactions
}

// segmentSize is the memory in which a transaction grows. What is in the last one is copied to its exact size, so that small
// transactions, which are most, waste nothing while they wait in queues.
const segmentSize = 64 << 10

// Begin opens a transaction that will commit at the given position.
func (a *Assembler) Begin(xid uint32, commit LSN, at time.Time) error {
	if a.open != nil {
		return fmt.Errorf("begin transaction %d: %w", xid, ErrTransactionOpen)
	}
	a.open = &a.whole
	a.whole.xid, a.whole.commit, a.whole.time = xid, commit, at
	return nil
}

// Add appends a change. The images must be rows that CheckRow accepts, or nil. After a *SpillError the assembler is good for
// nothing but Discard.
func (a *Assembler) Add(op Op, table *Table, before, after Row) error {
	t := a.open
	if t == nil {
		return fmt.Errorf("add %s of %s: %w", op, table, ErrNoTransaction)
	}
	if len(t.buffer) > 0 && len(t.buffer)+len(before)+len(after) > segmentSize {
		if err := a.seal(t); err != nil {
			return err
		}
	}
	index := t.tableIndex(table)
	if t.streamed {
		t.buffer = t.attribute(t.buffer)
	}
	if size := len(before) + len(after); size > segmentSize { // to grow step by step would take twice the memory
		t.buffer = slices.Grow(t.buffer, size+changeOverhead)
	}
	t.buffer = packChange(t.buffer, op, index, before, after)
	t.changes++
	return nil
}

// SetOrigin says who made the changes of the open transaction. What is said last counts, as far as it is not rolled back.
func (a *Assembler) SetOrigin(origin string) error {
	if a.open == nil {
		return fmt.Errorf("set origin: %w", ErrNoTransaction)
	}
	if a.open.streamed {
		a.open.origins = append(a.open.origins, said{within: a.open.now, origin: a.open.origin})
	}
	a.open.origin = origin
	return nil
}

// Commit closes the transaction and returns it.
func (a *Assembler) Commit(commit, end LSN) (*Transaction, error) {
	if a.open == nil {
		return nil, fmt.Errorf("commit at %s: %w", commit, ErrNoTransaction)
	}
	if commit != a.open.commit || a.open != &a.whole {
		return nil, fmt.Errorf("commit at %s of a transaction that began for %s: %w", commit, a.open.commit, ErrCommitMismatch)
	}
	a.open = nil
	return a.finish(&a.whole, end)
}

// Open tells whether a transaction, or a block of one, is open.
func (a *Assembler) Open() bool { return a.open != nil }

// Discard forgets what was gathered: its source will send it again from the beginning.
func (a *Assembler) Discard() {
	a.whole.disk.close()
	a.whole = assembly{}
	for _, t := range a.streamed {
		t.disk.close()
	}
	a.open, a.streamed, a.memory = nil, nil, 0
}

// finish makes of an assembly the transaction that nobody changes any more.
func (a *Assembler) finish(t *assembly, end LSN) (*Transaction, error) {
	if len(t.buffer) > segmentSize {
		// One huge change: it leaves with the transaction, for nobody else needs so much room.
		if err := a.seal(t); err != nil {
			return nil, err
		}
	}
	tx := a.slab.transaction()
	*tx = Transaction{XID: t.xid, Commit: t.commit, End: end, at: t.time.UnixMicro(), changes: t.changes, last: a.slab.clone(t.buffer)}
	if len(t.tables) == 1 {
		tx.table[0], t.tables = t.tables[0], t.tables[:0]
	}
	if t.origin != "" || len(t.tables) > 0 || len(t.segments) > 0 || t.disk != nil {
		tx.more = &more{t.origin, t.tables, t.segments, t.bytes, t.disk}
		t.tables = nil
	}
	a.memory -= t.bytes
	*t = assembly{buffer: t.buffer[:0], more: more{tables: t.tables}} // they serve the next one
	return tx, nil
}

// seal makes a segment of the buffer.
func (a *Assembler) seal(t *assembly) error {
	t.mark()
	s := segment{packed: t.buffer, size: len(t.buffer)}
	if t.disk != nil {
		if err := a.write(t.disk, &s); err != nil {
			return err
		}
		t.segments = append(t.segments, s)
		if t.buffer = t.buffer[:0]; cap(t.buffer) > 2*segmentSize {
			t.buffer = make([]byte, 0, segmentSize)
		}
		return nil
	}
	t.segments = append(t.segments, s)
	t.bytes += s.size
	a.memory += s.size
	t.buffer = make([]byte, 0, segmentSize)
	if a.Spill.Bytes > 0 && a.memory > a.Spill.Bytes {
		return a.spill(a.largest())
	}
	return nil
}

// spill moves what is sealed of a transaction to disk, where from now on its segments go as they are sealed.
func (a *Assembler) spill(t *assembly) error {
	disk, err := newSpillFile(a.Spill.Dir)
	if err != nil {
		return a.Spill.failed(err)
	}
	segments := slices.Clone(t.segments)
	for i := range segments {
		if err := a.write(disk, &segments[i]); err != nil {
			disk.close()
			return err
		}
	}
	t.segments, t.disk = segments, disk
	a.memory -= t.bytes
	t.bytes = 0
	return nil
}

func (a *Assembler) write(disk *spillFile, s *segment) (err error) {
	if s.at, err = disk.append(s.packed); err != nil {
		return a.Spill.failed(err)
	}
	s.packed = nil
	return nil
}

// largest is the transaction with the most memory. One that is on disk has none, but for its buffer.
func (a *Assembler) largest() *assembly {
	largest := &a.whole
	for _, t := range a.streamed {
		if t.bytes > largest.bytes {
			largest = t
		}
	}
	return largest
}

// tableIndex looks from the end: neighbours in a transaction are mostly of one table.
func (t *assembly) tableIndex(table *Table) int {
	for i := len(t.tables) - 1; i >= 0; i-- {
		if t.tables[i] == table {
			return i
		}
	}
	t.tables = append(t.tables, table)
	return len(t.tables) - 1
}
