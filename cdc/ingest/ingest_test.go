package ingest_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
)

const room = `{"type":"afterDelete","schemaName":"public","tableName":"room","primaryKey":{"id":1}}`

func TestAnArrayIsOneTransaction(t *testing.T) {
	f := newFixture(t)
	one := `{"type":"afterDelete",` + message + `,"primaryKey":{"id":1}}`
	if err := f.emit(t, `[`+one+`,`+one+`]`); err != nil {
		t.Fatal(err)
	}
	if len(f.transactions) != 1 || len(f.transactions[0]) != 2 || f.Stats().Events[ingest.Hook] != 2 {
		t.Errorf("transactions %q, stats %+v", f.transactions, f.Stats())
	}
}

func TestEmitRefusesWhileTheGatewayIsNotLive(t *testing.T) {
	f := newFixture(t)
	event := ingest.Event{Type: ingest.AfterDelete, Schema: "public", Table: "message", PrimaryKey: []byte(`{"id":1}`)}
	f.live = false
	if _, err := f.Emit(t.Context(), event); !errors.Is(err, ingest.ErrNotLive) {
		t.Errorf("error %v", err)
	}
	f.live = true
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Emit(ended, event); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	if _, err := f.Emit(t.Context()); kindOf(err) != ingest.Invalid {
		t.Errorf("no event: error %v", err)
	}
	if position, err := f.Emit(t.Context(), event); err != nil || position.String() != "0/100+1" {
		t.Errorf("position %s, error %v", position, err)
	}
}

func TestNotificationsAreForTheirTables(t *testing.T) {
	f := newFixture(t)
	f.Notified([]byte(room))
	f.Notified([]byte(`{"type":"afterDelete",` + message + `,"primaryKey":{"id":1}}`))
	f.Notified([]byte(`hello`))
	if len(f.transactions) != 1 || f.Stats().Events[ingest.Notify] != 1 || f.Stats().Errors[ingest.Notify] != 2 {
		t.Errorf("transactions %q, stats %+v", f.transactions, f.Stats())
	}
	if f.logs.Len() != 1 { // now and then, not each
		t.Errorf("%d lines of log", f.logs.Len())
	}
}

// Another parser's words may quote a row: they are not for the log.
func TestAParserOfOnesOwn(t *testing.T) {
	core := newFixture(t)
	in := ingest.New(ingest.Options{
		Tables: []ingest.Table{{OID: 20001, Schema: "public", Name: "room", Source: ingest.Notify, Columns: columns()}},
		Sink:   &core.recorder, Log: core.log,
		ParseNotification: func(payload []byte) ([]ingest.Event, error) {
			if string(payload) != "room 7 has gone" {
				return nil, errors.New("the canary is not known")
			}
			return []ingest.Event{{Type: ingest.AfterDelete, Schema: "public", Table: "room", PrimaryKey: []byte(`{"id":7}`)}}, nil
		},
	})
	in.Notified([]byte("room 7 has gone"))
	in.Notified([]byte("canary"))
	if want := [][]string{{"delete room [id*:7] -> none"}}; !reflect.DeepEqual(core.transactions, want) {
		t.Errorf("transactions %q", core.transactions)
	}
	for _, line := range core.logs.All() {
		if got := line.ContextMap()["error"]; got != "the parser has no event for the payload" {
			t.Errorf("the log says %q", got)
		}
	}
}

func TestEmittedEventsAreAddedAllOrNone(t *testing.T) {
	f := newFixture(t)
	var added []string
	add := func(op cdc.Op, table *cdc.Table, before, after cdc.Row) error {
		added = append(added, describe(cdc.Change{Op: op, Table: table, Before: before, After: after}))
		return nil
	}
	good, bad := `{"type":"afterDelete",`+message+`,"primaryKey":{"id":1}}`, room
	for _, content := range []string{"[" + good + "," + bad + "]", good, "{"} {
		if err := f.Emitted([]byte(content), add); err != nil {
			t.Fatal(err)
		}
	}
	if want := []string{"delete message [id*:1] -> none"}; !reflect.DeepEqual(added, want) {
		t.Errorf("added %q", added)
	}
	if s := f.Stats(); s.Events[ingest.Emit] != 1 || s.Errors[ingest.Emit] != 2 {
		t.Errorf("stats %+v", s)
	}
	added = nil
	if err := f.Unread(add); err != nil {
		t.Fatal(err)
	}
	for _, change := range added {
		if !strings.HasPrefix(change, "unreadable ") || strings.Contains(change, "room") {
			t.Errorf("added %q", added)
		}
	}
	if len(added) == 0 {
		t.Error("an event that could not be read is nobody's")
	}
	broken := errors.New("the transaction is not open")
	if err := f.Emitted([]byte(good), func(cdc.Op, *cdc.Table, cdc.Row, cdc.Row) error { return broken }); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}
