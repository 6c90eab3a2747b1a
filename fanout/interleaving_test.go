package fanout_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// restless is a client of either protocol that takes up, gives up and resumes its subscriptions as it likes, without
// waiting for what it asked for before.
type restless struct {
	site     *site
	extended bool
	client   *fanout.Client
	views    map[string]*restlessView // by conversation
	asked    map[string]int           // positions waited for, and how often
	frames   []string
	broken   string
}

type restlessView struct {
	had     bool // the client has asked for it, and not given it up
	begun   bool
	holds   bool
	rows    map[string]string
	cursor  string
	resumes []map[string]string // the rows at each since that has not been answered
}

func (s *site) restless(extended bool) *restless {
	var abilities []fanout.Ability
	if extended {
		abilities = append(abilities, fanout.Extended)
	}
	r := &restless{site: s, extended: extended, client: s.hub.Attach(nil, abilities...), asked: map[string]int{}}
	r.views = map[string]*restlessView{"7": {rows: map[string]string{}}, "8": {rows: map[string]string{}}}
	return r
}

func conversation(value string) protocol.Scope {
	return protocol.Scope{Col: "conversation_id", Value: []byte(value), Raw: fmt.Appendf(nil, `{"col":"conversation_id","value":%s}`, value)}
}

// act does something with one of the subscriptions.
func (r *restless) act(pick func(int) int) {
	name := fmt.Sprint(7 + pick(2))
	v := r.views[name]
	err := error(nil)
	switch action := pick(4); {
	case action == 0 && r.extended && v.cursor != "" && (v.holds || !v.begun):
		v.resumes, v.had = append(v.resumes, maps.Clone(v.rows)), true
		err = r.client.SubscribeSince("message", conversation(name), v.cursor)
	case action == 1:
		v.had = false
		if err = r.client.Unsubscribe("message", conversation(name)); !r.extended {
			r.take() // nothing tells where what was under way ends
			v.begun, v.holds = false, false
		}
	case action == 2 && r.extended:
		lsn := r.site.end - cdc.LSN(8*pick(4))
		r.asked[lsn.String()]++
		r.client.WaitFor(lsn, lsn.String())
	default:
		v.resumes, v.had = append(v.resumes, nil), true
		err = r.client.Subscribe("message", conversation(name))
	}
	if err != nil {
		r.site.t.Fatal(err)
	}
}

func (r *restless) take() {
	for _, frame := range queued(r.client) {
		r.frames = append(r.frames, string(frame))
		if r.broken == "" {
			r.apply(frame)
		}
	}
}

func (r *restless) apply(frame []byte) {
	type subscribed struct {
		Scope  struct{ Value json.Number }
		Events []event
	}
	var f struct {
		Type, Cursor, LSN string
		Resumed           bool
		Rows              []map[string]any
		Event             event
		Changes           []subscribed
		subscribed
	}
	if err := json.Unmarshal(frame, &f); err != nil {
		r.site.t.Fatalf("frame %s: %v", frame, err)
	}
	fail := func(format string, args ...any) { r.broken = fmt.Sprintf(format, args...) + ": " + string(frame) }
	v := r.views[f.Scope.Value.String()]
	switch f.Type {
	case "welcome":
	case "waitFor":
		at, err := protocol.ParseCursor(f.Cursor)
		lsn, lsnErr := cdc.ParseLSN(f.LSN)
		if r.asked[f.LSN]--; r.asked[f.LSN] < 0 || err != nil || lsnErr != nil || cdc.LSN(at.Position) < lsn {
			fail("answered what was not asked, or too early")
		}
	case "heartbeat":
		for _, v := range r.views {
			if v.holds {
				v.cursor = f.Cursor
			}
		}
	case "subscribed":
		if len(v.resumes) == 0 {
			fail("confirmed what was not asked for")
			return
		}
		saved := v.resumes[0]
		v.resumes, v.begun, v.holds = v.resumes[1:], true, f.Resumed || v.holds && saved == nil
		if f.Resumed {
			v.rows, v.cursor = saved, f.Cursor
		}
	case "unsubscribed":
		v.begun, v.holds = false, false
	case "reset":
		v.holds = false
	case "snapshot":
		if !v.begun {
			fail("a snapshot of no subscription")
		}
		v.holds, v.cursor = true, f.Cursor
		clear(v.rows)
		for _, row := range f.Rows {
			v.rows[fmt.Sprint(row["id"])] = fmt.Sprint(row["body"])
		}
	case "change", "transaction":
		if f.Type == "change" {
			f.Changes = []subscribed{{Scope: f.Scope, Events: []event{f.Event}}}
		}
		for _, c := range f.Changes {
			v := r.views[c.Scope.Value.String()]
			if !v.holds {
				fail("a change of what is not held")
				return
			}
			for _, e := range c.Events {
				if why := lay(v.rows, e); why != "" {
					fail("%s", why)
				}
			}
			v.cursor = f.Cursor
		}
	default:
		fail("unexpected")
	}
	if f.Cursor != "" && f.Type != "subscribed" {
		r.check(frame)
	}
}

// check compares all views whose cursor has just come with the table as it was there.
func (r *restless) check(frame []byte) {
	for name, v := range r.views {
		if !v.holds || v.cursor == "" || r.broken != "" {
			continue
		}
		at, err := protocol.ParseCursor(v.cursor)
		if err != nil {
			r.site.t.Fatal(err)
		}
		if want := r.site.viewAt(cdc.LSN(at.Position), name); !maps.Equal(v.rows, want) {
			r.broken = fmt.Sprintf("at %s the view of %s is %v, the table was %v: %s", cdc.LSN(at.Position), name, v.rows, want, frame)
		}
	}
}

// lay lays an event over rows, and says what is wrong with it.
func lay(rows map[string]string, e event) (why string) {
	id := fmt.Sprint(e.PrimaryKey["id"])
	_, known := rows[id]
	switch {
	case known != (e.Type != "afterInsert"):
		return fmt.Sprintf("%s of row %s, known %v", e.Type, id, known)
	case e.Type == "afterDelete":
		delete(rows, id)
	default:
		rows[id] = fmt.Sprint(e.Row["body"])
	}
	return ""
}

// Whatever a client asks for and in whatever order, without waiting for the answers: each subscription is confirmed, then
// true at each cursor, and nothing of it comes when it was given up.
func TestW25AnyOrderOfRequests(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) step {
			return step{kind: rapid.IntRange(0, 13).Draw(r, "kind"), seed: rapid.Uint64Range(0, 1000).Draw(r, "seed")}
		}), 20, 150).Draw(r, "steps")
		var difference string
		synctest.Test(t, func(t *testing.T) { difference = interleaveRequests(t, steps) })
		if difference != "" {
			r.Fatal(difference)
		}
	})
}

func interleaveRequests(t *testing.T, steps []step) string {
	s := newSite(t)
	defer s.stop()
	s.epoch = "1"
	s.hub.Start(cdc.Start{Epoch: s.epoch, From: s.end})
	w := writer{site: s, table: map[string]cdc.Row{}, last: map[string]*commit{}}
	clients := []*restless{s.restless(true), s.restless(false)}
	for n, step := range steps {
		pick := rand.New(rand.NewPCG(step.seed, 0)).IntN
		switch step.kind {
		case 0, 1:
			w.write(pick, n)
		case 2:
			if hidden := s.hidden(); len(hidden) > 0 {
				s.show(hidden[pick(len(hidden))])
			}
		case 3, 4:
			if s.streamed < len(s.log) {
				s.stream(s.hub)
			} else {
				s.hub.Passed(s.end)
			}
		case 5:
			s.hub.Start(cdc.Start{Epoch: s.epoch, From: s.positionOf(s.streamed)})
		case 6:
			synctest.Wait()
		case 7:
			clients[pick(2)].take()
		default:
			clients[pick(2)].act(pick)
		}
	}
	for _, c := range s.log {
		s.show(c)
	}
	for s.streamed < len(s.log) {
		s.stream(s.hub)
	}
	s.hub.Passed(s.end)
	time.Sleep(5 * time.Second)
	for _, c := range clients {
		c.take()
		for name, v := range c.views {
			if want := s.viewAt(s.end, name); c.broken == "" && (v.had != v.begun || v.had != v.holds || v.had && !maps.Equal(v.rows, want)) {
				c.broken = fmt.Sprintf("at the end %+v of %s, the table %v", *v, name, want)
			}
		}
		for lsn, n := range c.asked {
			if n != 0 && c.broken == "" {
				c.broken = fmt.Sprintf("%d answers for %s are missing", n, lsn)
			}
		}
		if c.broken != "" {
			return fmt.Sprintf("extended %t: %s, after %q", c.extended, c.broken, c.frames)
		}
	}
	return ""
}
