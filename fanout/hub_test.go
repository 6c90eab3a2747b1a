package fanout_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

const (
	in42 = `{"col":"conversation_id","value":42}`
	in43 = `{"col":"conversation_id","value":43}`
	by7  = `{"col":"author_id","value":7}`
)

// frame is the frame of a change in the channel message.
func frame(scope, event, key, row, changed string) string {
	if event == "afterUpdate" {
		changed = `,"changed":` + changed
	}
	return `{"type":"change","channel":"message","scope":` + scope + `,"event":{"type":"` + event +
		`","schemaName":"public","tableName":"message","primaryKey":` + key + `,"row":` + row + changed + `}}`
}

func TestDeltas(t *testing.T) {
	full, def := messages(), keyed()
	for _, tc := range []struct {
		name   string
		change cdc.Change
		// What the subscribers of conversation 42, conversation 43 and author 7 get.
		in42, in43, by7 []string
	}{
		{
			name:   "a new row enters the view of each of its scopes",
			change: inserted(full, row(1, 42, 7, "Lunch?", "s")),
			in42:   []string{frame(in42, "afterInsert", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch?"}`, "")},
			by7:    []string{frame(by7, "afterInsert", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch?"}`, "")},
		},
		{
			name:   "an update tells what changed",
			change: updated(full, row(1, 42, 7, "Lunch?", "s"), row(1, 42, 7, "Lunch at one?", "s")),
			in42:   []string{frame(in42, "afterUpdate", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch at one?"}`, `{"body":"Lunch at one?"}`)},
			by7:    []string{frame(by7, "afterUpdate", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch at one?"}`, `{"body":"Lunch at one?"}`)},
		},
		{
			name:   "an update of an excluded column does not show it",
			change: updated(full, row(1, 42, 8, "Lunch?", "s"), row(1, 42, 8, "Lunch?", "t")),
			in42:   []string{frame(in42, "afterUpdate", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":8,"body":"Lunch?"}`, `{}`)},
		},
		{
			name:   "NULL is a value",
			change: updated(full, row(1, 42, 8, "Lunch?", "s"), row(1, 42, nil, nil, "s")),
			in42:   []string{frame(in42, "afterUpdate", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":null,"body":null}`, `{"author_id":null,"body":null}`)},
		},
		{
			name:   "a row that moves leaves with its old image and enters with its new one",
			change: updated(full, row(1, 42, 7, "Lunch?", "s"), row(1, 43, 7, "Dinner?", "s")),
			in42:   []string{frame(in42, "afterDelete", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch?"}`, "")},
			in43:   []string{frame(in43, "afterInsert", `{"id":1}`, `{"id":1,"conversation_id":43,"author_id":7,"body":"Dinner?"}`, "")},
			by7:    []string{frame(by7, "afterUpdate", `{"id":1}`, `{"id":1,"conversation_id":43,"author_id":7,"body":"Dinner?"}`, `{"conversation_id":43,"body":"Dinner?"}`)},
		},
		{
			name:   "a row that moves where nobody looks only leaves",
			change: updated(full, row(1, 42, 8, "Lunch?", "s"), row(1, 99, 8, "Lunch?", "s")),
			in42:   []string{frame(in42, "afterDelete", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":8,"body":"Lunch?"}`, "")},
		},
		{
			name:   "no view has NULL for its value",
			change: inserted(full, row(1, nil, nil, "Lunch?", "s")),
		},
		{
			name:   "out of NULL a row enters",
			change: updated(full, row(1, nil, 8, "Lunch?", "s"), row(1, 43, 8, "Lunch?", "s")),
			in43:   []string{frame(in43, "afterInsert", `{"id":1}`, `{"id":1,"conversation_id":43,"author_id":8,"body":"Lunch?"}`, "")},
		},
		{
			name:   "into NULL a row leaves",
			change: updated(full, row(1, 42, 8, "Lunch?", "s"), row(1, nil, 8, "Lunch?", "s")),
			in42:   []string{frame(in42, "afterDelete", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":8,"body":"Lunch?"}`, "")},
		},
		{
			name:   "another primary key is another row",
			change: updated(full, row(1, 42, 8, "Lunch?", "s"), row(2, 42, 8, "Lunch?", "s")),
			in42: []string{
				frame(in42, "afterDelete", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":8,"body":"Lunch?"}`, ""),
				frame(in42, "afterInsert", `{"id":2}`, `{"id":2,"conversation_id":42,"author_id":8,"body":"Lunch?"}`, ""),
			},
		},
		{
			name:   "a deleted row shows what it was",
			change: deleted(full, row(1, 42, 7, "Lunch?", "s")),
			in42:   []string{frame(in42, "afterDelete", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch?"}`, "")},
			by7:    []string{frame(by7, "afterDelete", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch?"}`, "")},
		},
		{
			name:   "numbers beyond a float keep their digits, strings are escaped",
			change: inserted(full, row("9007199254740993", 43, 8, "\"1\"\n", "s")),
			in43:   []string{frame(in43, "afterInsert", `{"id":9007199254740993}`, `{"id":9007199254740993,"conversation_id":43,"author_id":8,"body":"\"1\"\n"}`, "")},
		},
		{
			name:   "what is not known is left out, and is not null",
			change: updated(full, row(1, 42, 8, absent{}, "s"), row(1, 42, 9, absent{}, "s")),
			in42:   []string{frame(in42, "afterUpdate", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":9}`, `{"author_id":9}`)},
		},
		{
			name:   "a scope value that the update left alone is where it was",
			change: updated(full, row(1, 42, 8, "Lunch?", "s"), row(1, absent{}, 8, "Lunch!", "s")),
			in42:   []string{frame(in42, "afterUpdate", `{"id":1}`, `{"id":1,"author_id":8,"body":"Lunch!"}`, `{"body":"Lunch!"}`)},
		},
		{
			name:   "an insert needs no replica identity",
			change: inserted(def, row(1, 42, 8, "Lunch?", "s")),
			in42:   []string{frame(in42, "afterInsert", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":8,"body":"Lunch?"}`, "")},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFeed(t, 1<<20, conversations())
			clients := map[string]*fanout.Client{}
			for _, scope := range []string{in42, in43, by7} {
				clients[scope] = f.hub.Attach(nil)
				subscribe(t, clients[scope], "message", scope)
				if got, _ := taken(t, clients[scope]); !slices.Equal(got, []string{`{"type":"subscribed","channel":"message","scope":` + scope + `}`}) {
					t.Fatalf("confirmed with %q", got)
				}
			}
			f.deliver(tc.change)
			for scope, want := range map[string][]string{in42: tc.in42, in43: tc.in43, by7: tc.by7} {
				if got, code := taken(t, clients[scope]); !slices.Equal(got, want) || code != 0 {
					t.Errorf("%s got, with close code %d,\n%q\nwant\n%q", scope, code, got, want)
				}
			}
		})
	}
}

// One connection may look at a row through both scopes of a channel and through several channels of its table.
func TestOneClientManyViewsOfARow(t *testing.T) {
	inbox := fanout.Channel{Name: "inbox", Schema: "public", Table: "message", Scopes: conversations().Scopes[:1]}
	f := newFeed(t, 1<<20, conversations(), inbox)
	client := f.hub.Attach(nil)
	subscribe(t, client, "message", in42)
	subscribe(t, client, "message", by7)
	subscribe(t, client, "inbox", in42)
	taken(t, client)
	f.deliver(inserted(messages(), row(1, 42, 7, "Lunch?", "s")))
	got, _ := taken(t, client)
	want := []string{
		frame(in42, "afterInsert", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch?"}`, ""),
		frame(by7, "afterInsert", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch?"}`, ""),
		`{"type":"change","channel":"inbox","scope":` + in42 + `,"event":{"type":"afterInsert","schemaName":"public","tableName":"message",` +
			`"primaryKey":{"id":1},"row":{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch?","secret":"s"}}}`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if s := f.hub.Stats(); s.Events != 2 || s.Frames != 3 || s.Clients != 1 || s.Subscriptions != 3 {
		t.Errorf("%+v, want 2 events, one for each channel, in 3 frames", s)
	}
}

func TestSubscribingAgainDeliversOnce(t *testing.T) {
	f := newFeed(t, 1<<20, conversations())
	client := f.hub.Attach(nil)
	for _, scope := range []string{in42, in42, `{"col":"conversation_id","value":"42"}`} {
		subscribe(t, client, "message", scope)
		want := []string{`{"type":"subscribed","channel":"message","scope":` + scope + `}`}
		if got, _ := taken(t, client); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f.deliver(inserted(messages(), row(1, 42, 7, "Lunch?", "s")))
	got, _ := taken(t, client)
	want := []string{frame(`{"col":"conversation_id","value":"42"}`, "afterInsert", `{"id":1}`,
		`{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch?"}`, "")}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want one frame, which repeats the scope as it was sent last: %q", got, want)
	}

	// The spelling does not matter for the end of it.
	if err := client.Unsubscribe("message", scopeOf(t, in42)); err != nil {
		t.Fatal(err)
	}
	f.deliver(inserted(messages(), row(2, 42, 7, "Dinner?", "s")))
	if got, _ := taken(t, client); len(got) > 0 {
		t.Errorf("after unsubscribe: %q", got)
	}
}

// What makes views untrue ends the connections that hold them, behind what was due before, and those alone.
func TestW14ViewsThatCannotGoOn(t *testing.T) {
	full, def := messages(), keyed()
	renamed, retyped, dropped, again := messages(), messages(), messages(), messages()
	renamed.Name = "old_message"
	retyped.Columns[1].TypeOID = 25
	dropped.Columns = dropped.Columns[:1]
	again.OID = 8
	for _, tc := range []struct {
		name   string
		change cdc.Change
		broken bool // nobody may subscribe any more
	}{
		{"truncate", cdc.Change{Op: cdc.Truncate, Table: full}, false},
		{"a change that could not be read", cdc.Change{Op: cdc.Unreadable, Table: full}, false},
		{"update whose old scope is not known", updated(def, nil, row(1, 42, 7, "Lunch?", "s")), false},
		{"update of the key whose old scope is not known", updated(def, row(1, absent{}, absent{}, absent{}, absent{}), row(2, 42, 7, "Lunch?", "s")), false},
		{"delete whose old scope is not known", deleted(def, row(1, absent{}, absent{}, absent{}, absent{})), false},
		{"table renamed", inserted(renamed, row(1, 99, 7, "Lunch?", "s")), true},
		{"scope column of another type", inserted(retyped, row(1, 99, 7, "Lunch?", "s")), true},
		{"scope column dropped", inserted(dropped, row(1)), true},
		{"another table of the same name", inserted(again, row(1, 99, 7, "Lunch?", "s")), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f := newFeed(t, 1<<20, conversations(), fanout.Channel{
				Name: "orders", Schema: "public", Table: "orders", Scopes: []fanout.Scope{{Column: "id", Type: fanout.Int8, TypeOID: int8OID}},
			})
			client, other, idle := f.hub.Attach(nil), f.hub.Attach(nil), f.hub.Attach(nil)
			subscribe(t, client, "message", in42)
			subscribe(t, other, "orders", `{"col":"id","value":1}`)
			f.deliver(inserted(full, row(9, 42, 7, "first", "s")))
			f.deliver(tc.change)
			if frames, code := taken(t, client); len(frames) != 2 || code != protocol.CloseServiceRestart {
				t.Errorf("got %q and %d, want the confirmation, the first change and 1012", frames, code)
			}
			for name, c := range map[string]*fanout.Client{"of another channel": other, "without subscriptions": idle} {
				if _, code := taken(t, c); code != 0 {
					t.Errorf("a client %s is closed with %d", name, code)
				}
			}
			if err := idle.Subscribe("message", scopeOf(t, in42)); (err != nil) != tc.broken {
				t.Errorf("a new subscription: %v, want it refused: %v", err, tc.broken)
			}

			// Once the table is as it was, the channel works.
			f.deliver(inserted(messages(), row(10, 99, 7, "last", "s")))
			back := f.hub.Attach(nil)
			subscribe(t, back, "message", in42)
			f.deliver(inserted(full, row(11, 42, 7, "again", "s")))
			if frames, code := taken(t, back); len(frames) != 2 || code != 0 {
				t.Errorf("afterwards: %q, %d", frames, code)
			}
		})
	}
}

// With the default replica identity a scope that is part of the primary key is known even without a before image.
func TestScopeInTheReplicaIdentityNeedsNoBeforeImage(t *testing.T) {
	byID := conversations()
	byID.Scopes = []fanout.Scope{{Column: "id", Type: fanout.Int8, TypeOID: int8OID}}
	f := newFeed(t, 1<<20, byID)
	client := f.hub.Attach(nil)
	const one = `{"col":"id","value":1}`
	subscribe(t, client, "message", one)
	taken(t, client)
	f.deliver(updated(keyed(), nil, row(1, 42, 7, "Lunch!", "s")))
	f.deliver(deleted(keyed(), row(1, absent{}, absent{}, absent{}, absent{})))
	got, code := taken(t, client)
	want := []string{
		frame(one, "afterUpdate", `{"id":1}`, `{"id":1,"conversation_id":42,"author_id":7,"body":"Lunch!"}`, `{"conversation_id":42,"author_id":7,"body":"Lunch!"}`),
		frame(one, "afterDelete", `{"id":1}`, `{"id":1}`, ""),
	}
	if !slices.Equal(got, want) || code != 0 {
		t.Errorf("close code %d, got\n%q\nwant\n%q", code, got, want)
	}
}

// A swap, as tools do it that rewrite a table beside the old one: whichever of the two is seen first, the channel goes on
// with the table that has its name.
func TestTableSwapped(t *testing.T) {
	aside := messages()
	aside.Name = "message_old"
	fresh := messages()
	fresh.OID = 8
	old, now := inserted(aside, row(1, 99, 7, "x", "s")), inserted(fresh, row(2, 99, 7, "x", "s"))
	for name, swap := range map[string][]cdc.Change{"the old one first": {old, now}, "the new one first": {now, old}} {
		f := newFeed(t, 1<<20, conversations())
		client := f.hub.Attach(nil)
		subscribe(t, client, "message", in42)
		f.deliver(inserted(messages(), row(3, 99, 7, "x", "s")))
		f.deliver(swap...)
		if _, code := taken(t, client); code != protocol.CloseServiceRestart {
			t.Errorf("%s: close code %d, want 1012", name, code)
		}
		back := f.hub.Attach(nil)
		subscribe(t, back, "message", in42)
		f.deliver(inserted(fresh, row(4, 42, 7, "x", "s")), inserted(aside, row(5, 42, 7, "x", "s")))
		if frames, code := taken(t, back); len(frames) != 2 || code != 0 {
			t.Errorf("%s: afterwards %q, %d, want the confirmation and the new table's row", name, frames, code)
		}
	}
}

func TestReset(t *testing.T) {
	f := newFeed(t, 1<<20, conversations())
	client, idle := f.hub.Attach(nil), f.hub.Attach(nil)
	subscribe(t, client, "message", in42)
	f.hub.Reset(cdc.ResetSlotLost)
	if frames, code := taken(t, client); len(frames) != 1 || code != protocol.CloseServiceRestart {
		t.Errorf("got %q and %d, want the confirmation and 1012", frames, code)
	}
	if _, code := taken(t, idle); code != 0 {
		t.Errorf("a client that holds no view is closed with %d", code)
	}
}

// A client that has to go, or is gone, holds nothing of the hub, however much it goes on asking.
func TestAClientThatHasToGoGetsNoSubscriptions(t *testing.T) {
	for name, end := range map[string]func(*fanout.Client){
		"closed":   func(c *fanout.Client) { c.Close(protocol.CloseLimitExceeded) },
		"detached": func(c *fanout.Client) { c.Detach(); c.Detach() },
	} {
		f := newFeed(t, 1<<20, conversations())
		client := f.hub.Attach(nil)
		subscribe(t, client, "message", in42)
		end(client)
		before := client.Subscriptions()
		for i := range 10 {
			subscribe(t, client, "message", fmt.Sprintf(`{"col":"author_id","value":%d}`, i))
		}
		if client.Subscriptions() != before || f.hub.Stats().Subscriptions != before {
			t.Errorf("%s: %d subscriptions, before it was %d", name, client.Subscriptions(), before)
		}
		client.Detach()
		if s := f.hub.Stats(); s.Clients != 0 || s.Subscriptions != 0 {
			t.Errorf("%s: after Detach %+v", name, s)
		}
	}
}

// A frame is made once for all who wrote the scope alike.
func TestFramesAreShared(t *testing.T) {
	f := newFeed(t, 1<<20, conversations())
	frames := map[string][]*byte{}
	clients := map[*fanout.Client]string{}
	for _, scope := range []string{in42, in42, in42, `{"col":"conversation_id","value":"42"}`} {
		c := f.hub.Attach(nil)
		subscribe(t, c, "message", scope)
		taken(t, c)
		clients[c] = scope
	}
	f.deliver(inserted(messages(), row(1, 42, 7, "Lunch?", "s")))
	for c, scope := range clients {
		got, count, err := c.Take(nil)
		if err != nil || count != 1 {
			t.Fatalf("%q, %v", got, err)
		}
		frames[scope] = append(frames[scope], &got[0][0])
	}
	if alike := slices.Compact(frames[in42]); len(alike) != 1 {
		t.Errorf("%d copies of one frame", len(alike))
	}
	if s := f.hub.Stats(); s.Events != 1 || s.Frames != 4 {
		t.Errorf("%+v, want 1 event in 4 queues", s)
	}
}
