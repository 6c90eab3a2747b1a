package cdc

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// streamedModel is a transaction in progress as a database knows it: a stack of subtransactions, each with what is lost when
// it is rolled back.
type streamedModel struct {
	xid   uint32
	stack []savepoint
	kept  []string // bodies in order
	sent  bool
}

type savepoint struct {
	xid  uint32 // 0 while it has not written
	kept int    // how much of the transaction was there before
	all  []uint32
}

// Transactions in progress, with savepoints in savepoints, some released and some rolled back, in blocks that alternate with
// those of others: at its commit each has what a database would have kept, whatever went to disk meanwhile.
func TestStreamedTransactionsKeepWhatWasNotRolledBack(t *testing.T) {
	tables, packed := []*Table{message(), messageFull()}, func(body string) Row { return row(t, "1", body, nil) }
	rapid.Check(t, func(t *rapid.T) {
		a := Assembler{Spill: Spill{Bytes: rapid.SampledFrom([]int{0, 1, 3 * segmentSize}).Draw(t, "bound"), Dir: os.TempDir()}}
		defer a.Discard()
		next := rapid.SampledFrom([]uint32{1000, 1<<32 - 20}).Draw(t, "first xid") // the second wraps around soon
		newXID := func() uint32 { next++; return next }
		models := make([]*streamedModel, 3)
		begin := func(i int) { models[i] = &streamedModel{xid: newXID(), stack: []savepoint{{}}} }
		for i := range models {
			begin(i)
		}
		check := func(err error) {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
		}
		write := func(m *streamedModel) {
			for i := range m.stack[1:] { // parents first
				if s := &m.stack[i+1]; s.xid == 0 {
					s.xid = newXID()
				}
			}
			xid := m.xid
			if top := m.stack[len(m.stack)-1]; len(m.stack) > 1 {
				xid = top.xid
			}
			m.stack[len(m.stack)-1].all = append(m.stack[len(m.stack)-1].all, xid)
			body := fmt.Sprintf("%d/%d %s", m.xid, len(m.kept), strings.Repeat("x", rapid.SampledFrom([]int{0, 9, 30_000, 70_000}).Draw(t, "size")))
			check(a.StreamStart(m.xid, !m.sent))
			_, err := a.Within(xid)
			check(err)
			check(a.Add(Insert, rapid.SampledFrom(tables).Draw(t, "table"), nil, packed(body)))
			check(a.StreamStop())
			m.sent, m.kept = true, append(m.kept, body)
		}
		for range rapid.IntRange(0, 60).Draw(t, "steps") {
			i := rapid.IntRange(0, len(models)-1).Draw(t, "transaction")
			m := models[i]
			top := len(m.stack) - 1
			switch rapid.SampledFrom([]string{"write", "write", "write", "savepoint", "release", "rollback", "commit", "abort", "other"}).Draw(t, "what") {
			case "write":
				write(m)
			case "savepoint":
				m.stack = append(m.stack, savepoint{kept: len(m.kept)})
			case "release":
				if top > 0 {
					m.stack[top-1].all = append(m.stack[top-1].all, m.stack[top].all...)
					m.stack = m.stack[:top]
				}
			case "rollback":
				if top > 0 {
					// The server tells of each subtransaction that it has sent changes of, the innermost first or by number.
					all := slices.Clone(m.stack[top].all)
					slices.Sort(all)
					for _, xid := range slices.Compact(all) {
						check(a.StreamAbort(m.xid, xid))
					}
					m.kept, m.stack = m.kept[:m.stack[top].kept], m.stack[:top]
				}
			case "abort":
				if m.sent {
					check(a.StreamAbort(m.xid, m.xid))
				}
				begin(i)
			case "commit":
				if !m.sent {
					continue
				}
				tx, err := a.StreamCommit(m.xid, 10, 20, time.Unix(1, 0))
				check(err)
				expectBodies(t, tx, m.kept)
				begin(i)
			case "other": // a whole transaction in between
				check(a.Begin(7, 5, time.Time{}))
				check(a.Add(Insert, tables[0], nil, packed("whole")))
				tx, err := a.Commit(5, 6)
				check(err)
				expectBodies(t, tx, []string{"whole"})
			}
		}
		for _, m := range models {
			if !m.sent {
				continue
			}
			tx, err := a.StreamCommit(m.xid, 10, 20, time.Unix(1, 0))
			check(err)
			expectBodies(t, tx, m.kept)
		}
		if a.memory != 0 || len(a.streamed) != 0 {
			t.Fatalf("%d bytes and %d transactions are left behind", a.memory, len(a.streamed))
		}
	})
}

func expectBodies(t rapid.TB, tx *Transaction, want []string) {
	t.Helper()
	if tx.Len() != len(want) {
		t.Fatalf("%d changes, want %d", tx.Len(), len(want))
	}
	used := map[*Table]bool{}
	for range 2 { // it can be read more than once
		i := 0
		for c := range tx.Changes() {
			if got := string(c.After.Value(1).Text); got != want[i] {
				t.Fatalf("change %d is %.20q, want %.20q", i, got, want[i])
			}
			used[c.Table] = true
			i++
		}
	}
	if len(tx.Tables()) != len(used) {
		t.Fatalf("%d tables are listed, and changes are of %d", len(tx.Tables()), len(used))
	}
}

func whose(a *Assembler, xid uint32) error {
	_, err := a.Within(xid)
	return err
}

func TestStreamedGrammar(t *testing.T) {
	var a Assembler
	expect := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: error %v, want %v", what, got, want)
		}
	}
	commit := func(xid uint32) error {
		_, err := a.StreamCommit(xid, 1, 2, time.Time{})
		return err
	}
	expect("stop outside", a.StreamStop(), ErrNoTransaction)
	expect("an identifier outside", whose(&a, 5), ErrNoTransaction)
	expect("a block of an unknown transaction", a.StreamStart(5, false), ErrNoTransaction)
	expect("abort of an unknown transaction", a.StreamAbort(5, 6), ErrNoTransaction)
	expect("commit of an unknown transaction", commit(5), ErrNoTransaction)
	expect("start", a.StreamStart(5, true), nil)
	expect("start within", a.StreamStart(6, true), ErrTransactionOpen)
	expect("begin within", a.Begin(6, 1, time.Time{}), ErrTransactionOpen)
	expect("abort within", a.StreamAbort(5, 6), ErrTransactionOpen)
	expect("commit within", commit(5), ErrTransactionOpen)
	_, err := a.Commit(0, 1)
	expect("a whole transaction's commit within", err, ErrCommitMismatch)
	expect("stop", a.StreamStop(), nil)
	expect("a change between blocks", a.Add(Insert, message(), nil, row(t, "1", "a", nil)), ErrNoTransaction)
	expect("a first block again", a.StreamStart(5, true), ErrTransactionOpen)
	expect("begin between blocks", a.Begin(6, 1, time.Time{}), nil)
	expect("a block within a whole transaction", a.StreamStart(5, false), ErrTransactionOpen)
	expect("stop within a whole transaction", a.StreamStop(), ErrNoTransaction)
	expect("an identifier within a whole transaction", whose(&a, 7), ErrNoTransaction)
	_, err = a.Commit(1, 2)
	expect("commit of the whole one", err, nil)
	expect("commit", commit(5), nil)
	expect("commit again", commit(5), ErrNoTransaction)
}

// However many transactions are in progress, together they hold no more memory than the bound, but for one segment each.
func TestP53MemoryOfAllTransactionsTogetherIsBounded(t *testing.T) {
	const bound, transactions = 10 * segmentSize, 5
	dir := t.TempDir()
	a := Assembler{Spill: Spill{Bytes: bound, Dir: dir}}
	defer a.Discard()
	body := strings.Repeat("x", 1000)
	held := func() (n int) {
		for _, t := range a.streamed {
			n += t.bytes + cap(t.buffer)
		}
		return n
	}
	for i := range 3000 {
		xid := uint32(1 + i%transactions)
		if err := errors.Join(a.StreamStart(xid, i < transactions), whose(&a, xid), a.Add(Insert, message(), nil, row(t, "1", body, nil)), a.StreamStop()); err != nil {
			t.Fatal(err)
		}
		if got := held(); got > bound+(transactions+1)*segmentSize {
			t.Fatalf("%d bytes in memory after %d changes, the bound is %d", got, i, bound)
		}
	}
	spilled := 0
	for xid := range uint32(transactions) {
		tx, err := a.StreamCommit(xid+1, LSN(xid), LSN(xid+1), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if tx.DiskSize() > 0 {
			spilled++
			if tx.Size() > segmentSize+transactionOverhead {
				t.Errorf("a transaction on disk counts %d bytes of memory", tx.Size())
			}
		}
		expectBodies(t, tx, slices.Repeat([]string{body}, 3000/transactions))
	}
	if spilled == 0 {
		t.Error("no transaction went to disk")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("files have names: %v %v", left, err)
	}
}

// A whole transaction is bounded like those that come in blocks.
func TestP53WholeTransactionsSpillToo(t *testing.T) {
	a := Assembler{Spill: Spill{Bytes: 2 * segmentSize, Dir: t.TempDir()}}
	body := strings.Repeat("x", 50_000)
	for range 2 { // the second finds nothing of the first
		tx := assembleBodies(t, &a, 1, slices.Repeat([]string{body}, 20)...)
		if tx.DiskSize() < 15*50_000 || tx.Size() > 2*segmentSize {
			t.Errorf("%d bytes on disk and %d in memory", tx.DiskSize(), tx.Size())
		}
		expectBodies(t, tx, slices.Repeat([]string{body}, 20))
	}
	if a.memory != 0 {
		t.Errorf("%d bytes are left behind", a.memory)
	}
}

// Without room on the disk the transaction is refused with an error that says where, and the next one passes.
func TestP55NoRoomToSpill(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "gone")
	a := Assembler{Spill: Spill{Bytes: 1, Dir: dir}}
	if err := a.Begin(1, 1, time.Time{}); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = a.Add(Insert, message(), nil, row(t, "1", strings.Repeat("x", 1000), nil))
	}
	var spill *SpillError
	if !errors.As(err, &spill) || spill.Dir != dir || !errors.Is(err, os.ErrNotExist) {
		t.Fatalf("error %v, want a SpillError that names %s", err, dir)
	}
	a.Discard()
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	body := strings.Repeat("x", 1000)
	expectBodies(t, assembleBodies(t, &a, 2, slices.Repeat([]string{body}, 1000)...), slices.Repeat([]string{body}, 1000))
}

// A disk that does not give back what it was given must not make a transaction look shorter than it is.
func TestUnreadableSpillIsNoShortTransaction(t *testing.T) {
	a := Assembler{Spill: Spill{Bytes: 1, Dir: t.TempDir()}}
	tx := assembleBodies(t, &a, 1, slices.Repeat([]string{strings.Repeat("x", 1000)}, 1000)...)
	if err := tx.more.disk.file.Truncate(segmentSize); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("the changes ended as if there were no more")
		}
	}()
	for range tx.Changes() { //nolint:revive // until it panics
	}
}

func TestOriginOfARolledBackSubtransactionIsForgotten(t *testing.T) {
	var a Assembler
	say := func(xid uint32, origin string) error { return errors.Join(whose(&a, xid), a.SetOrigin(origin)) }
	err := errors.Join(a.StreamStart(5, true), say(5, "branch"), say(6, "gone"), say(7, "gone too"), a.StreamStop(),
		a.StreamAbort(5, 7), a.StreamAbort(5, 6))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := a.StreamCommit(5, 1, 2, time.Time{})
	if err != nil || tx.Origin() != "branch" {
		t.Errorf("origin %q, error %v", tx.Origin(), err)
	}
	if err := a.SetOrigin("branch"); !errors.Is(err, ErrNoTransaction) {
		t.Errorf("outside: error %v", err)
	}
}
