package cdc

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func changes(tx *Transaction) []Change {
	var list []Change
	for c := range tx.Changes() {
		list = append(list, c)
	}
	return list
}

func TestAssemblerYieldsWhatItWasGiven(t *testing.T) {
	tables := []*Table{message(), messageFull(), {Schema: "public", Name: "member"}}
	var a Assembler // one for all transactions: what a former one left must not show
	commit := LSN(0)
	rapid.Check(t, func(t *rapid.T) {
		commit++
		var want []Change
		for range rapid.IntRange(0, 40).Draw(t, "changes") {
			image := func(name string) Row {
				if rapid.IntRange(0, 3).Draw(t, name) == 0 {
					return nil
				}
				size := rapid.SampledFrom([]int{0, 10, 5000, segmentSize, 3 * segmentSize}).Draw(t, "size")
				packed, err := AppendRow(nil, append(anyValues().Draw(t, name), text(strings.Repeat("x", size))))
				if err != nil {
					t.Fatal(err)
				}
				return packed
			}
			op := rapid.SampledFrom([]Op{Insert, Update, Delete, Truncate}).Draw(t, "op")
			want = append(want, Change{Op: op, Table: rapid.SampledFrom(tables).Draw(t, "table"), Before: image("before"), After: image("after")})
		}
		at := time.Unix(int64(commit), 0)
		if err := a.Begin(7, commit, at); err != nil {
			t.Fatal(err)
		}
		bytesIn := 0
		for _, c := range want {
			before, after := bytes.Clone(c.Before), bytes.Clone(c.After)
			if err := a.Add(c.Op, c.Table, before, after); err != nil {
				t.Fatal(err)
			}
			bytesIn += len(before) + len(after)
			clear(before) // the assembler has copied them
			clear(after)
		}
		tx, err := a.Commit(commit, commit+1)
		if err != nil {
			t.Fatal(err)
		}
		if tx.XID != 7 || tx.Commit != commit || tx.End != commit+1 || !tx.Time().Equal(at) || tx.Len() != len(want) {
			t.Fatalf("transaction %+v with %d changes, want %d", tx, tx.Len(), len(want))
		}
		if tx.Size() < bytesIn || tx.Size() > bytesIn+16*len(want)+transactionOverhead {
			t.Fatalf("size %d for images of %d bytes", tx.Size(), bytesIn)
		}
		for range 2 { // it can be read more than once
			for i, got := range changes(tx) {
				w := want[i]
				if got.Op != w.Op || got.Table != w.Table || !bytes.Equal(got.Before, w.Before) || !bytes.Equal(got.After, w.After) ||
					(got.Before == nil) != (w.Before == nil) || (got.After == nil) != (w.After == nil) {
					t.Fatalf("change %d is %v, want %v", i, got, w)
				}
			}
		}
	})
}

func TestTransactionsDoNotShareMemory(t *testing.T) {
	var a Assembler
	first := assembleBodies(t, &a, 1, "the first conversation")
	assembleBodies(t, &a, 2, "another of the same size")
	if got := string(changes(first)[0].After.Value(1).Text); got != "the first conversation" {
		t.Errorf("the first transaction now says %q", got)
	}
}

// A huge row must not make every later transaction's assembly hold as much memory.
func TestAssemblerGivesHugeBuffersAway(t *testing.T) {
	var a Assembler
	assembleBodies(t, &a, 1, strings.Repeat("x", 20*segmentSize))
	if got := cap(a.whole.buffer); got > segmentSize {
		t.Errorf("the assembler keeps %d bytes, want at most %d", got, segmentSize)
	}
	if got := assembleBodies(t, &a, 2, "small").Size(); got > 1000 {
		t.Errorf("a small transaction holds %d bytes", got)
	}
}

func assembleBodies(t *testing.T, a *Assembler, commit LSN, bodies ...string) *Transaction {
	t.Helper()
	if err := a.Begin(1, commit, time.Time{}); err != nil {
		t.Fatal(err)
	}
	for _, body := range bodies {
		if err := a.Add(Insert, message(), nil, row(t, "1", body, nil)); err != nil {
			t.Fatal(err)
		}
	}
	tx, err := a.Commit(commit, commit)
	if err != nil {
		t.Fatal(err)
	}
	return tx
}

func TestAssemblerKeepsTheGrammar(t *testing.T) {
	var a Assembler
	expect := func(what string, got, want error) {
		t.Helper()
		if !errors.Is(got, want) {
			t.Errorf("%s: error %v, want %v", what, got, want)
		}
	}
	expect("a change outside", a.Add(Insert, message(), nil, row(t, "1", "a", nil)), ErrNoTransaction)
	_, err := a.Commit(1, 2)
	expect("a commit outside", err, ErrNoTransaction)
	expect("begin", a.Begin(1, 10, time.Time{}), nil)
	expect("begin within", a.Begin(2, 20, time.Time{}), ErrTransactionOpen)
	_, err = a.Commit(20, 21)
	expect("another's commit", err, ErrCommitMismatch)
	if !a.Open() {
		t.Error("the transaction is closed by a commit that is not its own")
	}
	a.Discard()
	expect("a change after the discard", a.Add(Insert, message(), nil, row(t, "1", "a", nil)), ErrNoTransaction)
	expect("begin again", a.Begin(1, 10, time.Time{}), nil)
	tx, err := a.Commit(10, 11)
	expect("commit", err, nil)
	if tx.Len() != 0 || len(changes(tx)) != 0 {
		t.Errorf("%d changes, want none: they were discarded", tx.Len())
	}
}

// Transactions share memory, of which none may reach into another's.
func TestSmallTransactionsStayApart(t *testing.T) {
	table := message()
	var a Assembler
	var all []*Transaction
	const many = 3 * slabTransactions
	image := func(i int) Row { return row(t, strings.Repeat(string(rune('a'+i%26)), 1+i*7%(slabBytes/4))) }
	for i := range many {
		if err := a.Begin(uint32(i+1), LSN(i), time.UnixMicro(int64(i))); err != nil {
			t.Fatal(err)
		}
		if err := a.Add(Insert, table, nil, image(i)); err != nil {
			t.Fatal(err)
		}
		tx, err := a.Commit(LSN(i), LSN(i+1))
		if err != nil {
			t.Fatal(err)
		}
		if i%5 == 0 {
			tx = tx.Clone()
		}
		all = append(all, tx)
	}
	for i, tx := range all {
		n := 0
		for c := range tx.Changes() {
			n++
			if !bytes.Equal(c.After, image(i)) || c.Table != table {
				t.Fatalf("transaction %d has another's change: %q", i, c.After)
			}
		}
		if n != 1 || tx.XID != uint32(i+1) || tx.Commit != LSN(i) || tx.Time().UnixMicro() != int64(i) {
			t.Fatalf("transaction %d has %d changes and is %d at %s", i, n, tx.XID, tx.Commit)
		}
	}
}
