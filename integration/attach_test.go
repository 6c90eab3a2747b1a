package integration_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
	"github.com/reactive-gw/reactive-gw/gateway/reactive"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// attached is a gateway in this process, beside a handler of its own.
type attached struct {
	*reactive.Gateway
	server *httptest.Server
	log    *observer.ObservedLogs
}

// attach starts a gateway whose clients say who they are in the header User.
func attach(t *testing.T, database, config string, channels map[string]reactive.Channel) *attached {
	t.Helper()
	return attachWith(t, reactive.Options{
		DatabaseURL: database, Config: config, Channels: channels,
		Authenticate: func(r *http.Request) (*auth.Principal, error) {
			switch user := r.Header.Get("User"); user {
			case "":
				return nil, errors.New("canary: nobody")
			case "nil":
				return nil, nil
			case "mallory":
				panic("canary")
			default:
				return auth.NewPrincipal(map[string]any{"sub": user}, time.Time{})
			}
		},
	})
}

func attachWith(t *testing.T, o reactive.Options) *attached {
	t.Helper()
	core, log := observer.New(zapcore.DebugLevel)
	o.Log = zap.New(core)
	o.Config = "slot: " + slotOf(t, o.DatabaseURL) + "\n" + o.Config
	gw, err := reactive.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/live", gw)
	server := httptest.NewServer(mux)
	t.Cleanup(func() {
		if err := gw.Stop(context.Background()); err != nil {
			t.Error(err)
		}
		server.Close()
		for _, line := range log.All() {
			for _, field := range line.Context {
				if err, ok := field.Interface.(error); ok && strings.Contains(err.Error(), "canary") {
					t.Errorf("%s: %v", line.Message, err)
				}
			}
		}
	})
	return &attached{gw, server, log}
}

// as connects a user.
func (a *attached) as(t *testing.T, user string) *client {
	t.Helper()
	c, status, err := dialWith(t, strings.Replace(a.server.URL, "http", "ws", 1)+"/live", http.Header{"User": {user}})
	if err != nil {
		t.Fatalf("connect as %s: %v (status %d)", user, err, status)
	}
	return c
}

func (a *attached) logged(t *testing.T, message string) {
	t.Helper()
	eventually(t, "the log says "+message, func() bool { return a.log.FilterMessageSnippet(message).Len() > 0 })
}

// Who does not get in, by an error, by being nobody and by a panic, is closed as the protocol says.
func TestAGoFunctionAuthenticates(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	a := attach(t, database, chat, nil)
	for _, user := range []string{"", "nil", "mallory"} {
		a.as(t, user).expectClose(4401, "unauthorized")
	}
	v := a.as(t, "ada").subscribe("message", "conversation_id", "1")
	if v.subscribed != 1 {
		t.Error("Ada is not subscribed")
	}
}

func TestAGoFunctionAuthorizes(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	a := attach(t, database, chat, map[string]reactive.Channel{"message": {
		Authorize: func(ctx context.Context, p *auth.Principal, s auth.Subscription) error {
			switch {
			case ctx.Err() != nil || s.Channel != "message" || s.Scope.Column != "conversation_id":
				return errors.New("canary: not what was asked for")
			case s.Scope.Value == int64(3):
				panic("canary")
			case s.Scope.Value == int64(4): // it waits for somebody who does not answer
				<-ctx.Done()
				return ctx.Err()
			case s.Scope.Value == int64(5): // or knows that there is none
				return fmt.Errorf("canary: %w", reactive.ErrUnavailable)
			case s.Scope.Value != int64(1) || p.Subject() != "ada":
				return errors.New("canary: no member")
			}
			return nil
		},
	}})
	ada := a.as(t, "ada")
	ada.subscribe("message", "conversation_id", "1")
	for _, value := range []string{"2", "3"} {
		ada.send(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":` + value + `}}`)
		ada.expect(`{"type":"error","code":"forbidden"}`)
	}
	for _, value := range []string{"4", "5"} { // without an answer that is no refusal
		waiting := a.as(t, "ada")
		waiting.send(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":` + value + `}}`)
		waiting.expectClose(1013, "try again later")
	}
	bob := a.as(t, "bob")
	bob.send(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":1}}`)
	bob.expect(`{"type":"error","code":"forbidden"}`)
}

// The function is asked of snapshots and of changes; the row that it panics over is shown to nobody, and everything else
// goes on.
func TestAGoFunctionFiltersRows(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, whispers, `insert into whisper values (1, 1, null, 'for all'), (2, 1, 'bob', 'for Bob'), (3, 1, 'panic', 'for nobody')`)
	a := attach(t, database, "reactive: [{table: whisper, scopes: [conversation_id], snapshot: {limit: 100}}]", map[string]reactive.Channel{"whisper": {
		FilterColumns: []string{"reader"},
		FilterRow: func(p *auth.Principal, row auth.Row) bool {
			reader, _ := row.Value("reader")
			switch reader {
			case "panic":
				panic("canary")
			case "curious":
				row.Value("body") // which is not among FilterColumns
				return true
			}
			return reader == nil || reader == p.Subject()
		},
	}})
	clients, views := map[string]*client{}, map[string]*view{}
	for _, user := range []string{"ada", "bob"} {
		clients[user] = a.as(t, user)
		views[user] = clients[user].subscribeWithSnapshot("whisper", "conversation_id", "1")
		views[user].equals(t, database, whispersFor(user))
	}
	pgtest.Exec(t, database,
		`update whisper set reader = 'ada' where id = 2`,
		`insert into whisper values (4, 1, 'panic', 'for nobody')`,
		`update whisper set reader = 'panic' where id = 1`,
		`insert into whisper values (5, 1, 'curious', 'for nobody')`,
		`insert into whisper values (9, 1, null, 'the last')`)
	for user, c := range clients {
		c.until("the last has come", func() bool { return views[user].rows["id:9"] != nil })
		views[user].equals(t, database, whispersFor(user))
	}
	a.logged(t, "filterRow gave no answer")
}

// A row goes where the function says, whatever its columns say; where there is no saying, the views begin anew.
func TestAGoFunctionResolvesScopes(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, `create table parcel (id int primary key, route text, body text)`)
	a := attach(t, database, "reactive: [{table: parcel, scopes: [city]}]", map[string]reactive.Channel{"parcel": {
		ResolveColumns: []string{"route"},
		ResolveScopes: func(row auth.Row) ([]auth.Scope, error) {
			var scopes []auth.Scope
			route, _ := row.Value("route")
			switch route {
			case "panic":
				panic("canary")
			case "nowhere":
				return nil, errors.New("there is no such route")
			}
			for city := range strings.SplitSeq(route.(string), "-") {
				scopes = append(scopes, auth.Scope{Column: "city", Value: city})
			}
			return scopes, nil
		},
	}})
	oslo, rome := a.as(t, "ada"), a.as(t, "bob")
	oslo.ask("parcel", "city", `"oslo"`)
	rome.ask("parcel", "city", `"rome"`)
	const begun = `{"type":"subscribed","channel":"parcel","scope":{"col":"city","value":"%"}}`
	oslo.expect(strings.Replace(begun, "%", "oslo", 1))
	rome.expect(strings.Replace(begun, "%", "rome", 1))
	pgtest.Exec(t, database, `insert into parcel values (1, 'oslo-bonn', 'x')`, `update parcel set route = 'rome-bonn'`)
	event := func(city, kind, route, more string) string {
		return `{"type":"change","channel":"parcel","scope":{"col":"city","value":"` + city + `"},"event":{"type":"` + kind +
			`","schemaName":"public","tableName":"parcel","primaryKey":{"id":1},"row":{"id":1,"route":"` + route + `","body":"x"}` + more + `}}`
	}
	for c, frames := range map[*client][]string{
		oslo: {event("oslo", "afterInsert", "oslo-bonn", ""), event("oslo", "afterDelete", "oslo-bonn", "")},
		rome: {event("rome", "afterInsert", "rome-bonn", "")},
	} {
		for _, want := range frames {
			if got, err := c.receive(time.Now().Add(patience)); err != nil || string(got) != want {
				t.Errorf("got %s, %v\nwant %s", got, err, want)
			}
		}
	}
	for i, route := range []string{"nowhere", "panic"} {
		if i > 0 {
			rome = a.as(t, "bob")
			rome.ask("parcel", "city", `"rome"`)
			rome.expect(strings.Replace(begun, "%", "rome", 1))
		}
		pgtest.Exec(t, database, `insert into parcel values (`+string(rune('2'+i))+`, '`+route+`', 'x')`)
		rome.expectClose(websocket.StatusServiceRestart, "service restart") // there is no snapshot
	}
	a.logged(t, "resolveScopes gave no answer")
}

// The payload is the program's own; one that its parser fails over is not told, and those after it are.
func TestAGoFunctionReadsNotifications(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations)
	var calls atomic.Int32
	a := attachWith(t, reactive.Options{
		DatabaseURL: database,
		Config: `
allowAnonymous: true
ingest: {notify: {channel: typing, trustNotify: true}}
reactive: [{table: typing, source: notify, scopes: [conversation_id]}]
`,
		ParseNotify: func(payload []byte) ([]ingest.Event, error) {
			calls.Add(1)
			conversation, user, ok := strings.Cut(string(payload), " ")
			switch {
			case !ok:
				return nil, errors.New("canary: no user")
			case user == "panic":
				panic("canary")
			}
			return []ingest.Event{{
				Type: ingest.AfterInsert, Schema: "public", Table: "typing",
				PrimaryKey: []byte(`{"id":"` + user + `"}`), Row: []byte(`{"id":"` + user + `","conversation_id":` + conversation + `}`),
			}}, nil
		},
	})
	c := a.as(t, "ada")
	v := c.subscribe("typing", "conversation_id", "1")
	a.logged(t, "listening")
	pgtest.Exec(t, database, `notify typing, '1'`, `notify typing, '1 panic'`, `notify typing, '1 bob'`)
	c.until("Bob types", func() bool { return len(v.events) == 1 })
	if got := v.events[0].Row.String(); got != `conversation_id:1 id:"bob"` {
		t.Errorf("the row is %s", got)
	}
	if calls.Load() != 3 {
		t.Errorf("the parser was called %d times", calls.Load())
	}
	a.logged(t, "event refused")
}
