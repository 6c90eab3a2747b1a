package wal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc"
)

const orderOID = 7

// newCollector knows the table orders (id, item, note), of which the id is the key. With full all columns are identity.
func newCollector(full bool) *collector {
	table := &cdc.Table{OID: orderOID, Schema: "public", Name: "orders", Columns: []cdc.Column{
		{Name: "id", Key: true, Identity: true}, {Name: "item", Identity: full}, {Name: "note", Identity: full},
	}}
	return &collector{
		ctx: context.Background(), meanwhile: func(ctx context.Context, f func(context.Context) error) error { return f(ctx) },
		tracker:   &cdc.Tracker{},
		relations: &relations{byOID: map[uint32]*relation{orderOID: {table: table}}},
	}
}

// image packs values: nil is NULL, and ? what the source did not give.
func image(values ...any) cdc.Row {
	var list []cdc.Value
	for _, v := range values {
		switch v {
		case nil:
			list = append(list, cdc.Value{State: cdc.Null})
		case "?":
			list = append(list, cdc.Value{State: cdc.Absent})
		default:
			list = append(list, cdc.Value{State: cdc.Text, Text: fmt.Append(nil, v)})
		}
	}
	row, err := cdc.AppendRow(nil, list)
	if err != nil {
		panic(err)
	}
	return row
}

// messages encodes what f tells the encoder, message by message.
func messages(calls ...func(e *encoder) error) [][]byte {
	var list [][]byte
	for _, call := range calls {
		var e encoder
		if err := call(&e); err != nil {
			panic(err)
		}
		list = append(list, e.message())
	}
	return list
}

func begin(commit cdc.LSN) func(*encoder) error {
	return func(e *encoder) error { return e.Begin(Begin{Final: commit, XID: 1}) }
}

func commit(at cdc.LSN) func(*encoder) error {
	return func(e *encoder) error { return e.Commit(Commit{Commit: at, End: at + 8}) }
}

func insert(id int) func(*encoder) error {
	return func(e *encoder) error { return e.Insert(orderOID, image(id, "bread", nil)) }
}

// decodeAll decodes into the collector until an error, and returns the transactions.
func decodeAll(c *collector, list [][]byte) (transactions []*cdc.Transaction, err error) {
	var d Decoder
	for _, m := range list {
		if err := d.Decode(m, c); err != nil {
			return transactions, err
		}
		if tx := c.take(); tx != nil {
			transactions = append(transactions, tx)
		}
	}
	return transactions, nil
}

func TestImagesSayWhatIsKnown(t *testing.T) {
	for name, c := range map[string]struct {
		full                  bool
		old                   OldTuple
		before, after         cdc.Row
		wantBefore, wantAfter cdc.Row
	}{
		"TOAST is filled in from the before image": {true, OldFull, image(1, "a", "big"), image(1, "b", "?"), image(1, "a", "big"), image(1, "b", "big")},
		"NULL is filled in too":                    {true, OldFull, image(1, "a", nil), image(1, "b", "?"), image(1, "a", nil), image(1, "b", nil)},
		"nothing is missing":                       {true, OldFull, image(1, "a", "n"), image(1, "b", "m"), image(1, "a", "n"), image(1, "b", "m")},
		"no before image to fill in from":          {false, OldNone, nil, image(1, "b", "?"), nil, image(1, "b", "?")},
		"the NULLs beside an old key are none":     {false, OldKey, image(1, nil, nil), image(2, "b", "?"), image(1, "?", "?"), image(2, "b", "?")},
		"the same of a deletion":                   {false, OldKey, image(1, nil, nil), nil, image(1, "?", "?"), nil},
		"a full deletion":                          {true, OldFull, image(1, nil, "n"), nil, image(1, nil, "n"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			collector := newCollector(c.full)
			change := func(e *encoder) error { return e.Update(orderOID, c.old, c.before, c.after) }
			if c.after == nil {
				change = func(e *encoder) error { return e.Delete(orderOID, c.old, c.before) }
			}
			transactions, err := decodeAll(collector, messages(begin(10), change, change, commit(10)))
			if err != nil || len(transactions) != 1 || transactions[0].Len() != 2 {
				t.Fatalf("%d transactions, error %v", len(transactions), err)
			}
			for got := range transactions[0].Changes() { // both: the second must not spoil the first
				if !bytes.Equal(got.Before, c.wantBefore) || !bytes.Equal(got.After, c.wantAfter) {
					t.Errorf("images %q and %q, want %q and %q", got.Before, got.After, c.wantBefore, c.wantAfter)
				}
			}
		})
	}
}

func TestCollectorSkipsWhatWasReceived(t *testing.T) {
	c := newCollector(true)
	c.tracker.Received(&cdc.Transaction{Commit: 20, End: 28})
	truncate := func(e *encoder) error { return e.Truncate(Truncate{Relations: []uint32{orderOID}}) }
	transactions, err := decodeAll(c, messages(
		begin(10), insert(1), commit(10),
		begin(20), insert(2), truncate, commit(20),
		begin(28), insert(3), commit(28))) // begins to commit where the one before ended
	if err != nil || len(transactions) != 1 || transactions[0].Commit != 28 {
		t.Fatalf("transactions %v, error %v, want the one at 28 alone", transactions, err)
	}
	if !c.idle() {
		t.Error("the collector is not idle after a commit")
	}
}

func TestCollectorIsIdleOnlyBetweenTransactions(t *testing.T) {
	for name, position := range map[string]cdc.LSN{"collecting": 0, "skipping": 20} {
		c := newCollector(true)
		c.tracker.Received(&cdc.Transaction{Commit: position, End: position})
		for i, m := range messages(begin(10), insert(1), commit(10)) {
			if err := new(Decoder).Decode(m, c); err != nil {
				t.Fatal(err)
			}
			if got, want := c.idle(), i == 2; got != want {
				t.Errorf("%s: idle after message %d is %t", name, i, got)
			}
		}
	}
}

func TestCollectorRefusesWhatDoesNotFit(t *testing.T) {
	for name, c := range map[string]struct {
		list [][]byte
		want error
	}{
		"a row too short":            {messages(begin(10), func(e *encoder) error { return e.Insert(orderOID, image(1)) }), ErrMessage},
		"a before image too long":    {messages(begin(10), func(e *encoder) error { return e.Delete(orderOID, OldKey, image(1, nil, nil, nil)) }), ErrMessage},
		"an unknown table":           {messages(begin(10), func(e *encoder) error { return e.Insert(99, image(1)) }), ErrMessage},
		"an unknown table truncated": {messages(begin(10), func(e *encoder) error { return e.Truncate(Truncate{Relations: []uint32{99}}) }), ErrMessage},
		"a change outside":           {messages(insert(1)), cdc.ErrNoTransaction},
		"a commit outside":           {messages(commit(10)), cdc.ErrNoTransaction},
		"a begin within":             {messages(begin(10), begin(20)), cdc.ErrTransactionOpen},
		"another's commit":           {messages(begin(10), commit(20)), cdc.ErrCommitMismatch},
	} {
		if _, err := decodeAll(newCollector(true), c.list); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
	c := newCollector(true)
	c.tracker.Received(&cdc.Transaction{Commit: 20, End: 20})
	if _, err := decodeAll(c, messages(begin(10), begin(20))); !errors.Is(err, cdc.ErrTransactionOpen) {
		t.Errorf("a begin within a transaction that is skipped: error %v", err)
	}
}

// benchmarkMessages are an insert of ten columns and an update of one of them with the full before image.
func benchmarkMessages() (table *cdc.Table, insert, update []byte) {
	table = &cdc.Table{OID: orderOID, Schema: "public", Name: "orders"}
	var before, after []any
	for i := range 10 {
		table.Columns = append(table.Columns, cdc.Column{Name: fmt.Sprint("column", i), Key: i == 0, Identity: true})
		before, after = append(before, "a value of some length"), append(after, "a value of some length")
	}
	after[7] = "another value"
	list := messages(
		func(e *encoder) error { return e.Insert(orderOID, image(before...)) },
		func(e *encoder) error { return e.Update(orderOID, OldFull, image(before...), image(after...)) })
	return table, list[0], list[1]
}

func BenchmarkDecode(b *testing.B) {
	_, insert, update := benchmarkMessages()
	for name, message := range map[string][]byte{"insert": insert, "full update": update} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				if err := new(Decoder).Decode(message, refusing{}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkCollect decodes and assembles a transaction of one full update.
func BenchmarkCollect(b *testing.B) {
	table, _, update := benchmarkMessages()
	c := &collector{tracker: &cdc.Tracker{}, relations: &relations{byOID: map[uint32]*relation{orderOID: {table: table}}}}
	list := append(append(messages(begin(10)), update), messages(commit(10))...)
	b.ReportAllocs()
	b.SetBytes(int64(len(update)))
	for b.Loop() {
		for _, m := range list {
			if err := new(Decoder).Decode(m, c); err != nil {
				b.Fatal(err)
			}
		}
		if tx := c.take(); tx.Len() != 1 {
			b.Fatal("the change is gone")
		}
	}
}

// spoken is an Events that adds a change for each content that is a number.
type spoken struct{ table *cdc.Table }

func (s spoken) Unread(add func(cdc.Op, *cdc.Table, cdc.Row, cdc.Row) error) error {
	return add(cdc.Unreadable, s.table, nil, nil)
}

func (s spoken) Emitted(content []byte, add func(cdc.Op, *cdc.Table, cdc.Row, cdc.Row) error) error {
	if string(content) == "no event" {
		return nil
	}
	return add(cdc.Insert, s.table, nil, image(string(content)))
}
