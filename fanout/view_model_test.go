package fanout_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// TestW15EveryViewEqualsItsFilter holds the hub to its promise: whatever transactions and subscriptions come, at the end of
// each transaction every client's view, built from frames alone, is what a SELECT with the scope's condition would give.
func TestW15EveryViewEqualsItsFilter(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := newWorld(t)
		r.Repeat(map[string]func(*rapid.T){
			"transaction": m.transaction,
			"subscribe":   m.subscribe,
			"unsubscribe": m.unsubscribe,
			"leave":       m.leave,
			"truncate":    m.truncate,
			"":            m.check,
		})
	})
}

// world is a table, its clients, and what each of them believes of the table.
type world struct {
	*feed
	table   *cdc.Table
	rows    map[int]modelRow
	clients []*believer
}

// modelRow is a row of messages. A scope below 0 is NULL.
type modelRow struct {
	conversation, author int
	body                 string
}

// believer is a strict client: one that is told nonsense says so.
type believer struct {
	client *fanout.Client
	views  map[scopeKey]*belief
}

type scopeKey struct {
	channel, column string
	value           int
}

type belief struct {
	echo string
	rows map[string]map[string]any // by primary key
}

func newWorld(t *testing.T) *world {
	inbox := fanout.Channel{Name: "inbox", Schema: "public", Table: "message", Scopes: conversations().Scopes[:1]}
	w := &world{feed: newFeed(t, 1<<24, conversations(), inbox), table: messages(), rows: map[int]modelRow{}}
	for range 4 {
		w.arrive()
	}
	return w
}

func (w *world) arrive() {
	w.clients = append(w.clients, &believer{client: w.hub.Attach(nil), views: map[scopeKey]*belief{}})
}

func (m modelRow) image(id int) cdc.Row {
	return row(id, orNull(m.conversation), orNull(m.author), m.body, "s")
}

func orNull(v int) any {
	if v < 0 {
		return nil
	}
	return v
}

func (w *world) transaction(r *rapid.T) {
	var changes []cdc.Change
	for range rapid.IntRange(1, 6).Draw(r, "changes") {
		id := rapid.IntRange(1, 5).Draw(r, "id")
		now := modelRow{rapid.IntRange(-1, 2).Draw(r, "conversation"), rapid.IntRange(-1, 2).Draw(r, "author"), rapid.SampledFrom([]string{"", "a", "b"}).Draw(r, "body")}
		was, there := w.rows[id]
		if !there {
			changes = append(changes, inserted(w.table, now.image(id)))
			w.rows[id] = now
			continue
		}
		to := rapid.SampledFrom([]int{0, id, id, id, rapid.IntRange(1, 5).Draw(r, "new id")}).Draw(r, "to")
		if _, taken := w.rows[to]; taken && to != id {
			to = id
		}
		delete(w.rows, id)
		if to == 0 {
			changes = append(changes, deleted(w.table, was.image(id)))
			continue
		}
		changes = append(changes, updated(w.table, was.image(id), now.image(to)))
		w.rows[to] = now
	}
	w.deliver(changes...)
}

func (w *world) draw(r *rapid.T) (*believer, scopeKey) {
	at := scopeKey{"message", "conversation_id", rapid.IntRange(0, 2).Draw(r, "value")}
	switch rapid.IntRange(0, 2).Draw(r, "view") {
	case 1:
		at.column = "author_id"
	case 2:
		at.channel = "inbox"
	}
	return rapid.SampledFrom(w.clients).Draw(r, "client"), at
}

func (w *world) subscribe(r *rapid.T) {
	b, at := w.draw(r)
	spelling := rapid.SampledFrom([]string{`%d`, `"%d"`, `"0%d"`}).Draw(r, "spelling")
	echo := fmt.Sprintf(`{"col":%q,"value":`+spelling+`}`, at.column, at.value)
	subscribe(r, b.client, at.channel, echo)
	if v := b.views[at]; v != nil {
		v.echo = echo
		return
	}
	b.views[at] = &belief{echo: echo, rows: w.filter(at)} // it read the rows by other means, this being a hub without snapshots
}

func (w *world) unsubscribe(r *rapid.T) {
	b, at := w.draw(r)
	if err := b.client.Unsubscribe(at.channel, scopeOf(r, fmt.Sprintf(`{"col":%q,"value":%d}`, at.column, at.value))); err != nil {
		r.Fatal(err)
	}
	w.hear(r, b)
	delete(b.views, at)
}

func (w *world) leave(r *rapid.T) {
	at := rapid.IntRange(0, len(w.clients)-1).Draw(r, "client")
	w.clients[at].client.Detach()
	w.clients = slices.Delete(w.clients, at, at+1)
	w.arrive()
}

func (w *world) truncate(r *rapid.T) {
	w.deliver(cdc.Change{Op: cdc.Truncate, Table: w.table})
	clear(w.rows)
	for _, b := range slices.Clone(w.clients) {
		_, code := taken(r, b.client)
		switch {
		case len(b.views) == 0 && code != 0:
			r.Fatalf("closed with %d, but it had no view", code)
		case len(b.views) > 0 && code != protocol.CloseServiceRestart:
			r.Fatalf("closed with %d, want 1012", code)
		case code != 0:
			b.client.Detach()
			w.clients = slices.DeleteFunc(w.clients, func(c *believer) bool { return c == b })
			w.arrive()
		}
	}
}

// filter is the SELECT.
func (w *world) filter(at scopeKey) map[string]map[string]any {
	rows := map[string]map[string]any{}
	for id, m := range w.rows {
		value := m.conversation
		if at.column == "author_id" {
			value = m.author
		}
		if value != at.value {
			continue
		}
		shown := map[string]any{"id": number(id), "conversation_id": number(m.conversation), "author_id": number(m.author), "body": m.body}
		if at.channel == "inbox" {
			shown["secret"] = "s"
		}
		rows[strconv.Itoa(id)] = shown
	}
	return rows
}

func number(v int) any {
	if v < 0 {
		return nil
	}
	return float64(v)
}

func (w *world) check(r *rapid.T) {
	subscriptions := 0
	for _, b := range w.clients {
		w.hear(r, b)
		subscriptions += len(b.views)
		for at, v := range b.views {
			if want := w.filter(at); !reflect.DeepEqual(v.rows, want) {
				r.Fatalf("the view of %v is\n%v\nthe rows are\n%v", at, v.rows, want)
			}
		}
	}
	if s := w.hub.Stats(); s.Subscriptions != subscriptions || s.Clients != len(w.clients) || s.QueueBytes != 0 {
		r.Fatalf("%+v, want %d subscriptions of %d clients and empty queues", s, subscriptions, len(w.clients))
	}
}

// hear makes the client believe what it was sent since.
func (w *world) hear(r *rapid.T, b *believer) {
	frames, code := taken(r, b.client)
	if code != 0 {
		r.Fatalf("closed with %d", code)
	}
	for _, text := range frames {
		var f struct {
			Type, Channel string
			Scope         json.RawMessage
			Event         struct {
				Type                     string
				PrimaryKey, Row, Changed map[string]any
			}
		}
		if err := json.Unmarshal([]byte(text), &f); err != nil {
			r.Fatalf("%s: %v", text, err)
		}
		if f.Type == "subscribed" {
			continue
		}
		var view *belief
		for at, v := range b.views {
			if at.channel == f.Channel && v.echo == string(f.Scope) {
				view = v
			}
		}
		if view == nil {
			r.Fatalf("%s: for no view of this client's", text)
		}
		key := fmt.Sprint(f.Event.PrimaryKey["id"])
		known := view.rows[key]
		switch f.Event.Type {
		case "afterInsert":
			if known != nil {
				r.Fatalf("%s: the row was known already: %v", text, known)
			}
			view.rows[key] = f.Event.Row
		case "afterUpdate":
			if known == nil {
				r.Fatalf("%s: the row was not known", text)
			}
			patched := maps.Clone(known)
			maps.Copy(patched, f.Event.Changed)
			if !reflect.DeepEqual(patched, f.Event.Row) {
				r.Fatalf("%s: what changed does not lead from %v to the row", text, known)
			}
			view.rows[key] = f.Event.Row
		case "afterDelete":
			if !reflect.DeepEqual(known, f.Event.Row) {
				r.Fatalf("%s: the row that leaves was %v", text, known)
			}
			delete(view.rows, key)
		}
	}
}
