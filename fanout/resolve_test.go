package fanout_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// byTags resolves the scope tag by the words of a message's body. A body of "?" is an error, "!" a panic.
type byTags struct{ column int }

func (r byTags) Resolve(_ *cdc.Table, row cdc.Row) ([]fanout.RowScope, error) {
	text := string(row.Value(r.column).Text)
	switch text {
	case "?":
		return nil, errors.New("no answer")
	case "!":
		panic(text)
	}
	var scopes []fanout.RowScope
	for _, tag := range strings.Fields(text) {
		column, value, named := strings.Cut(tag, "=")
		if !named {
			column, value = "tag", tag
		}
		scopes = append(scopes, fanout.RowScope{Column: column, Value: value})
	}
	return scopes, nil
}

// tagged is messages as a channel, scoped by conversation and by the tags in the body.
func tagged() fanout.Channel {
	ch := conversations()
	ch.Scopes = append(ch.Scopes[:1], fanout.Scope{Column: "tag", Type: fanout.Text, Resolved: true}, fanout.Scope{Column: "level", Type: fanout.Int4, Resolved: true})
	ch.Resolver, ch.ResolverColumns = byTags{3}, []fanout.InputColumn{{Column: "body", TypeOID: 25}}
	return ch
}

// kinds says for each change frame of which kind it is.
func kinds(frames []string) string {
	var kinds []string
	for _, frame := range frames {
		for _, kind := range []string{"afterInsert", "afterUpdate", "afterDelete"} {
			if strings.Contains(frame, kind) {
				kinds = append(kinds, strings.ToLower(strings.TrimPrefix(kind, "after")))
			}
		}
	}
	return strings.Join(kinds, " ")
}

// Each step is delivered to a client of its own for each scope.
func TestARowIsInTheViewsOfAllItsResolvedScopes(t *testing.T) {
	body := func(text string) cdc.Row { return row(1, 42, 7, text, "s") }
	table := messages()
	f := newFeed(t, 1<<20, tagged())
	clients := map[string]*fanout.Client{}
	for scope, raw := range map[string]string{
		"red": `{"col":"tag","value":"red"}`, "blue": `{"col":"tag","value":"blue"}`, "7": `{"col":"level","value":"07"}`, "42": in42,
	} {
		clients[scope] = f.hub.Attach(nil)
		subscribe(t, clients[scope], "message", raw)
		taken(t, clients[scope])
	}
	for _, step := range []struct {
		change          cdc.Change
		red, blue, n, c string
	}{
		{inserted(table, body("red red level=7")), "insert", "", "insert", "insert"},
		{updated(table, body("red level=7"), body("red blue")), "update", "insert", "delete", "update"},
		{updated(table, body("red blue"), row(1, 43, 7, "red blue", "s")), "update", "update", "", "delete"},
		{updated(table, row(1, 43, 7, "red blue", "s"), row(2, 43, 7, "red blue", "s")), "delete insert", "delete insert", "", ""},
		{updated(table, row(2, 43, 7, "red blue", "s"), row(2, 43, 7, "green", "s")), "delete", "delete", "", ""},
		{updated(table, row(2, 43, 7, "green", "s"), row(2, 43, 7, "blue", "s")), "", "insert", "", ""},
		{deleted(table, row(2, 43, 7, "blue", "s")), "", "delete", "", ""},
	} {
		f.deliver(step.change)
		for scope, want := range map[string]string{"red": step.red, "blue": step.blue, "7": step.n, "42": step.c} {
			frames, code := taken(t, clients[scope])
			if got := kinds(frames); got != want || code != 0 {
				t.Errorf("%v: %s got %q and %d, want %q", step.change.Op, scope, got, code, want)
			}
		}
	}
	if failures := f.hub.Stats().ResolverFailures; failures["message"] != 0 {
		t.Errorf("failures %v", failures)
	}
}

func TestWhereScopesAreNotKnownViewsBeginAnew(t *testing.T) {
	body := func(text string) cdc.Row { return row(1, 42, 7, text, "s") }
	for name, change := range map[string]cdc.Change{
		"error":                 inserted(messages(), body("?")),
		"error of the old":      deleted(messages(), body("?")),
		"panic":                 inserted(messages(), body("!")),
		"another scope":         inserted(messages(), body("conversation_id=42")),
		"no value of the type":  inserted(messages(), body("level=high")),
		"old image not known":   deleted(keyed(), row(1, absent{}, absent{}, absent{}, absent{})),
		"update without before": updated(keyed(), nil, body("red")),
	} {
		t.Run(name, func(t *testing.T) {
			f := newFeed(t, 1<<20, tagged())
			c, other := f.hub.Attach(nil), f.hub.Attach(nil)
			subscribe(t, c, "message", `{"col":"tag","value":"red"}`)
			f.deliver(change)
			if frames, code := taken(t, c); code != protocol.CloseServiceRestart || kinds(frames) != "" {
				t.Errorf("got %q and %d", frames, code)
			}
			if _, code := taken(t, other); code != 0 {
				t.Errorf("a client without subscriptions is closed with %d", code)
			}
			failures := f.hub.Stats().ResolverFailures["message"]
			if judged := !strings.Contains(name, "known") && !strings.Contains(name, "without"); judged != (failures == 1) {
				t.Errorf("%d failures", failures)
			}
		})
	}
}

// Nobody looks at a view of a resolved scope: then the resolver is not asked, and what it would say does no harm.
func TestAResolverIsNotAskedForNobody(t *testing.T) {
	f := newFeed(t, 1<<20, tagged())
	c := f.hub.Attach(nil)
	subscribe(t, c, "message", in42)
	f.deliver(inserted(messages(), row(1, 42, 7, "?", "s")))
	if frames, code := taken(t, c); kinds(frames) != "insert" || code != 0 {
		t.Errorf("got %q and %d", frames, code)
	}
}

func TestAResolverColumnThatIsAlteredClosesItsChannel(t *testing.T) {
	for name, alter := range map[string]func(*cdc.Column){
		"renamed":         func(c *cdc.Column) { c.Name = "text" },
		"of another type": func(c *cdc.Column) { c.TypeOID = 114 },
	} {
		t.Run(name, func(t *testing.T) {
			f := newFeed(t, 1<<20, tagged())
			c := f.hub.Attach(nil)
			subscribe(t, c, "message", `{"col":"tag","value":"red"}`)
			table := messages()
			alter(&table.Columns[3])
			f.deliver(inserted(table, row(1, 42, 7, "red", "s")))
			if frames, code := taken(t, c); code != protocol.CloseServiceRestart || kinds(frames) != "" {
				t.Errorf("got %q and %d", frames, code)
			}
		})
	}
}

func TestAScopeThatNobodyResolvesIsRefused(t *testing.T) {
	ch := tagged()
	ch.Resolver = nil
	if _, err := fanout.NewHub(fanout.Options{Channels: []fanout.Channel{ch}}); err == nil {
		t.Error("a scope without a resolver is accepted")
	}
}

// resolvedByBody makes the site's channel resolve conversation_id by the words of the body instead of by the column.
func resolvedByBody(ch *fanout.Channel) {
	ch.Scopes[0].Resolved = true
	ch.Resolver, ch.ResolverColumns = byConversation{}, []fanout.InputColumn{{Column: "conversation_id", TypeOID: int8OID}}
}

// byConversation finds the scope in the column conversation_id, and in none where that is 13.
type byConversation struct{}

func (byConversation) Resolve(_ *cdc.Table, row cdc.Row) ([]fanout.RowScope, error) {
	if text := string(row.Value(1).Text); text != "13" {
		return []fanout.RowScope{{Column: "conversation_id", Value: text}}, nil
	}
	return nil, errors.New("no answer")
}

// What the stream brought before the snapshot shows it is caught up with, by resolved scopes as by columns.
func TestCatchingUpByAResolvedScope(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		insert := s.commit(change{after: message("1", "42", "a")}, change{after: message("2", "7", "b")})
		s.stream(s.hub)
		v := s.view("42")
		v.expect("subscribed", "snapshot ", "afterInsert 1")
		s.show(insert)
		s.commit(change{before: message("1", "42", "a"), after: message("1", "7", "a")})
		s.stream(s.hub)
		v.expect("subscribed", "snapshot ", "afterInsert 1", "afterDelete 1")
	}, resolvedByBody)
}

// A row whose scopes were not asked for while nobody looked, and are not known: only a snapshot that shows it will do.
func TestCatchingUpWhereScopesAreNotKnown(t *testing.T) {
	inBubble(t, func(_ *testing.T, s *site) {
		insert := s.commit(change{after: message("1", "42", "a")}, change{after: message("2", "13", "b")})
		s.stream(s.hub)
		v := s.view("42")
		v.expect("subscribed", "snapshot ", "afterInsert 1")
		s.show(insert)
		time.Sleep(time.Second) // of the bubble's time
		v.expect("subscribed", "snapshot ", "afterInsert 1", "snapshot 1")
	}, resolvedByBody)
}

func BenchmarkResolve(b *testing.B) {
	f := newFeed(b, 1<<30, tagged())
	var clients []*fanout.Client
	for i := range 1000 {
		c := f.hub.Attach(nil)
		subscribe(b, c, "message", fmt.Sprintf(`{"col":"tag","value":"%d"}`, i))
		clients = append(clients, c)
	}
	empty(b, clients)
	f.deliverTo(b, clients[:1], updated(messages(), row(1, 42, 7, "0", "s"), row(1, 42, 7, "0 x", "s")))
}
