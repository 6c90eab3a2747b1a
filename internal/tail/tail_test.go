package tail_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/tail"
	"github.com/reactive-gw/reactive-gw/protocol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve is a small gateway: it upgrades, notes the first frame that comes, and does what it is told with the connection.
func serve(t *testing.T, then func(context.Context, *websocket.Conn)) (url string, first <-chan string) {
	t.Helper()
	frames := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/ws" {
			http.NotFound(w, r)
			return
		}
		conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{Subprotocols: []string{protocol.Subprotocol}})
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.CloseNow()
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		_, frame, err := conn.Read(ctx)
		if err != nil || conn.Subprotocol() != protocol.Subprotocol {
			t.Errorf("%v, subprotocol %q", err, conn.Subprotocol())
			return
		}
		frames <- string(frame)
		then(ctx, conn)
	}))
	t.Cleanup(server.Close)
	return server.URL + "/ws", frames
}

func write(ctx context.Context, t *testing.T, conn *websocket.Conn, frame string) {
	t.Helper()
	if err := conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		t.Error(err)
	}
}

func TestRun(t *testing.T) {
	large := `{"rows":"` + strings.Repeat("x", 1<<20) + `"}`
	url, first := serve(t, func(ctx context.Context, conn *websocket.Conn) {
		write(ctx, t, conn, `{"type":"subscribed"}`)
		write(ctx, t, conn, large)
		_, _, _ = conn.Read(ctx) // until the other side has gone
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	printed, out := io.Pipe()
	ended := make(chan error)
	go func() {
		ended <- tail.Run(ctx, tail.Options{URL: "ws" + strings.TrimPrefix(url, "http"), Channel: "message", Scope: `body=a="b"`, Out: out})
	}()
	lines := bufio.NewReader(printed)
	for _, want := range []string{`{"type":"subscribed"}`, large} {
		if got, err := lines.ReadString('\n'); err != nil || got != want+"\n" {
			t.Fatalf("%.100q, %v", got, err)
		}
	}
	message, err := protocol.Parse([]byte(<-first))
	if err != nil || message.Type != protocol.Subscribe || message.Channel != "message" || message.Scope.Col != "body" || message.Scope.Text() != `a="b"` {
		t.Errorf("subscribed with %+v, %v", message, err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("%v, want none: the user has seen enough", err)
	}
}

func TestRunEndsWhenItIsRefused(t *testing.T) {
	url, _ := serve(t, func(ctx context.Context, conn *websocket.Conn) {
		write(ctx, t, conn, `{"type":"error","code":"unknown_channel"}`)
		_, _, _ = conn.Read(ctx)
	})
	var out strings.Builder
	err := tail.Run(t.Context(), tail.Options{URL: url, Channel: "mesage", Scope: "conversation_id=42", Out: &out})
	if err == nil || !strings.Contains(err.Error(), "unknown_channel") || out.String() != `{"type":"error","code":"unknown_channel"}`+"\n" {
		t.Errorf("%v after %q", err, out.String())
	}
}

func TestRunSendsTheTokenAndKeepsItToItself(t *testing.T) {
	sent := make(chan string, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		sent <- r.Header.Get("Authorization")
		http.NotFound(w, r)
	}))
	options := tail.Options{URL: server.URL + "/?token=hush", Channel: "message", Scope: "conversation_id=42", Token: "hush", Out: io.Discard}
	err := tail.Run(t.Context(), options)
	if got := <-sent; got != "Bearer hush" || err == nil || strings.Contains(err.Error(), "hush") {
		t.Errorf("sent %q, error %v", got, err)
	}
	server.Close()
	if err := tail.Run(t.Context(), options); err == nil || strings.Contains(err.Error(), "hush") || !strings.Contains(err.Error(), "refused") {
		t.Errorf("with nobody there: %v", err)
	}
}

func TestRunEndsWithTheConnection(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func(context.Context, *websocket.Conn)
		says string
	}{
		"closed":   {func(_ context.Context, c *websocket.Conn) { _ = c.Close(4429, "") }, "4429 over a limit"},
		"cut off":  {func(_ context.Context, c *websocket.Conn) { _ = c.CloseNow() }, "read: "},
		"draining": {func(_ context.Context, c *websocket.Conn) { _ = c.Close(1001, "") }, "1001 going away"},
	} {
		url, _ := serve(t, tc.end)
		err := tail.Run(t.Context(), tail.Options{URL: url, Channel: "message", Scope: "conversation_id=42", Out: io.Discard})
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q in it", name, err, tc.says)
		}
	}
}

func TestRunCannotConnect(t *testing.T) {
	url, _ := serve(t, nil)
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no changes are flowing yet", http.StatusServiceUnavailable)
	}))
	defer busy.Close()
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, tc := range map[string]struct{ url, scope, says string }{
		"another path":     {url + "/x", "conversation_id=42", "404 Not Found: is this the gateway's address and path?"},
		"unavailable":      {busy.URL, "conversation_id=42", "no changes are flowing yet"},
		"nobody there":     {gone.URL, "conversation_id=42", "connect to " + gone.URL},
		"scope of nothing": {url, "", "write COLUMN=VALUE"},
		"scope no column":  {url, "=42", "write COLUMN=VALUE"},
		"scope no value":   {url, "conversation_id", "write COLUMN=VALUE"},
	} {
		err := tail.Run(t.Context(), tail.Options{URL: tc.url, Channel: "message", Scope: tc.scope, Out: io.Discard})
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want %q in it", name, err, tc.says)
		}
	}

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tail.Run(ended, tail.Options{URL: url, Channel: "message", Scope: "conversation_id=42", Out: io.Discard}); err != nil {
		t.Errorf("%v, want none of a context that has ended", err)
	}
}

// full is an output that takes nothing.
type full struct{}

var errFull = errors.New("no space left")

func (full) Write([]byte) (int, error) { return 0, errFull }

func TestRunCannotPrint(t *testing.T) {
	url, _ := serve(t, func(ctx context.Context, conn *websocket.Conn) {
		write(ctx, t, conn, `{"type":"subscribed"}`)
		_, _, _ = conn.Read(ctx)
	})
	err := tail.Run(t.Context(), tail.Options{URL: url, Channel: "message", Scope: "conversation_id=42", Out: full{}})
	if !errors.Is(err, errFull) {
		t.Errorf("%v, want what the output says", err)
	}
}
