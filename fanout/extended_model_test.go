package fanout_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// follower is a client of the extended protocol with one subscription. At every cursor, what it holds has to be the table
// as it was at that commit. When it comes back it resumes from the last cursor that was about its subscription.
type follower struct {
	site   *site
	client *fanout.Client
	scope  protocol.Scope
	rows   map[string]string
	holds  bool   // rows are those of the subscription
	cursor string // of the subscription
	frames []string
	broken string
	resets []string
	// resumed and snapshots count how subscriptions began.
	resumed, snapshots int
}

func (s *site) follow(conversation string) *follower {
	f := &follower{site: s, rows: map[string]string{}}
	f.scope = protocol.Scope{Col: "conversation_id", Value: []byte(conversation), Raw: fmt.Appendf(nil, `{"col":"conversation_id","value":%s}`, conversation)}
	f.connect()
	return f
}

// connect begins a new connection, and resumes where it can.
func (f *follower) connect() {
	if f.client != nil {
		f.client.Detach()
	}
	f.client = f.site.hub.Attach(nil, fanout.Extended)
	var err error
	if f.holds {
		err = f.client.SubscribeSince("message", f.scope, f.cursor)
	} else {
		err = f.client.Subscribe("message", f.scope)
	}
	if err != nil {
		f.site.t.Fatal(err)
	}
}

func (f *follower) take() {
	for _, frame := range queued(f.client) {
		f.apply(frame)
	}
}

// queued returns what waits for a client by now.
func queued(c *fanout.Client) (frames [][]byte) {
	ended, cancel := context.WithCancel(context.Background())
	cancel()
	for {
		got, err := next(ended, c)
		if err != nil {
			return frames
		}
		frames = append(frames, got...)
	}
}

func (f *follower) apply(frame []byte) {
	var got struct {
		Type, Cursor, Reason, Code string
		Resumed, Partial           bool
		Rows                       []map[string]any
		Changes                    []struct{ Events []event }
	}
	if err := json.Unmarshal(frame, &got); err != nil {
		f.site.t.Fatalf("frame %s: %v", frame, err)
	}
	f.frames = append(f.frames, string(frame))
	switch got.Type {
	case "welcome":
		return
	case "heartbeat":
		if f.holds {
			f.cursor = got.Cursor
			f.check()
		}
		return
	case "reset":
		f.holds = false
		f.resets = append(f.resets, got.Reason)
		return
	case "subscribed":
		if f.holds != got.Resumed && got.Resumed {
			f.broken = "resumed what was not held"
		}
		if f.holds = got.Resumed; got.Resumed {
			f.resumed++
		}
		return
	case "snapshot":
		clear(f.rows)
		f.holds = true
		f.snapshots++
		for _, row := range got.Rows {
			f.rows[fmt.Sprint(row["id"])] = fmt.Sprint(row["body"])
		}
	case "transaction":
		for _, c := range got.Changes {
			for _, e := range c.Events {
				f.event(e)
			}
		}
	case "error": // the stream did not come as far as the snapshot in time
		if f.holds = false; got.Code != string(protocol.CodeSnapshotUnavailable) {
			f.broken = string(frame)
		}
		return
	default:
		f.broken = "a frame of type " + got.Type
		return
	}
	f.cursor = got.Cursor
	if !got.Partial {
		f.check()
	}
}

func (f *follower) event(e event) {
	id := fmt.Sprint(e.PrimaryKey["id"])
	_, known := f.rows[id]
	switch {
	case known != (e.Type != "afterInsert"):
		f.broken = fmt.Sprintf("%s of row %s, known %v, after %q", e.Type, id, known, f.frames)
	case e.Type == "afterDelete":
		delete(f.rows, id)
	default:
		f.rows[id] = fmt.Sprint(e.Row["body"])
	}
}

// check compares with the table as it was at the cursor.
func (f *follower) check() {
	c, err := protocol.ParseCursor(f.cursor)
	if err != nil {
		f.site.t.Fatal(err)
	}
	want := f.site.viewAt(cdc.LSN(c.Position), string(f.scope.Value))
	if !maps.Equal(f.rows, want) && f.broken == "" {
		f.broken = fmt.Sprintf("at %s the view is %v, the table was %v, after %q", cdc.LSN(c.Position), f.rows, want, f.frames)
	}
}

// viewAt is a conversation as all leave it that commits before a position.
func (p *primary) viewAt(position cdc.LSN, conversation string) map[string]string {
	rows, view := map[string]cdc.Row{}, map[string]string{}
	for _, c := range p.log {
		if c.tx.Commit < position {
			c.apply(rows)
		}
	}
	for key, row := range rows {
		if string(row.Value(1).Text) == conversation {
			view[key] = string(row.Value(2).Text)
		}
	}
	return view
}

// restart puts a new hub in the place of the old one. The stream begins again at an earlier transaction.
func (s *site) restart(t testing.TB, from int) {
	s.stop()
	s.open(t, s.channel)
	s.streamed = from
	s.hub.Start(cdc.Start{Epoch: s.epoch, From: s.positionOf(from)})
}

// positionOf is where the n-th transaction commits.
func (p *primary) positionOf(n int) cdc.LSN {
	if n < len(p.log) {
		return p.log[n].tx.Commit
	}
	return p.end
}

// Any interleaving of commits, their becoming visible, the stream, subscriptions, connections that are lost and gateways
// that are started anew: at each cursor a client holds just what the database held there.
func TestExtendedViewsAreExactAtEveryCommit(t *testing.T) {
	resumed, resets := 0, map[string]int{}
	complete := func() bool {
		return resumed > 0 && resets["log_expired"] > 0 && resets["truncate"] > 0 && resets["restart"] > 0
	}
	check := func(r *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) step {
			return step{kind: rapid.IntRange(0, 16).Draw(r, "kind"), seed: rapid.Uint64Range(0, 1000).Draw(r, "seed")}
		}), 20, 150).Draw(r, "steps")
		var difference string
		synctest.Test(t, func(t *testing.T) { difference = interleaveExtended(t, steps, &resumed, resets) })
		if difference != "" {
			r.Fatal(difference)
		}
	}
	for range 20 { // some ways to come back are seldom taken
		if rapid.Check(t, check); complete() {
			break
		}
	}
	t.Logf("%d resumed, resets %v", resumed, resets)
	if !complete() {
		t.Errorf("some ways to come back were never tried: %d resumed, resets %v", resumed, resets)
	}
}

func interleaveExtended(t *testing.T, steps []step, resumed *int, resets map[string]int) string {
	s := newSite(t)
	defer func() { s.stop() }()
	s.epoch = "1"
	s.hub.Start(cdc.Start{Epoch: s.epoch, From: s.end})
	w := writer{site: s, table: map[string]cdc.Row{}, last: map[string]*commit{}}
	var followers []*follower
	for n, step := range steps {
		pick := rand.New(rand.NewPCG(step.seed, 0)).IntN
		switch step.kind {
		case 0, 1, 2, 3:
			w.write(pick, n)
		case 4, 5:
			if hidden := s.hidden(); len(hidden) > 0 {
				s.show(hidden[pick(len(hidden))])
			}
		case 6, 7, 8:
			if s.streamed < len(s.log) {
				s.stream(s.hub)
			} else {
				s.hub.Passed(s.end)
			}
		case 9:
			followers = append(followers, s.follow(fmt.Sprint(7+pick(2))))
			if pick(2) == 0 {
				synctest.Wait()
			}
		case 10:
			time.Sleep(time.Duration(pick(3)) * time.Second)
		case 11, 12: // a connection is lost; what was queued may have come or not
			if len(followers) > 0 {
				f := followers[pick(len(followers))]
				if pick(2) == 0 {
					f.take()
				}
				f.connect()
			}
		case 13: // another process goes on, with as much of the log as the slot has kept
			kept := 0
			for kept < s.streamed && s.log[kept].tx.Commit < s.hub.Needed() {
				kept++
			}
			from, was := pick(kept+1), s.streamed
			s.restart(t, from)
			for s.streamed < was {
				s.stream(s.hub)
			}
			for _, f := range followers {
				f.client = nil
				f.connect()
			}
		case 14:
			if len(s.hidden()) == 0 && pick(2) == 0 {
				s.show(s.commit(change{}))
				clear(w.table)
			} else {
				s.hub.Start(cdc.Start{Epoch: s.epoch, From: s.positionOf(s.streamed)})
			}
		case 15: // the slot was lost, and with it what was not streamed
			if pick(2) == 0 {
				for _, c := range s.log {
					s.show(c)
				}
				s.streamed = len(s.log)
				s.epoch += "+"
				s.hub.Reset(cdc.ResetSlotLost)
				s.hub.Start(cdc.Start{Epoch: s.epoch, From: s.end})
			}
		case 16: // the whole site is idle for a while
			for range 5 {
				s.hub.Passed(s.positionOf(s.streamed))
				time.Sleep(time.Second)
			}
		}
		if pick(3) == 0 {
			synctest.Wait()
			for _, f := range followers {
				f.take()
			}
		}
	}
	for _, c := range s.log {
		s.show(c)
	}
	for s.streamed < len(s.log) {
		s.stream(s.hub)
	}
	s.hub.Passed(s.end)
	time.Sleep(time.Minute)
	for _, f := range followers {
		if f.take(); !f.holds {
			f.connect()
			time.Sleep(time.Second)
			f.take()
		}
		if want := s.viewAt(s.end, string(f.scope.Value)); f.broken == "" && (!f.holds || !maps.Equal(f.rows, want)) {
			f.broken = fmt.Sprintf("at the end the view is %v, the table %v, holds %t, after %q", f.rows, want, f.holds, f.frames)
		}
		if f.broken != "" {
			return f.broken
		}
		*resumed += f.resumed
		for _, reason := range f.resets {
			resets[reason]++
		}
	}
	return ""
}

func (p *primary) hidden() []*commit {
	return slices.DeleteFunc(slices.Clone(p.log), func(c *commit) bool { return c.visible })
}

// writer writes transactions that do not conflict with those that are not visible yet.
type writer struct {
	site  *site
	table map[string]cdc.Row
	last  map[string]*commit // of each row: until it is visible it holds the row's lock
}

// write writes a transaction of up to three rows.
func (w *writer) write(pick func(int) int, n int) {
	var changes []change
	var wrote []string
	for range 1 + pick(3) {
		key := fmt.Sprint(1 + pick(8))
		if c := w.last[key]; c != nil && !c.visible || slices.Contains(wrote, key) {
			continue
		}
		before := w.table[key]
		var after cdc.Row
		delete(w.table, key)
		if before == nil || pick(4) > 0 {
			after = message(key, fmt.Sprint(7+pick(2)), fmt.Sprint("body", n))
			w.table[key] = after
		}
		changes, wrote = append(changes, change{before, after}), append(wrote, key)
	}
	if len(changes) > 0 {
		c := w.site.commit(changes...)
		for _, key := range wrote {
			w.last[key] = c
		}
	}
}
