package cdc

import (
	"errors"
	"fmt"
	"time"
)

// Errors of the assembler: the source broke the grammar Begin, changes, Commit.
var (
	ErrNoTransaction   = errors.New("no transaction is open")
	ErrTransactionOpen = errors.New("a transaction is open already")
	ErrCommitMismatch  = errors.New("the commit's position is not the one that the transaction began with")
)

// Assembler gathers the changes of one transaction at a time and yields it, whole, at its commit. It copies what it is
// given. It belongs to one goroutine.
type Assembler struct {
	open   bool
	tx     Transaction
	buffer []byte
}

// segmentSize is the memory in which a transaction grows. A transaction that fits in one is copied to its exact size,
// so that the small ones, which are most, waste nothing while they wait in queues.
const segmentSize = 64 << 10

// Begin opens a transaction that will commit at the given position.
func (a *Assembler) Begin(xid uint32, commit LSN, at time.Time) error {
	if a.open {
		return fmt.Errorf("begin transaction %d: %w", xid, ErrTransactionOpen)
	}
	a.open = true
	a.tx = Transaction{XID: xid, Commit: commit, Time: at}
	a.buffer = a.buffer[:0]
	return nil
}

// Add appends a change. The images must be rows that CheckRow accepts, or nil.
func (a *Assembler) Add(op Op, table *Table, before, after Row) error {
	if !a.open {
		return fmt.Errorf("add %s of %s: %w", op, table, ErrNoTransaction)
	}
	if len(a.buffer) > 0 && len(a.buffer)+len(before)+len(after) > segmentSize {
		a.seal()
	}
	a.buffer = packChange(a.buffer, op, a.tableIndex(table), before, after)
	a.tx.changes++
	return nil
}

// SetOrigin says where the open transaction comes from. What is said last counts.
func (a *Assembler) SetOrigin(origin string) error {
	if !a.open {
		return fmt.Errorf("set origin: %w", ErrNoTransaction)
	}
	a.tx.Origin = origin
	return nil
}

// Commit closes the transaction and returns it.
func (a *Assembler) Commit(commit, end LSN) (*Transaction, error) {
	if !a.open {
		return nil, fmt.Errorf("commit at %s: %w", commit, ErrNoTransaction)
	}
	if commit != a.tx.Commit {
		return nil, fmt.Errorf("commit at %s of a transaction that began for %s: %w", commit, a.tx.Commit, ErrCommitMismatch)
	}
	if len(a.buffer) > segmentSize {
		a.seal() // one huge change: it leaves with the transaction, for nobody else needs so much room
	} else if len(a.buffer) > 0 {
		last := make([]byte, len(a.buffer))
		copy(last, a.buffer)
		a.tx.segments = append(a.tx.segments, last)
		a.tx.bytes += len(last)
	}
	tx := a.tx
	tx.End = end
	a.Discard()
	return &tx, nil
}

// Open tells whether a transaction is open.
func (a *Assembler) Open() bool { return a.open }

// Discard forgets the open transaction, if any: its source will send it again from the beginning.
func (a *Assembler) Discard() {
	a.open = false
	a.tx = Transaction{}
}

func (a *Assembler) seal() {
	a.tx.segments = append(a.tx.segments, a.buffer)
	a.tx.bytes += len(a.buffer)
	a.buffer = make([]byte, 0, segmentSize)
}

// tableIndex looks from the end: neighbours in a transaction are mostly of one table.
func (a *Assembler) tableIndex(table *Table) int {
	for i := len(a.tx.tables) - 1; i >= 0; i-- {
		if a.tx.tables[i] == table {
			return i
		}
	}
	a.tx.tables = append(a.tx.tables, table)
	return len(a.tx.tables) - 1
}
