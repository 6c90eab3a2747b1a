package fanout_test

import (
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// Clients name as many scopes as they like, one after the other: nothing of them stays.
func TestW08ScopesWithoutEndLeaveNothing(t *testing.T) {
	hub, err := fanout.NewHub(fanout.Options{QueueBytes: 1 << 20, Log: zap.NewNop(), Channels: []fanout.Channel{conversations()},
		Resume: fanout.ResumeOptions{Window: time.Hour, MaxBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	hub.Start(cdc.Start{Epoch: "1", From: 100})
	since := protocol.Cursor{Epoch: protocol.NewEpochID("1"), Position: 100}.String()
	base, extended := hub.Attach(nil), hub.Attach(nil, fanout.Extended)
	round := func(from, n int) {
		for i := from; i < from+n; i++ {
			scope := protocol.Scope{Col: "conversation_id", Value: fmt.Append(nil, i), Raw: fmt.Appendf(nil, `{"col":"conversation_id","value":%d}`, i)}
			for _, err := range []error{
				base.Subscribe("message", scope), base.Unsubscribe("message", scope),
				extended.SubscribeSince("message", scope, since), extended.Unsubscribe("message", scope),
			} {
				if err != nil {
					t.Fatal(err)
				}
			}
			if i%100 == 0 {
				taken(t, base)
				taken(t, extended)
			}
		}
	}
	heap := func() int {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int(m.HeapAlloc)
	}
	round(0, 1000)
	before := heap()
	const many = 50_000
	round(1000, many)
	if grown := heap() - before; grown > many*4 {
		t.Errorf("the heap has grown by %d bytes over %d scopes", grown, many)
	}
	if n := hub.Stats().Subscriptions; n != 0 {
		t.Errorf("%d subscriptions are left", n)
	}
}

// A scope is repeated in every frame and kept as it was written: it may not be written at any length.
func TestW09AScopeIsNotWrittenAtAnyLength(t *testing.T) {
	channel := fanout.Channel{Name: "note", Schema: "public", Table: "note", Scopes: []fanout.Scope{{Column: "folder", Type: fanout.Text, TypeOID: 25}}}
	f := newFeed(t, 1<<20, channel, conversations())
	client := f.hub.Attach(nil)
	escaped := func(n int) string { return `{"col":"folder","value":"` + strings.Repeat(`\u00e9`, n) + `"}` }
	subscribe(t, client, "note", escaped(512)) // 1024 bytes
	for name, scope := range map[string]string{
		"a column in escapes": `{"col":"` + strings.Repeat(`\u0066`, 800) + `","value":"a"}`,
		"a value in escapes":  `{"col":"folder","value":"` + strings.Repeat(`\u0061`, 1024) + `"}`,
		"a value too long":    escaped(513),
	} {
		if err := client.Subscribe("note", scopeOf(t, scope)); err == nil {
			t.Errorf("%s of %d bytes is accepted", name, len(scope))
		}
	}
	digits := `{"col":"conversation_id","value":"` + strings.Repeat(`\u0030`, 1000) + `42"}`
	if err := client.Subscribe("message", scopeOf(t, digits)); err == nil {
		t.Errorf("a number of %d bytes is accepted", len(digits))
	}
	if n := f.hub.Stats().Subscriptions; n != 1 {
		t.Errorf("%d subscriptions", n)
	}
}

// onlyForAuthors lets a client see the rows whose author it is.
type onlyForAuthors struct{}

func (onlyForAuthors) PerClient() bool            { return true }
func (onlyForAuthors) NewVerdict() fanout.Verdict { return &authorVerdict{} }

type authorVerdict struct{ author string }

func (v *authorVerdict) Judge(_ *cdc.Table, row cdc.Row) { v.author = string(row.Value(2).Text) }
func (v *authorVerdict) Shared() (allowed, shared bool)  { return false, false }
func (v *authorVerdict) Allows(viewer any) bool          { return viewer == v.author }
func (v *authorVerdict) Failure() error                  { return nil }

// Of rows that a client may not see it hears nothing, neither that they were there nor that they are gone: not live, and not
// by resuming from however far back. Nor does it ever get a column that is excluded, or an image from before or after the
// time in which it may see the row.
func TestW16NothingIsSaidOfRowsThatAreHidden(t *testing.T) {
	channel := conversations()
	channel.Filter, channel.FilterColumns = onlyForAuthors{}, []fanout.InputColumn{{Column: "author_id", TypeOID: int8OID}}
	hub, err := fanout.NewHub(fanout.Options{QueueBytes: 1 << 20, Log: zap.NewNop(), Channels: []fanout.Channel{channel},
		Resume: fanout.ResumeOptions{Window: time.Hour, MaxBytes: 1 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	hub.Start(cdc.Start{Epoch: "1", From: 50})
	f := &feed{t: t, hub: hub}
	table := messages()
	live := hub.Attach("7", fanout.Extended)
	subscribe(t, live, "message", in42)
	f.deliver(inserted(table, row(1, 42, 8, "for 8 alone", "canary")), inserted(table, row(2, 42, 7, "for 7", "canary")))
	f.deliver(updated(table, row(1, 42, 8, "for 8 alone", "canary"), row(1, 42, 8, "for 8 alone, edited", "canary")))
	f.deliver(updated(table, row(2, 42, 7, "for 7", "canary"), row(2, 42, 8, "for 8 alone now", "canary"))) // leaves 7's view
	f.deliver(updated(table, row(2, 42, 8, "for 8 alone now", "canary"), row(2, 42, 8, "for 8 alone still", "canary")))
	f.deliver(updated(table, row(1, 42, 8, "for 8 alone, edited", "canary"), row(1, 42, 7, "for 7 now", "canary2"))) // enters it
	f.deliver(updated(table, row(1, 42, 7, "for 7 now", "canary2"), row(1, 42, 7, "for 7 edited", "canary3")))
	f.deliver(deleted(table, row(2, 42, 8, "for 8 alone still", "canary")))
	f.deliver(updated(table, row(1, 42, 7, "for 7 edited", "canary3"), row(1, 43, 7, "for 7 elsewhere", "canary")))
	transactions := func(frames []string) (all []string) {
		for _, frame := range frames {
			if strings.Contains(frame, "for 8 alone") || strings.Contains(frame, "canary") || strings.Contains(frame, "elsewhere") || strings.Contains(frame, "secret") {
				t.Errorf("it gets %s", frame)
			}
			if strings.HasPrefix(frame, `{"type":"transaction"`) {
				all = append(all, frame)
			}
		}
		return all
	}
	frames, _ := taken(t, live)
	want := transactions(frames)
	if len(want) != 5 {
		t.Errorf("%d transactions concern it, want 5: %q", len(want), want)
	}
	for position := range 8 {
		back := hub.Attach("7", fanout.Extended)
		since := protocol.Cursor{Epoch: protocol.NewEpochID("1"), Position: uint64(50 + 100*position)}.String()
		if err := back.SubscribeSince("message", scopeOf(t, in42), since); err != nil {
			t.Fatal(err)
		}
		frames, _ := taken(t, back)
		if !strings.Contains(frames[1], `"resumed":true`) {
			t.Errorf("from %s: %s", since, frames[1])
		}
		got := transactions(frames)
		if whole := strings.Join(want, "\n"); !strings.HasSuffix(whole, strings.Join(got, "\n")) || position == 0 && len(got) != len(want) {
			t.Errorf("from position %d it gets %q, live it was %q", 50+100*position, got, want)
		}
	}
}

// A cursor that is none, or of nowhere, begins the view anew, and costs no more than to begin it.
func TestW09CursorsOfEveryKind(t *testing.T) {
	inBubble(t, func(t *testing.T, s *site) {
		s.hub.Start(cdc.Start{Epoch: "1", From: s.end})
		cursor := func(epoch string, position uint64, index uint32) string {
			return protocol.Cursor{Epoch: protocol.NewEpochID(epoch), Position: position, Index: index}.String()
		}
		good := cursor("1", uint64(s.end), 0)
		client := s.hub.Attach(nil, fanout.Extended)
		for since, reason := range map[string]string{
			"nonsense": "restart", "'; drop table message; --": "restart", "\x00": "restart", strings.Repeat("A", 60_000): "restart",
			good + "A": "restart", good[:len(good)-1]: "restart", good + "\n": "restart",
			cursor("2", uint64(s.end), 0):       "restart",     // another epoch
			cursor("1", uint64(s.end)+1, 0):     "restart",     // the future
			cursor("1", ^uint64(0), ^uint32(0)): "restart",     // the end of time
			cursor("1", uint64(s.end)-1, 0):     "log_expired", // before the log
			cursor("1", 0, 0):                   "log_expired",
			strconv.Quote(good):                 "restart",
		} {
			reads, release := s.reads, make(chan struct{})
			s.mu.Lock()
			s.release = release // no snapshot is read faster than the client asks
			s.mu.Unlock()
			for range 50 { // again and again, without waiting
				if err := client.SubscribeSince("message", conversation("7"), since); err != nil {
					t.Fatal(err)
				}
			}
			close(release)
			time.Sleep(time.Second)
			var got []string
			for _, frame := range queued(client) {
				if strings.HasPrefix(string(frame), `{"type":"reset"`) {
					got = append(got, string(frame))
				}
			}
			if len(got) != 50 || !strings.Contains(got[0], `"reason":"`+reason+`"`) {
				t.Errorf("since %.80q: %d resets, %.200q", since, len(got), got)
			}
			if s.reads-reads > 8 {
				t.Errorf("since %.80q: %d snapshots were read for one view", since, s.reads-reads)
			}
		}
	})
}
