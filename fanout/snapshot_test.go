package fanout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"pgregory.net/rapid"

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
	t      testing.TB
	hub    *fanout.Hub
	cancel context.CancelFunc
	ended  chan struct{}
}

func newSite(t testing.TB, adjust ...func(*fanout.Channel)) *site {
	s := &site{primary: newPrimary(), t: t, ended: make(chan struct{})}
	channel := fanout.Channel{
		Name: "message", Schema: "public", Table: "message", Snapshot: &fanout.SnapshotOptions{Limit: 100},
		Scopes: []fanout.Scope{{Column: "conversation_id", Type: fanout.Int8, TypeOID: int8OID}},
	}
	for _, f := range adjust {
		f(&channel)
	}
	var err error
	s.hub, err = fanout.NewHub(fanout.Options{
		QueueBytes: 1 << 20, Snapshots: s.primary, Log: zap.NewNop(), Channels: []fanout.Channel{channel},
	})
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, s.cancel = context.WithCancel(t.Context())
	go func() {
		defer close(s.ended)
		s.hub.Run(ctx)
	}()
	return s
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
	v := &viewer{t: s.t, client: s.hub.Attach(), rows: map[string]string{}}
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
		frames, err := v.client.Next(ctx, nil)
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

func TestSnapshotComesBetweenSubscribedAndChanges(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.stream(s.hub)
		v := s.view("7")
		v.expect("subscribed", "snapshot 1")
		s.show(s.commit(change{after: message("2", "7", "b")}, change{before: message("1", "7", "a")}))
		s.stream(s.hub)
		v.expect("subscribed", "snapshot 1", "afterInsert 2", "afterDelete 1")
	})
}

func TestP20WhatTheSnapshotShowsIsNotDeliveredAgain(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.show(s.commit(change{after: message("1", "7", "a")}))
		v := s.view("7")
		v.expect("subscribed", "snapshot 1")
		s.stream(s.hub)
		s.show(s.commit(change{after: message("2", "7", "b")}))
		s.stream(s.hub)
		v.expect("subscribed", "snapshot 1", "afterInsert 2")
	})
}

func TestP21ReceivedBeforeVisible(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		waits := s.commit(change{after: message("1", "7", "a")}) // for a synchronous standby, say
		s.stream(s.hub)
		time.Sleep(time.Minute) // many looks at what is visible
		v := s.view("7")
		v.expect("subscribed", "snapshot ", "afterInsert 1")
		s.show(waits)
		time.Sleep(time.Minute)
		s.view("7").expect("subscribed", "snapshot 1")
	})
}

func TestP22IdentifiersAreNotInCommitOrder(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		late := s.commit(change{after: message("1", "7", "a")})
		s.show(s.commit(change{after: message("2", "7", "b")}))
		s.stream(s.hub)
		v := s.view("7")
		v.expect("subscribed", "snapshot 2", "afterInsert 1")
		s.show(late)
		s.stream(s.hub)
		v.expect("subscribed", "snapshot 2", "afterInsert 1")
	})
}

// A look at what is visible may be newer than a snapshot that is still being read: what the look has shown is then still
// missing from that snapshot.
func TestALookDoesNotForgetWhatAnOlderSnapshotNeeds(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.release = make(chan struct{})
		v := s.view("7")
		synctest.Wait() // the snapshot is taken
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.stream(s.hub)
		time.Sleep(3 * time.Second)
		close(s.release)
		v.expect("subscribed", "snapshot ", "afterInsert 1")
	})
}

func TestIdenticalSnapshotsAreOneQuery(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.release = make(chan struct{})
		var views []*viewer
		for range 50 {
			views = append(views, s.view("7"))
		}
		synctest.Wait()
		close(s.release)
		for _, v := range views {
			v.expect("subscribed", "snapshot 1")
		}
		if s.reads != 1 {
			t.Errorf("%d queries", s.reads)
		}
	})
}

func TestSnapshotUnavailableEndsTheSubscription(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.fail = errors.New("out of reach")
		v := s.view("7")
		v.expect("subscribed", "error snapshot_unavailable")
		if n := v.client.Subscriptions(); n != 0 {
			t.Errorf("%d subscriptions are left", n)
		}
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.stream(s.hub)
		v.expect("subscribed", "error snapshot_unavailable")
		s.fail = nil
		s.view("7").expect("subscribed", "snapshot 1")
	})
}

func TestSnapshotThatTakesTooLongIsUnavailable(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.release = make(chan struct{})
		v := s.view("7")
		time.Sleep(time.Minute)
		v.expect("subscribed", "error snapshot_unavailable")
	})
}

func TestP39TruncateIsAFreshSnapshot(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.stream(s.hub)
		v := s.view("7")
		v.expect("subscribed", "snapshot 1")
		truncate := s.commit(change{}, change{after: message("2", "7", "b")})
		s.stream(s.hub) // before any snapshot shows it
		time.Sleep(time.Second)
		s.show(truncate)
		time.Sleep(time.Second)
		v.expect("subscribed", "snapshot 1", "snapshot 2")
	})
}

func TestResetIsAFreshSnapshot(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		v := s.view("7")
		v.expect("subscribed", "snapshot ")
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.streamed++ // lost
		s.hub.Reset(cdc.ResetSlotLost)
		v.expect("subscribed", "snapshot ", "snapshot 1")
	})
}

func TestResetOverridesASnapshotThatIsBeingRead(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.release = make(chan struct{}, 1)
		v := s.view("7")
		synctest.Wait()
		s.show(s.commit(change{after: message("1", "7", "a")}))
		s.streamed++ // lost
		s.hub.Reset(cdc.ResetSlotLost)
		close(s.release)
		time.Sleep(time.Second)
		v.expect("subscribed", "snapshot 1")
		if s.reads != 2 {
			t.Errorf("%d queries", s.reads)
		}
	})
}

func TestUnsubscribeWhileTheSnapshotIsRead(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.release = make(chan struct{})
		v := s.view("7")
		synctest.Wait()
		if err := v.client.Unsubscribe("message", v.scope); err != nil {
			t.Fatal(err)
		}
		close(s.release)
		v.expect("subscribed")
	})
}

func TestSubscribingAgainGivesAFreshSnapshot(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		v := s.view("7")
		v.expect("subscribed", "snapshot ")
		s.show(s.commit(change{after: message("1", "7", "a")}))
		if err := v.client.Subscribe("message", v.scope); err != nil {
			t.Fatal(err)
		}
		s.stream(s.hub)
		v.expect("subscribed", "snapshot ", "subscribed", "snapshot 1")
	})
}

// Any interleaving of commits, their becoming visible, the stream and subscriptions ends with every view equal to the
// table, and no strict client sees a row twice or misses one.
func TestViewsAreExactUnderAnyInterleaving(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) step {
			return step{kind: rapid.IntRange(0, 9).Draw(r, "kind"), seed: rapid.Uint64Range(0, 1000).Draw(r, "seed")}
		}), 5, 60).Draw(r, "steps")
		var difference string
		synctest.Test(t, func(t *testing.T) { difference = interleave(t, steps) })
		if difference != "" {
			r.Fatal(difference)
		}
	})
}

// step is one thing that happens, with the seed of its choices.
type step struct {
	kind int
	seed uint64
}

// interleave lets the steps happen and returns how a view differs from the table at the end.
func interleave(t *testing.T, steps []step) string {
	s := newSite(t)
	defer s.stop()
	table := map[string]cdc.Row{}
	writer := map[string]*commit{} // of each row, the last: until it is visible it holds the row's lock
	var views []*viewer
	for n, step := range steps {
		pick := rand.New(rand.NewPCG(step.seed, 0)).IntN
		conversation := fmt.Sprint(7 + pick(2))
		switch step.kind {
		case 0, 1, 2, 3: // a transaction of up to three rows
			var changes []change
			var wrote []string
			for range 1 + pick(3) {
				key := fmt.Sprint(1 + pick(8))
				if c := writer[key]; c != nil && !c.visible || slices.Contains(wrote, key) {
					continue
				}
				before := table[key]
				var after cdc.Row
				delete(table, key)
				if before == nil || pick(4) > 0 {
					after = message(key, fmt.Sprint(7+pick(2)), fmt.Sprint("body", n))
					table[key] = after
				}
				changes, wrote = append(changes, change{before, after}), append(wrote, key)
			}
			if len(changes) > 0 {
				c := s.commit(changes...)
				for _, key := range wrote {
					writer[key] = c
				}
			}
		case 4, 5:
			if hidden := slices.DeleteFunc(slices.Clone(s.log), func(c *commit) bool { return c.visible }); len(hidden) > 0 {
				s.show(hidden[pick(len(hidden))])
			}
		case 6, 7:
			if s.streamed < len(s.log) {
				s.stream(s.hub)
			}
		case 8:
			views = append(views, s.view(conversation))
			if pick(2) == 0 {
				synctest.Wait()
			}
		case 9:
			time.Sleep(time.Duration(pick(3)) * time.Second)
		}
	}
	for _, c := range s.log {
		s.show(c)
	}
	for s.streamed < len(s.log) {
		s.stream(s.hub)
	}
	time.Sleep(time.Minute)
	for _, v := range views {
		v.take()
		want := map[string]string{}
		for key, row := range table {
			if string(row.Value(1).Text) == string(v.scope.Value) {
				want[key] = string(row.Value(2).Text)
			}
		}
		if v.broken != "" {
			return v.broken
		}
		if !maps.Equal(v.rows, want) {
			return fmt.Sprintf("conversation %s: view %v, table %v, after %q", v.scope.Value, v.rows, want, v.frames)
		}
	}
	return ""
}
