package reactive_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
	"github.com/reactive-gw/reactive-gw/gateway/reactive"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// A chat server that has its own sessions. Messages come from the log, as soon as anybody commits them; that somebody is
// typing is in no table, and the server says it itself.
func Example() {
	database, drop := pgtest.ExampleDatabase(`create table message (id int primary key, conversation_id int, recipient text, body text)`)
	defer drop()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	gw, err := reactive.Start(ctx, reactive.Options{
		DatabaseURL: database,
		Config: `
slot: chat
reactive:
  - table: message
    scopes: [conversation_id]
    snapshot: {limit: 100, orderBy: id DESC}
  - table: typing
    source: hook
    scopes: [conversation_id]
`,
		Authenticate: func(r *http.Request) (*auth.Principal, error) {
			session, err := r.Cookie("session")
			if err != nil {
				return nil, err
			}
			user, known := map[string]string{"7f3a": "ada"}[session.Value] // your session store
			if !known {
				return nil, errors.New("no such session")
			}
			return auth.NewPrincipal(map[string]any{"sub": user}, time.Now().Add(time.Hour))
		},
		Channels: map[string]reactive.Channel{"message": {
			FilterColumns: []string{"recipient"},
			FilterRow: func(p *auth.Principal, row auth.Row) bool {
				recipient, _ := row.Value("recipient") // nil for everybody
				return recipient == nil || recipient == p.Subject()
			},
		}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}

	mux := http.NewServeMux()
	mux.Handle("GET /ws", gw)
	mux.HandleFunc("POST /typing/{conversation}", func(w http.ResponseWriter, r *http.Request) {
		conversation := r.PathValue("conversation")
		_, err := gw.Emit(r.Context(), ingest.Event{
			Type: ingest.AfterInsert, Schema: "public", Table: "typing",
			PrimaryKey: []byte(`{"user":"bob"}`), Row: []byte(`{"user":"bob","conversation_id":` + conversation + `}`),
		})
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	defer func() { _ = gw.Stop(ctx) }() // before the server, which does not wait for WebSockets

	// A browser would send the cookie by itself.
	client, _, err := websocket.Dial(ctx, strings.Replace(server.URL, "http", "ws", 1)+"/ws", //nolint:bodyclose // the connection is the body
		&websocket.DialOptions{HTTPHeader: http.Header{"Cookie": {"session=7f3a"}}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseNow()
	say := func(frame string) { _ = client.Write(ctx, websocket.MessageText, []byte(frame)) }
	hear := func() {
		_, frame, err := client.Read(ctx)
		fmt.Println(string(frame), err)
	}
	say(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":1}}`)
	hear()
	hear()
	say(`{"type":"subscribe","channel":"typing","scope":{"col":"conversation_id","value":1}}`)
	hear()

	response, err := http.Post(server.URL+"/typing/1", "", nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	response.Body.Close()
	hear()

	conn, err := pgx.Connect(ctx, database)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, `insert into message values (1, 1, 'bob', 'not for Ada'), (2, 1, 'ada', 'Hello Ada')`)
	if err != nil {
		fmt.Println(err)
		return
	}
	hear()

	// Output:
	// {"type":"subscribed","channel":"message","scope":{"col":"conversation_id","value":1}} <nil>
	// {"type":"snapshot","channel":"message","scope":{"col":"conversation_id","value":1},"rows":[]} <nil>
	// {"type":"subscribed","channel":"typing","scope":{"col":"conversation_id","value":1}} <nil>
	// {"type":"change","channel":"typing","scope":{"col":"conversation_id","value":1},"event":{"type":"afterInsert","schemaName":"public","tableName":"typing","primaryKey":{"user":"bob"},"row":{"conversation_id":1,"user":"bob"}}} <nil>
	// {"type":"change","channel":"message","scope":{"col":"conversation_id","value":1},"event":{"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey":{"id":2},"row":{"id":2,"conversation_id":1,"recipient":"ada","body":"Hello Ada"}}} <nil>
}

// A gateway that stands beside the program's other parts, and ends with them.
func ExampleStart() {
	database, drop := pgtest.ExampleDatabase(`create table orders (id int primary key)`)
	defer drop()

	starting, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	gw, err := reactive.Start(starting, reactive.Options{DatabaseURL: database, Config: "{slot: orders, allowAnonymous: true}"})
	if err != nil {
		fmt.Println(err)
		return
	}
	ready, _ := gw.Ready()
	fmt.Println("ready:", ready)

	// Serve, until a signal comes, or gw.Done() is closed because something failed.

	stopping, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	fmt.Println("stopped:", gw.Stop(stopping))
	<-gw.Done()
	fmt.Println("failed:", gw.Err())
	// Output:
	// ready: true
	// stopped: <nil>
	// failed: <nil>
}

// Whatever is wrong is said before anything is started.
func ExampleStart_mistakes() {
	_, err := reactive.Start(context.Background(), reactive.Options{
		DatabaseURL: "postgres://localhost/shop",
		Config: `
path: /live
reactive:
  - table: orders
    scopes: [customer_id]
    filterRow: row.customer_id == ctx.sub
`,
		Channels: map[string]reactive.Channel{
			"orders": {FilterRow: func(*auth.Principal, auth.Row) bool { return true }},
			"order":  {},
		},
	})
	fmt.Println(err)
	// Output:
	// start the gateway: Options.Authenticate: nothing asks clients who they are: give a function, or write an authenticate section, or allowAnonymous: true if everybody may read everything that is served
	// Options.Channels["order"]: there is no such channel under reactive: write orders
	// Options.Channels["orders"].FilterRow: the channel has the key filterRow as well: keep one of them
	// Options.Config:2:7: path is for the program that listens by itself: delete the key: here your own server, and your own logger, decide
}
