package wal

import (
	"context"
	"errors"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// block encodes what f tells, as a block of the transaction.
func block(xid uint32, first bool, f ...func(*encoder) error) []func(*encoder) error {
	list := []func(*encoder) error{func(e *encoder) error { return e.StreamStart(StreamStart{XID: xid, First: first}) }}
	list = append(list, f...)
	return append(list, (*encoder).StreamStop)
}

// within makes a message that of a subtransaction.
func within(xid uint32, f func(*encoder) error) func(*encoder) error {
	return func(e *encoder) error {
		e.within = []uint32{xid}
		return f(e)
	}
}

func streamCommit(xid uint32, at cdc.LSN) func(*encoder) error {
	return func(e *encoder) error { return e.StreamCommit(StreamCommit{XID: xid, Commit: at, End: at + 8}) }
}

func TestCollectorDropsAStreamedTransactionThatWasReceived(t *testing.T) {
	c := newCollector(true)
	c.tracker.Received(&cdc.Transaction{Commit: 20, End: 28})
	list := append(block(5, true, within(5, insert(1))), block(6, true, within(6, insert(2)))...)
	list = append(list, streamCommit(5, 20), streamCommit(6, 28)) // begins to commit where the one before ended
	transactions, err := decodeAll(c, messages(list...))
	if err != nil || len(transactions) != 1 || transactions[0].XID != 6 {
		t.Fatalf("transactions %v, error %v, want number 6 alone", transactions, err)
	}
	if n, _ := c.assembler.InProgress(); n > 0 || !c.idle() {
		t.Errorf("%d transactions are left, idle %t", n, c.idle())
	}
}

func TestCollectorIsIdleBetweenBlocks(t *testing.T) {
	c := newCollector(true)
	var d Decoder
	for i, m := range messages(block(5, true, within(5, insert(1)))...) {
		if err := d.Decode(m, c); err != nil {
			t.Fatal(err)
		}
		if got, want := c.idle(), i == 2; got != want {
			t.Errorf("idle after message %d is %t", i, got)
		}
	}
}

func TestCollectorRefusesBlocksThatDoNotFit(t *testing.T) {
	join := func(lists ...[]func(*encoder) error) (all []func(*encoder) error) {
		for _, list := range lists {
			all = append(all, list...)
		}
		return all
	}
	one := func(f func(*encoder) error) []func(*encoder) error { return []func(*encoder) error{f} }
	abort := func(e *encoder) error { return e.StreamAbort(StreamAbort{XID: 5, Subtransaction: 6}) }
	for name, c := range map[string]struct {
		list []func(*encoder) error
		want error
	}{
		"a second block of nothing":      {block(5, false), cdc.ErrNoTransaction},
		"a first block again":            {join(block(5, true), block(5, true)), cdc.ErrTransactionOpen},
		"a block within a block":         {join(block(5, true)[:1], block(6, true)), cdc.ErrTransactionOpen},
		"a block within a transaction":   {join(one(begin(10)), block(5, true)), cdc.ErrTransactionOpen},
		"a transaction within a block":   {join(block(5, true)[:1], one(begin(10))), cdc.ErrTransactionOpen},
		"an end of no block":             {one((*encoder).StreamStop), cdc.ErrNoTransaction},
		"a commit of nothing":            {one(streamCommit(5, 10)), cdc.ErrNoTransaction},
		"an abort of nothing":            {one(abort), cdc.ErrNoTransaction},
		"a change between blocks":        {join(block(5, true), one(insert(1))), cdc.ErrNoTransaction},
		"a whole one's commit in blocks": {join(block(5, true)[:1], one(commit(10))), cdc.ErrCommitMismatch},
	} {
		if _, err := decodeAll(newCollector(true), messages(c.list...)); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	c := newCollector(true)
	c.tracker.Received(&cdc.Transaction{Commit: 20, End: 20})
	if _, err := decodeAll(c, messages(append([]func(*encoder) error{begin(10)}, block(5, true)...)...)); !errors.Is(err, cdc.ErrTransactionOpen) {
		t.Errorf("a block within a transaction that is skipped: error %v", err)
	}
}

// noCatalog is a database that is not asked.
type noCatalog struct{ asked int }

func (n *noCatalog) Query(context.Context, string, ...any) (pgx.Rows, error) {
	n.asked++
	return nil, errors.New("nobody is to ask")
}

// The server describes tables again after every abort. That is no reason to ask the catalog again each time: there may be a
// million savepoints.
func TestCollectorLooksUpOnceWhatIsDescribedAgain(t *testing.T) {
	catalog := &noCatalog{}
	c := newCollector(true)
	c.relations.catalog, c.relations.types = catalog, values.NewCatalog(values.Options{})
	m := Relation{OID: orderOID, Schema: "public", Name: "orders", Identity: 'f', Columns: []RelationColumn{{Name: "id"}, {Name: "item"}, {Name: "note"}}}
	if err := c.StreamStart(StreamStart{XID: 5, First: true}); err != nil {
		t.Fatal(err)
	}
	c.relations.put(m, []string{"id"}, 0, 1) // as if it had been looked up
	if err := c.StreamStop(); err != nil {
		t.Fatal(err)
	}
	var list []func(*encoder) error
	for sub := range uint32(3) {
		list = append(list, block(5, false,
			within(6+sub, func(e *encoder) error { return e.Relation(m) }), within(6+sub, insert(2)))...)
		list = append(list, func(e *encoder) error { return e.StreamAbort(StreamAbort{XID: 5, Subtransaction: 6 + sub}) })
	}
	if _, err := decodeAll(c, messages(list...)); err != nil {
		t.Fatal(err)
	}
	if catalog.asked > 0 {
		t.Errorf("the catalog was asked %d times", catalog.asked)
	}
	if n := len(c.relations.streamed[5].list); n != 1 {
		t.Errorf("%d descriptions are kept, want 1", n)
	}
}
