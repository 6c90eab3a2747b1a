package wal

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// The OIDs of tables that collectorOfOutboxes knows, orders apart.
const (
	outboxOID     = 100
	checkpointOID = 101
	foreignOID    = 102
)

// collectorOfOutboxes knows the outbox, another table of our schema, and one of somebody else's that is called like the outbox.
func collectorOfOutboxes(t *testing.T) *collector {
	t.Helper()
	c := newCollector(true)
	c.events = spoken{&cdc.Table{Schema: "public", Name: "typing", Columns: []cdc.Column{{Name: "id"}}}}
	c.relations.streamed = map[uint32]*described{}
	columns := []RelationColumn{{Name: "id", Identity: true}, {Name: "kind"}, {Name: "content"}}
	c.relations.put(Relation{OID: outboxOID, Schema: "mtbreactive", Name: "outbox", Identity: 'd', Columns: columns}, nil, 0, 1)
	c.relations.put(Relation{OID: checkpointOID, Schema: "mtbreactive", Name: "checkpoint", Identity: 'd', Columns: columns}, nil, 0, 2)
	foreign := &cdc.Table{OID: foreignOID, Schema: "public", Name: "outbox", Columns: []cdc.Column{{Name: "id"}, {Name: "kind"}, {Name: "content"}}}
	c.relations.byOID[foreignOID] = &relation{table: foreign}
	return c
}

// outboxRow is a row of the outbox as the stream has it.
func outboxRow(kind, content string) cdc.Row {
	return image(1, kind, `\x`+hex.EncodeToString([]byte(content)))
}

func insertInto(oid uint32, row cdc.Row) func(*encoder) error {
	return func(e *encoder) error { return e.Insert(oid, row) }
}

func changesOf(tx *cdc.Transaction) string {
	var got []string
	for change := range tx.Changes() {
		got = append(got, fmt.Sprintf("%s %s", change.Table.Name, change.After.Value(0).Text))
	}
	return strings.Join(got, ", ")
}

// Events stand where their rows stand in the transaction.
func TestS4CollectorTakesInTheRowsOfTheOutbox(t *testing.T) {
	c := collectorOfOutboxes(t)
	c.tracker.Received(&cdc.Transaction{Commit: 10, End: 18})
	event := func(content string) func(*encoder) error { return insertInto(outboxOID, outboxRow("event", content)) }
	origin := func(content string) func(*encoder) error { return insertInto(outboxOID, outboxRow("origin", content)) }
	gone := func(e *encoder) error { return e.Delete(outboxOID, OldKey, outboxRow("event", "9")) }
	emptied := func(e *encoder) error { return e.Truncate(Truncate{Relations: []uint32{outboxOID, checkpointOID}}) }
	transactions, err := decodeAll(c, messages(
		begin(10), event("1"), origin("skipped"), commit(10),
		begin(20), insert(1), event("3"), origin("tab 1"), insert(2), gone, emptied, event("no event"),
		insertInto(outboxOID, outboxRow("other", "4")), insertInto(checkpointOID, outboxRow("event", "5")),
		insertInto(outboxOID, image(1, "origin", "no bytes")), origin("tab 2"), origin(strings.Repeat("x", cdc.MaxOrigin+1)), origin("\xff"), commit(20),
		begin(30), insert(3), commit(30)))
	if err != nil || len(transactions) != 2 {
		t.Fatalf("%d transactions, error %v", len(transactions), err)
	}
	if got, want := changesOf(transactions[0]), "orders 1, typing 3, orders 2"; got != want {
		t.Errorf("changes %q, want %s", got, want)
	}
	if first, second := transactions[0].Origin(), transactions[1].Origin(); first != "tab 2" || second != "" {
		t.Errorf("origins %q and %q", first, second)
	}
	c.events = nil
	if transactions, err := decodeAll(c, messages(begin(40), event("6"), commit(40))); err != nil || transactions[0].Len() != 0 {
		t.Errorf("without a decoder: %v, %v", transactions, err)
	}
	if _, err := decodeAll(c, messages(origin("outside"))); !errors.Is(err, cdc.ErrNoTransaction) {
		t.Errorf("outside of a transaction: %v", err)
	}
	if _, err := decodeAll(c, messages(begin(50), insertInto(outboxOID, image(1, "event")))); !errors.Is(err, ErrMessage) {
		t.Errorf("a row that lacks a column: %v", err)
	}
}

// What anybody may write says nothing: logical messages, and a table of the outbox's name in another schema.
func TestS4CollectorBelievesTheOutboxAlone(t *testing.T) {
	c := collectorOfOutboxes(t)
	said := func(prefix string) func(*encoder) error {
		return func(e *encoder) error {
			return e.Message(LogicalMessage{Prefix: prefix, Transactional: true, Content: []byte("1")})
		}
	}
	transactions, err := decodeAll(c, messages(
		begin(10), said("mtbreactive"), said("mtbreactive@5"), said("mtbreactive.origin"), insertInto(foreignOID, outboxRow("event", "1")),
		insertInto(foreignOID, outboxRow("origin", "1")), commit(10)))
	if err != nil || len(transactions) != 1 {
		t.Fatalf("%d transactions, error %v", len(transactions), err)
	}
	if got := changesOf(transactions[0]); got != "outbox 1, outbox 1" || transactions[0].Origin() != "" {
		t.Errorf("changes %q, origin %q", got, transactions[0].Origin())
	}
}

// Of a transaction that is streamed, the server says which subtransaction a row is of.
func TestS4EventsOfARolledBackSubtransactionAreTakenBack(t *testing.T) {
	c := collectorOfOutboxes(t)
	c.relations.open(5, true)
	say := func(kind, content string) error { return c.Insert(outboxOID, outboxRow(kind, content)) }
	err := errors.Join(
		c.assembler.StreamStart(5, true), c.Within(5), say("event", "1"), say("origin", "kept"),
		c.Within(6), c.Insert(orderOID, image(1, "gone", nil)), say("event", "2"), say("origin", "gone"),
		c.Within(7), say("event", "3"), c.Insert(orderOID, image(2, "gone too", nil)), c.StreamStop(),
		c.StreamAbort(StreamAbort{XID: 5, Subtransaction: 6}))
	if err != nil {
		t.Fatal(err)
	}
	tx, err := c.assembler.StreamCommit(5, 10, 18, time.Time{})
	if err != nil || tx.Len() != 1 || tx.Origin() != "kept" {
		t.Fatalf("%v, error %v", tx, err)
	}
	if got := changesOf(tx); got != "typing 1" {
		t.Errorf("what is left is %s", got)
	}
}
