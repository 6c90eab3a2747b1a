package cdc

import (
	"fmt"
	"time"
)

// StreamStart opens a block of a transaction in progress: the changes up to StreamStop are its own. first says that it is
// the transaction's first one.
func (a *Assembler) StreamStart(xid uint32, first bool) error {
	t := a.streamed[xid]
	switch {
	case a.open != nil, first && t != nil:
		return fmt.Errorf("stream transaction %d: %w", xid, ErrTransactionOpen)
	case first:
		t = &assembly{xid: xid, subtransactions: subtransactions{streamed: true}}
		if a.streamed == nil {
			a.streamed = map[uint32]*assembly{}
		}
		a.streamed[xid] = t
	case t == nil:
		return fmt.Errorf("go on with transaction %d: %w", xid, ErrNoTransaction)
	}
	a.open = t
	return nil
}

// StreamStop closes the block.
func (a *Assembler) StreamStop() error {
	if a.open == nil || !a.open.streamed {
		return fmt.Errorf("stop streaming: %w", ErrNoTransaction)
	}
	a.open = nil
	return nil
}

// Within says that the changes to come, up to the next call or the end of the block, are of a subtransaction, or of the
// transaction itself. It returns the subtransaction as counted from the transaction's identifier, which is greater for those
// that began later, also where identifiers have wrapped around.
func (a *Assembler) Within(xid uint32) (subtransaction uint32, err error) {
	if a.open == nil || !a.open.streamed {
		return 0, fmt.Errorf("change of transaction %d: %w", xid, ErrNoTransaction)
	}
	a.open.now = xid - a.open.xid
	return a.open.now, nil
}

// StreamAbort takes back what a transaction in progress did in a subtransaction and those below it, or, where both
// identifiers are the same, all of it. It must be told in the order of the source's log: see subtransactions.
func (a *Assembler) StreamAbort(xid, subtransaction uint32) error {
	t := a.streamed[xid]
	switch {
	case a.open != nil:
		return fmt.Errorf("abort transaction %d: %w", xid, ErrTransactionOpen)
	case t == nil:
		return fmt.Errorf("abort transaction %d: %w", xid, ErrNoTransaction)
	case subtransaction != xid:
		t.cutOrigins(subtransaction - xid)
		return a.cut(t, subtransaction-xid)
	}
	delete(a.streamed, xid)
	a.memory -= t.bytes
	t.disk.close()
	return nil
}

// InProgress is how many transactions wait for their StreamCommit, and how many bytes of them are on disk.
func (a *Assembler) InProgress() (transactions int, disk int64) {
	for _, t := range a.streamed {
		disk += t.disk.size()
	}
	return len(a.streamed), disk
}

// StreamTables lists the tables that the changes of a transaction in progress are of. Until its commit they may be exchanged
// for others of the same columns.
func (a *Assembler) StreamTables(xid uint32) []*Table {
	if t := a.streamed[xid]; t != nil {
		return t.tables
	}
	return nil
}

// StreamCommit closes a transaction that came in blocks and returns it.
func (a *Assembler) StreamCommit(xid uint32, commit, end LSN, at time.Time) (*Transaction, error) {
	t := a.streamed[xid]
	switch {
	case a.open != nil:
		return nil, fmt.Errorf("commit transaction %d: %w", xid, ErrTransactionOpen)
	case t == nil:
		return nil, fmt.Errorf("commit transaction %d: %w", xid, ErrNoTransaction)
	}
	t.commit, t.time = commit, at
	tx, err := a.finish(t, end)
	if err == nil {
		delete(a.streamed, xid)
	}
	return tx, err
}

// subtransactions knows which changes of a streamed transaction are of which of its subtransactions, so that those can be
// taken back.
//
// A subtransaction gets its identifier when it first writes, its parents before it, and what follows until it ends is its
// own or its children's, whose identifiers are greater. So at the moment of its abort all that is to be taken back stands at
// the end, and every change there has an identifier that is no less: the changes are cut where that begins. Nothing has to
// be remembered of the subtransactions that came and went, of which there may be millions.
type subtransactions struct {
	streamed bool
	now      uint32   // the subtransaction to whom changes go, counted from the transaction's own identifier
	marks    []marked // of the segments
	part     marked   // the buffer
	origins  []said
}

// said is a change of the transaction's origin: who said it, and what it was before.
type said struct {
	within uint32
	origin string
}

// marked says what a part of the changes holds.
type marked struct {
	lowest, last uint32 // subtransactions
	changes      int
	tables       int // how many of the transaction's tables this part and those before it use
}

// attribute notes whose the change is that will be appended to the buffer.
func (t *assembly) attribute(buffer []byte) []byte {
	if len(buffer) == 0 {
		t.part = marked{lowest: t.now}
	}
	if len(buffer) == 0 || t.now != t.part.last {
		buffer = appendWithin(buffer, t.now)
	}
	t.part.lowest, t.part.last = min(t.part.lowest, t.now), t.now
	t.part.changes++
	return buffer
}

// mark keeps what the buffer holds, which becomes a segment.
func (t *assembly) mark() {
	if t.streamed {
		t.part.tables = len(t.tables)
		t.marks = append(t.marks, t.part)
	}
}

// cutOrigins is cut for the origin.
func (t *assembly) cutOrigins(from uint32) {
	for last := len(t.origins) - 1; last >= 0 && t.origins[last].within >= from; last-- {
		t.origin, t.origins = t.origins[last].origin, t.origins[:last]
	}
}

// cut takes back the last changes as far as they are of the subtransaction or of later ones.
func (a *Assembler) cut(t *assembly, from uint32) error {
	for len(t.buffer) == 0 || t.part.lowest >= from {
		if len(t.buffer) > 0 {
			t.changes -= t.part.changes
			t.buffer = t.buffer[:0]
		}
		if len(t.marks) == 0 || t.marks[len(t.marks)-1].last < from {
			t.tables = t.tables[:t.tablesSealed()]
			return nil
		}
		if err := a.unseal(t); err != nil {
			return err
		}
	}
	if t.part.last >= from {
		t.cutBuffer(from)
	}
	return nil
}

// unseal makes the last segment the buffer again, which has to be empty.
func (a *Assembler) unseal(t *assembly) error {
	last := len(t.segments) - 1
	s := t.segments[last]
	packed, err := t.load(&s)
	if err != nil {
		return a.Spill.failed(err)
	}
	if s.packed == nil {
		t.disk.end = s.at
	} else {
		t.bytes -= s.size
		a.memory -= s.size
	}
	t.buffer, t.part = packed, t.marks[last]
	t.segments, t.marks = t.segments[:last], t.marks[:last]
	return nil
}

// cutBuffer is cut where the buffer holds something that stays.
func (t *assembly) cutBuffer(from uint32) {
	kept, keptMarks := 0, marked{tables: t.tablesSealed()}
	now := keptMarks
	for rest := t.buffer; len(rest) > 0; {
		if rest[0] == packedWithin {
			var within uint64
			within, rest = uvarint(rest[1:])
			now.last = uint32(within)
			if now.changes == 0 {
				now.lowest = now.last
			}
			now.lowest = min(now.lowest, now.last)
			continue
		}
		table, _ := uvarint(rest[1:])
		now.tables = max(now.tables, int(table)+1)
		now.changes++
		_, rest = unpack(rest, t.tables)
		if now.last < from {
			kept, keptMarks = len(t.buffer)-len(rest), now
		}
	}
	t.changes -= t.part.changes - keptMarks.changes
	t.buffer, t.part, t.tables = t.buffer[:kept], keptMarks, t.tables[:keptMarks.tables]
}

// tablesSealed is how many of the tables the segments use.
func (t *assembly) tablesSealed() int {
	if len(t.marks) == 0 {
		return 0
	}
	return t.marks[len(t.marks)-1].tables
}
