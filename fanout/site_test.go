package fanout_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// primary stands in for PostgreSQL: rows of one table, transactions that are in the log before they are visible, and
// snapshots that take their time.
type primary struct {
	table     *cdc.Table
	assembler cdc.Assembler

	mu       sync.Mutex
	next     uint32
	log      []*commit // in commit order
	streamed int
	end      cdc.LSN

	reads   int
	fail    error
	release chan struct{} // nil: a snapshot is answered at once
}

type commit struct {
	tx      *cdc.Transaction
	visible bool
	apply   func(rows map[string]cdc.Row)
}

const int8OID = 20

func newPrimary() *primary {
	number := func(dst, text []byte) []byte { return append(dst, text...) }
	return &primary{next: 100, end: 1000, table: &cdc.Table{OID: 1, Schema: "public", Name: "message", Columns: []cdc.Column{
		{Name: "id", TypeOID: int8OID, Key: true, Identity: true, JSON: number},
		{Name: "conversation_id", TypeOID: int8OID, Identity: true, JSON: number},
		{Name: "body", TypeOID: 25, Identity: true},
	}}}
}

func message(id, conversation, body string) cdc.Row {
	row, err := cdc.AppendRow(nil, []cdc.Value{
		{State: cdc.Text, Text: []byte(id)}, {State: cdc.Text, Text: []byte(conversation)}, {State: cdc.Text, Text: []byte(body)},
	})
	if err != nil {
		panic(err)
	}
	return row
}

// change is one row's way from before to after; both nil truncates.
type change struct{ before, after cdc.Row }

// commit writes a transaction to the log. Nobody sees it yet.
func (p *primary) commit(changes ...change) *commit {
	p.mu.Lock()
	defer p.mu.Unlock()
	must(p.assembler.Begin(p.next, p.end, time.Unix(0, 0)))
	for _, c := range changes {
		op := cdc.Update
		switch {
		case c.before == nil && c.after == nil:
			op = cdc.Truncate
		case c.before == nil:
			op = cdc.Insert
		case c.after == nil:
			op = cdc.Delete
		}
		must(p.assembler.Add(op, p.table, c.before, c.after))
	}
	tx, err := p.assembler.Commit(p.end, p.end+8)
	must(err)
	p.next++
	p.end += 8
	made := &commit{tx: tx, apply: func(rows map[string]cdc.Row) {
		for _, c := range changes {
			switch {
			case c.before == nil && c.after == nil:
				clear(rows)
			case c.after == nil:
				delete(rows, string(c.before.Value(0).Text))
			default:
				rows[string(c.after.Value(0).Text)] = c.after
			}
		}
	}}
	p.log = append(p.log, made)
	return made
}

// show makes a transaction visible.
func (p *primary) show(c *commit) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.visible = true
}

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// stream hands the next transaction of the log to the hub.
func (p *primary) stream(h *fanout.Hub) {
	h.Deliver(p.log[p.streamed].tx)
	p.streamed++
}

func (p *primary) visibility() cdc.Visibility {
	v := cdc.Visibility{Min: uint64(p.next), Max: uint64(p.next)}
	for _, c := range p.log {
		if xid := uint64(c.tx.XID); !c.visible {
			v.Min = min(v.Min, xid)
			v.Running = append(v.Running, xid)
		}
	}
	slices.Sort(v.Running)
	return v
}

// rows are those that a snapshot sees. Row locks make conflicting transactions visible in commit order, so replaying
// the visible ones in that order gives the table.
func (p *primary) rows() map[string]cdc.Row {
	rows := map[string]cdc.Row{}
	for _, c := range p.log {
		if c.visible {
			c.apply(rows)
		}
	}
	return rows
}

// Snapshot implements fanout.Snapshots. It is taken when it is asked for, and answered when released.
func (p *primary) Snapshot(ctx context.Context, view fanout.View) (*cdc.Snapshot, error) {
	p.mu.Lock()
	p.reads++
	s := &cdc.Snapshot{Visibility: p.visibility(), Upto: p.end, Table: p.table}
	rows := p.rows()
	for _, id := range slices.Sorted(maps.Keys(rows)) {
		if string(rows[id].Value(1).Text) == view.Value {
			s.Rows = append(s.Rows, rows[id])
		}
	}
	err, release := p.fail, p.release
	p.mu.Unlock()
	if release != nil {
		select {
		case <-release:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return s, err
}

// Visibility implements fanout.Snapshots.
func (p *primary) Visibility(context.Context) (cdc.Visibility, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.visibility(), nil
}

// site is a primary with a hub in front of it, in a synctest bubble.
type site struct {
	*primary
	t       testing.TB
	channel fanout.Channel
	epoch   string
	hub     *fanout.Hub
	cancel  context.CancelFunc
	ended   chan struct{}
}

func newSite(t testing.TB, adjust ...func(*fanout.Channel)) *site {
	s := &site{primary: newPrimary(), t: t}
	channel := fanout.Channel{
		Name: "message", Schema: "public", Table: "message", Snapshot: &fanout.SnapshotOptions{Limit: 100},
		Scopes: []fanout.Scope{{Column: "conversation_id", Type: fanout.Int8, TypeOID: int8OID}},
	}
	for _, f := range adjust {
		f(&channel)
	}
	s.open(t, channel)
	return s
}

// keptFor is for how long the hub keeps what clients may have missed.
const keptFor = 3 * time.Second

// open puts a hub in front of the primary.
func (s *site) open(t testing.TB, channel fanout.Channel) {
	s.channel = channel
	var err error
	s.hub, err = fanout.NewHub(fanout.Options{
		QueueBytes: 1 << 20, Snapshots: s.primary, Log: zap.NewNop(), Channels: []fanout.Channel{channel},
		Resume: fanout.ResumeOptions{Window: keptFor, MaxBytes: 1 << 20},
	})
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(t.Context())
	ended, hub := make(chan struct{}), s.hub
	s.ended = ended
	go func() {
		defer close(ended)
		hub.Run(ctx)
	}()
}

func (s *site) stop() {
	s.cancel()
	<-s.ended
}

// viewer is a client with one subscription that keeps the view and is strict about it.
type viewer struct {
	t      testing.TB
	client *fanout.Client
	scope  protocol.Scope
	frames []string // type, and for events their kind and id
	rows   map[string]string
	broken string // how a frame contradicted those before it
}

func (s *site) view(conversation string) *viewer {
	v := &viewer{t: s.t, client: s.hub.Attach(nil), rows: map[string]string{}}
	v.scope = protocol.Scope{Col: "conversation_id", Value: []byte(conversation), Raw: fmt.Appendf(nil, `{"col":"conversation_id","value":%s}`, conversation)}
	if err := v.client.Subscribe("message", v.scope); err != nil {
		s.t.Fatal(err)
	}
	return v
}

// take reads what is queued by now and applies it.
func (v *viewer) take() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	time.AfterFunc(time.Nanosecond, cancel) // in the bubble's time: when nothing else can go on
	for {
		frames, err := next(ctx, v.client)
		if err != nil {
			return
		}
		for _, frame := range frames {
			v.apply(frame)
		}
	}
}

func (v *viewer) apply(frame []byte) {
	var f struct {
		Type, Code string
		Rows       []map[string]any
		Event      event
		Events     []event
	}
	if err := json.Unmarshal(frame, &f); err != nil {
		v.t.Fatalf("frame %s: %v", frame, err)
	}
	switch {
	case f.Type == "snapshot":
		clear(v.rows)
		for _, row := range f.Rows {
			v.rows[fmt.Sprint(row["id"])] = fmt.Sprint(row["body"])
		}
		v.frames = append(v.frames, "snapshot "+strings.Join(slices.Sorted(maps.Keys(v.rows)), ","))
		return
	case f.Type == "error":
		v.frames = append(v.frames, "error "+f.Code)
		return
	case f.Type != "change":
		v.frames = append(v.frames, f.Type)
		return
	case len(f.Events) > 0:
		v.frames = append(v.frames, fmt.Sprintf("%d events", len(f.Events)))
		for _, e := range f.Events {
			v.event(e)
		}
		return
	}
	v.event(f.Event)
}

type event struct {
	Type       string
	PrimaryKey map[string]any
	Row        map[string]any
}

func (v *viewer) event(e event) {
	id := fmt.Sprint(e.PrimaryKey["id"])
	_, known := v.rows[id]
	switch {
	case known != (e.Type != "afterInsert"):
		v.broken = fmt.Sprintf("%s of row %s, known %v, after %q", e.Type, id, known, v.frames)
	case e.Type == "afterDelete":
		delete(v.rows, id)
	default:
		v.rows[id] = fmt.Sprint(e.Row["body"])
	}
	v.frames = append(v.frames, e.Type+" "+id)
}

func (v *viewer) expect(frames ...string) {
	v.t.Helper()
	synctest.Wait()
	v.take()
	if v.broken != "" {
		v.t.Fatal(v.broken)
	}
	if !slices.Equal(v.frames, frames) {
		v.t.Fatalf("got %q, want %q", v.frames, frames)
	}
}

func inBubble(t *testing.T, test func(*testing.T, *site), adjust ...func(*fanout.Channel)) {
	synctest.Test(t, func(t *testing.T) {
		s := newSite(t, adjust...)
		defer s.stop()
		test(t, s)
	})
}
