package fanout_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// feed stands in for the pipeline: it makes transactions by hand and delivers them to a hub.
type feed struct {
	t         testing.TB
	hub       *fanout.Hub
	assembler cdc.Assembler
	next      uint32
}

func newFeed(t testing.TB, queueBytes int, channels ...fanout.Channel) *feed {
	t.Helper()
	hub, err := fanout.NewHub(fanout.Options{Channels: channels, QueueBytes: queueBytes, Log: zap.NewNop()})
	if err != nil {
		t.Fatal(err)
	}
	return &feed{t: t, hub: hub}
}

func (f *feed) transaction(changes ...cdc.Change) *cdc.Transaction {
	f.t.Helper()
	f.next++
	at := cdc.LSN(f.next) * 100
	if err := f.assembler.Begin(f.next, at, time.Unix(0, 0)); err != nil {
		f.t.Fatal(err)
	}
	for _, c := range changes {
		if err := f.assembler.Add(c.Op, c.Table, c.Before, c.After); err != nil {
			f.t.Fatal(err)
		}
	}
	tx, err := f.assembler.Commit(at, at+8)
	if err != nil {
		f.t.Fatal(err)
	}
	return tx
}

func (f *feed) deliver(changes ...cdc.Change) {
	f.t.Helper()
	f.hub.Deliver(f.transaction(changes...))
}

// absent stands for a value that the source did not say.
type absent struct{}

// row makes a row of texts, nil for NULL, and absent.
func row(values ...any) cdc.Row {
	var all []cdc.Value
	for _, v := range values {
		switch v := v.(type) {
		case nil:
			all = append(all, cdc.Value{State: cdc.Null})
		case absent:
			all = append(all, cdc.Value{State: cdc.Absent})
		default:
			all = append(all, cdc.Value{State: cdc.Text, Text: fmt.Append(nil, v)})
		}
	}
	packed, err := cdc.AppendRow(nil, all)
	if err != nil {
		panic(err)
	}
	return packed
}

func inserted(t *cdc.Table, after cdc.Row) cdc.Change {
	return cdc.Change{Op: cdc.Insert, Table: t, After: after}
}

func updated(t *cdc.Table, before, after cdc.Row) cdc.Change {
	return cdc.Change{Op: cdc.Update, Table: t, Before: before, After: after}
}

func deleted(t *cdc.Table, before cdc.Row) cdc.Change {
	return cdc.Change{Op: cdc.Delete, Table: t, Before: before}
}

// messages is a table of (id, conversation_id, author_id, body, secret) whose replica identity is FULL.
func messages() *cdc.Table {
	number := func(dst, text []byte) []byte { return append(dst, text...) }
	return &cdc.Table{OID: 7, Schema: "public", Name: "message", Columns: []cdc.Column{
		{Name: "id", TypeOID: int8OID, Key: true, Identity: true, JSON: number},
		{Name: "conversation_id", TypeOID: int8OID, Identity: true, JSON: number},
		{Name: "author_id", TypeOID: int8OID, Identity: true, JSON: number},
		{Name: "body", TypeOID: 25, Identity: true},
		{Name: "secret", TypeOID: 25, Identity: true},
	}}
}

// keyed is messages with the default replica identity, the primary key.
func keyed() *cdc.Table {
	t := messages()
	for i := range t.Columns {
		t.Columns[i].Identity = t.Columns[i].Key
	}
	return t
}

// conversations is messages as a channel, scoped by conversation and by author, without the secret.
func conversations() fanout.Channel {
	return fanout.Channel{Name: "message", Schema: "public", Table: "message", Exclude: []string{"secret"}, Scopes: []fanout.Scope{
		{Column: "conversation_id", Type: fanout.Int8, TypeOID: int8OID},
		{Column: "author_id", Type: fanout.Int8, TypeOID: int8OID},
	}}
}

// reporter is what the test helpers need of a *testing.T or a *rapid.T.
type reporter interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// scopeOf reads a scope as a client sends it.
func scopeOf(t reporter, raw string) protocol.Scope {
	t.Helper()
	m, err := protocol.Parse([]byte(`{"type":"subscribe","channel":"message","scope":` + raw + `}`))
	if err != nil {
		t.Fatalf("scope %s: %v", raw, err)
	}
	return m.Scope
}

func subscribe(t reporter, c *fanout.Client, channel, scope string) {
	t.Helper()
	if err := c.Subscribe(channel, scopeOf(t, scope)); err != nil {
		t.Fatal(err)
	}
}

// taken returns what waits for a client, and the code with which it has to go, 0 where it may stay.
func taken(t reporter, c *fanout.Client) (frames []string, code protocol.Close) {
	t.Helper()
	ended, cancel := context.WithCancel(context.Background())
	cancel() // next gives out what there is, and does not wait
	for {
		got, err := next(ended, c)
		closed := (*fanout.Closed)(nil)
		switch {
		case errors.As(err, &closed):
			return frames, closed.Code
		case errors.Is(err, context.Canceled):
			return frames, 0
		case err != nil:
			t.Fatal(err)
		}
		for _, f := range got {
			frames = append(frames, string(f))
		}
	}
}
