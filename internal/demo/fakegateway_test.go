package demo_test

import (
	"bufio"
	"context"
	"encoding/json"
	"net"
	"net/http"
	"reflect"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// fakeGateway speaks the base protocol on /ws for the table message, from what a trigger of the test's database tells.
// It can do what a real one does only by chance: hold frames back, drop connections, send or omit snapshots.
type fakeGateway struct {
	t         *testing.T
	snapshots func(conversation int64) json.RawMessage // nil: no snapshots

	mu       sync.Mutex
	closed   bool
	held     bool
	queue    []rowChange
	sessions map[*websocket.Conn]*session
}

type session struct {
	raw    *farewellConn
	scopes map[int64]json.RawMessage // conversation -> the scope as the client wrote it
}

type rowChange struct{ Old, New map[string]any }

type clientFrame struct {
	Type, Channel string
	Scope         json.RawMessage
}

// newFakeGateway starts a gateway on the database. It ends with the test.
func newFakeGateway(t *testing.T, database string) *fakeGateway {
	t.Helper()
	pgtest.Exec(t, database, `
		create function tell() returns trigger language plpgsql as $$
		begin
			perform pg_notify('changes', json_build_object('old', old, 'new', new)::text);
			return null;
		end $$;
		create trigger tell after insert or update or delete on message for each row execute function tell()`)
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "listen changes"); err != nil {
		t.Fatal(err)
	}
	g := &fakeGateway{t: t, sessions: map[*websocket.Conn]*session{}}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		defer func() { _ = conn.Close(context.Background()) }()
		for {
			notification, err := conn.WaitForNotification(ctx)
			if err != nil {
				return
			}
			var change rowChange
			if err := json.Unmarshal([]byte(notification.Payload), &change); err != nil {
				t.Errorf("payload of the trigger: %v", err)
			}
			g.change(change)
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
		g.close(1001, "")
	})
	return g
}

// over lays the gateway over the demo's handler, as the composition root does.
func (g *fakeGateway) over(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			g.serve(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (g *fakeGateway) serve(w http.ResponseWriter, r *http.Request) {
	conn, ok := g.accept(w, r)
	if !ok {
		return
	}
	defer func() {
		g.mu.Lock()
		delete(g.sessions, conn)
		g.mu.Unlock()
		_ = conn.CloseNow()
	}()
	for {
		_, data, err := conn.Read(r.Context())
		if err != nil {
			return
		}
		var frame clientFrame
		if err := json.Unmarshal(data, &frame); err != nil {
			g.t.Errorf("the page sent %s: %v", data, err)
			return
		}
		g.receive(conn, frame)
	}
}

func (g *fakeGateway) accept(w http.ResponseWriter, r *http.Request) (*websocket.Conn, bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		http.Error(w, "closed", http.StatusServiceUnavailable)
		return nil, false
	}
	taken := &hijacker{ResponseWriter: w}
	conn, err := websocket.Accept(taken, r, nil)
	if err != nil {
		return nil, false
	}
	g.sessions[conn] = &session{raw: taken.conn, scopes: map[int64]json.RawMessage{}}
	return conn, true
}

// hijacker gives the library a farewellConn to take over, and remembers it.
type hijacker struct {
	http.ResponseWriter
	conn *farewellConn
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = &farewellConn{Conn: conn}
	rw.Writer.Reset(h.conn)
	return h.conn, rw, nil
}

// farewellConn swallows what is written after farewell. The library answers the browser's answer to a close frame with
// a second close frame, for which Chromium reports 1006 in place of the code of the first.
type farewellConn struct {
	net.Conn
	mu   sync.Mutex
	said bool
}

func (c *farewellConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.said {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// farewell writes a close frame (RFC 6455, 5.5.1).
func (c *farewellConn) farewell(code uint16, reason string) {
	frame := append([]byte{0x88, byte(2 + len(reason))}, byte(code>>8), byte(code))
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = c.Conn.Write(append(frame, reason...))
	c.said = true
}

func (g *fakeGateway) receive(conn *websocket.Conn, frame clientFrame) {
	g.mu.Lock()
	defer g.mu.Unlock()
	var scope struct {
		Col   string
		Value int64
	}
	if err := json.Unmarshal(frame.Scope, &scope); err != nil || frame.Channel != "message" || scope.Col != "conversation_id" {
		g.t.Errorf("the page sent %+v", frame)
		return
	}
	switch frame.Type {
	case "subscribe":
		g.sessions[conn].scopes[scope.Value] = frame.Scope
		g.send(conn, map[string]any{"type": "subscribed", "channel": "message", "scope": frame.Scope})
		if g.snapshots != nil {
			g.send(conn, map[string]any{"type": "snapshot", "channel": "message", "scope": frame.Scope, "rows": g.snapshots(scope.Value)})
		}
	case "unsubscribe":
		delete(g.sessions[conn].scopes, scope.Value)
	default:
		g.t.Errorf("the page sent a frame of type %q", frame.Type)
	}
}

// hold keeps changes back until release.
func (g *fakeGateway) hold() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = true
}

func (g *fakeGateway) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.held = false
	for _, change := range g.queue {
		g.deliver(change)
	}
	g.queue = nil
}

func (g *fakeGateway) change(change rowChange) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.held {
		g.queue = append(g.queue, change)
		return
	}
	g.deliver(change)
}

// close closes all connections, and takes none until reopen.
func (g *fakeGateway) close(code uint16, reason string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = true
	for _, session := range g.sessions {
		session.raw.farewell(code, reason)
	}
}

func (g *fakeGateway) reopen() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.closed = false
}

// fail sends an error to all connections.
func (g *fakeGateway) fail(code string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for conn := range g.sessions {
		g.send(conn, map[string]any{"type": "error", "code": code})
	}
}

func (g *fakeGateway) deliver(change rowChange) {
	for conn, session := range g.sessions {
		for conversation, scope := range session.scopes {
			if event := eventFor(conversation, change); event != nil {
				g.send(conn, map[string]any{"type": "change", "channel": "message", "scope": scope, "event": event})
			}
		}
	}
}

// eventFor is what the change is to the view of one conversation.
func eventFor(conversation int64, change rowChange) map[string]any {
	in := func(row map[string]any) bool { return row["conversation_id"] == float64(conversation) }
	event := map[string]any{"schemaName": "public", "tableName": "message", "row": change.New}
	switch before, after := in(change.Old), in(change.New); {
	case before && after:
		changed := map[string]any{}
		for column, value := range change.New {
			if !reflect.DeepEqual(value, change.Old[column]) {
				changed[column] = value
			}
		}
		event["type"], event["changed"] = "afterUpdate", changed
	case after:
		event["type"] = "afterInsert"
	case before:
		event["type"], event["row"] = "afterDelete", change.Old
	default:
		return nil
	}
	event["primaryKey"] = map[string]any{"id": event["row"].(map[string]any)["id"]}
	return event
}

func (g *fakeGateway) send(conn *websocket.Conn, frame any) {
	text, err := json.Marshal(frame)
	if err != nil {
		g.t.Errorf("marshal a frame: %v", err)
		return
	}
	_ = conn.Write(context.Background(), websocket.MessageText, text) // fails when the page has gone
}
