package ingest_test

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
)

// recorder is a sink that writes down each transaction, each of its changes in words.
type recorder struct {
	mu           sync.Mutex
	transactions [][]string
	tables       []*cdc.Table
	encoded      [][]byte // every value that is not written as a string
}

func (r *recorder) Ingest(tx *cdc.Transaction) cdc.IngestPosition {
	r.mu.Lock()
	defer r.mu.Unlock()
	var lines []string
	for c := range tx.Changes() {
		lines = append(lines, describe(c))
		r.tables = append(r.tables, c.Table)
		for _, row := range []cdc.Row{c.Before, c.After} {
			for i, v := range row.Values() {
				if encode := c.Table.Columns[i].JSON; encode != nil && v.State == cdc.Text {
					r.encoded = append(r.encoded, encode(nil, v.Text))
				}
			}
		}
	}
	r.transactions = append(r.transactions, lines)
	return cdc.IngestPosition{After: 0x100, Number: uint64(len(r.transactions))}
}

// describe writes a change like "update message [id:1 body:"a"] -> [id:1 body:"b"]", with * behind the key's columns. What is
// not known is left out.
func describe(c cdc.Change) string {
	image := func(row cdc.Row) string {
		if row == nil {
			return "none"
		}
		var list []string
		for i, v := range row.Values() {
			column := c.Table.Columns[i]
			name := column.Name
			if column.Key {
				name += "*"
			}
			switch {
			case v.State == cdc.Null:
				list = append(list, name+":NULL")
			case v.State == cdc.Absent:
			case column.JSON == nil:
				list = append(list, name+":"+strconv.Quote(string(v.Text)))
			default:
				list = append(list, name+":"+string(column.JSON(nil, v.Text)))
			}
		}
		return "[" + strings.Join(list, " ") + "]"
	}
	return strings.Join([]string{c.Op.String(), c.Table.Name, image(c.Before), "->", image(c.After)}, " ")
}

// fixture is an Ingest of message, of which the catalog knows the columns, room, which notifies, and typing, which is no table.
type fixture struct {
	*ingest.Ingest
	recorder
	live bool
	log  *zap.Logger
	logs *observer.ObservedLogs
}

func newFixture(t testing.TB) *fixture {
	t.Helper()
	core, logs := observer.New(zap.InfoLevel)
	f := &fixture{live: true, log: zap.New(core), logs: logs}
	f.Ingest = ingest.New(ingest.Options{
		Tables: []ingest.Table{
			{OID: 20000, Schema: "public", Name: "message", Source: ingest.Hook, Columns: columns()},
			{OID: 20001, Schema: "public", Name: "room", Source: ingest.Notify, Columns: columns()},
			{OID: 1, Schema: "public", Name: "typing", Source: ingest.Hook, Columns: []ingest.Column{
				{Column: cdc.Column{Name: "room"}, FromJSON: anyText, Scope: true, AsSent: true},
				{Column: cdc.Column{Name: "secret"}, Filter: true},
			}},
		},
		Captured: func(schema, table string) bool { return schema == "public" && table == "conversation" },
		Sink:     &f.recorder, Live: func() bool { return f.live }, Log: f.log,
	})
	return f
}

func columns() []ingest.Column {
	raw := func(dst, text []byte) []byte { return append(dst, text...) }
	return []ingest.Column{
		{Column: cdc.Column{Name: "id", Key: true, JSON: raw}, FromJSON: number},
		{Column: cdc.Column{Name: "room_id", JSON: raw}, FromJSON: number, Scope: true},
		{Column: cdc.Column{Name: "private"}, FromJSON: anyText, Filter: true},
		{Column: cdc.Column{Name: "body"}, FromJSON: func(text string, quoted bool) (string, bool) { return text, quoted }},
		{Column: cdc.Column{Name: "tags"}},
	}
}

func number(text string, _ bool) (string, bool) {
	n, err := strconv.Atoi(text)
	return strconv.Itoa(n), err == nil
}

func anyText(text string, _ bool) (string, bool) { return text, true }

// emit parses a payload and emits its events.
func (f *fixture) emit(t testing.TB, payload string) error {
	t.Helper()
	events, err := ingest.Parse([]byte(payload))
	if err != nil {
		return err
	}
	_, err = f.Emit(t.Context(), events...)
	return err
}

func kindOf(err error) ingest.Kind {
	if known := (*ingest.Error)(nil); errors.As(err, &known) {
		return known.Kind
	}
	return ""
}
