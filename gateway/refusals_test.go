package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// logLines are what was logged at info.
type logLines struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logLines) all() (lines []map[string]any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, text := range strings.Split(l.text.String(), "\n") {
		var line map[string]any
		if json.Unmarshal([]byte(text), &line) == nil {
			lines = append(lines, line)
		}
	}
	return lines
}

func (l *logLines) first(message string) map[string]any {
	for _, line := range l.all() {
		if line["msg"] == message {
			return line
		}
	}
	return nil
}

func (l *logLines) logger() *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(l), zap.InfoLevel))
}

// loggedPlace is newPlace with its log.
func loggedPlace(t *testing.T, adjust ...func(*Options)) (*place, *logLines) {
	t.Helper()
	lines := &logLines{}
	return newPlace(t, append(adjust, func(o *Options) { o.Log = lines.logger() })...), lines
}

// errUndecided is no answer.
var errUndecided = &auth.Denied{Reason: auth.Unavailable}

// decided is an authenticator whose answers a test sets.
type decided struct{ answer atomic.Pointer[error] }

func (d *decided) set(err error) { d.answer.Store(&err) }

func (d *decided) Authenticate(r *http.Request) (*auth.Principal, error) {
	return d.Verify(r.Context(), r.Header.Get("Authorization"))
}

// Verify takes the subject for the token.
func (d *decided) Verify(_ context.Context, token string) (*auth.Principal, error) {
	if err := d.answer.Load(); err != nil && *err != nil {
		return nil, *err
	}
	var claims map[string]any
	if json.Unmarshal([]byte(token), &claims) != nil {
		return nil, errGate
	}
	return auth.NewPrincipal(claims, time.Now().Add(time.Hour))
}

func TestW30AuthenticateUndecidedIsClosedWith1013(t *testing.T) {
	who := &decided{}
	p, lines := loggedPlace(t, func(o *Options) { o.Authenticate = who })
	who.set(errUndecided)
	p.dial("Authorization", `{"sub":"ada","secret":"canary"}`).closed(protocol.CloseTryAgainLater)
	who.set(errGate)
	p.dial("Authorization", `{"sub":"ada"}`).closed(protocol.CloseUnauthorized)

	// Where there is no room for a goodbye the status says the same.
	p.reject(maxRejecting)
	defer p.reject(-maxRejecting)
	for want, err := range map[int]error{http.StatusServiceUnavailable: errUndecided, http.StatusUnauthorized: errGate} {
		who.set(err)
		_, response, dialed := websocket.Dial(t.Context(), p.server.URL, nil) //nolint:bodyclose // the library reads it
		if dialed == nil || response == nil || response.StatusCode != want || (response.Header.Get("Retry-After") != "") != (want == http.StatusServiceUnavailable) {
			t.Errorf("%v, %v, want %d", dialed, response, want)
		}
	}
	if totals := p.gateway.options.Refusals.Totals(); totals[RefusedUndecided] != 2 || totals[RefusedToken] != 2 {
		t.Errorf("counted %v", totals)
	}
	text := lines.text.String()
	if !strings.Contains(text, `"reason":"undecided"`) || !strings.Contains(text, errUndecided.Error()) || !strings.Contains(text, `"reason":"token"`) || strings.Contains(text, "canary") {
		t.Errorf("logged %s", text)
	}
}

// A renewal about which nobody can say leaves the client as it was.
func TestW30AuthenticateUndecidedRenewal(t *testing.T) {
	who := &decided{}
	p := newPlace(t, func(o *Options) { o.Authenticate = who })
	c := p.dialExtended(http.Header{"Authorization": {`{"sub":42}`}})
	subscribe := func(conversation int) {
		t.Helper()
		c.send(subscription(conversation))
		if frame, err := c.next(); err != nil || !strings.HasPrefix(frame, `{"type":"subscribed"`) {
			t.Fatalf("%s, %v", frame, err)
		}
	}
	subscribe(1)
	who.set(errUndecided)
	for range 2 {
		c.send(`{"type":"auth","token":"{\"sub\":42}"}`)
		frame, err := c.next()
		if err != nil || !strings.HasPrefix(frame, `{"type":"error","code":"unavailable","message":`) || !strings.Contains(frame, `"retryAfterMs":`) {
			t.Fatalf("%s, %v", frame, err)
		}
	}
	p.deliver(cdc.Insert, nil, message(1, 1, "still there"))
	if frame, err := c.next(); err != nil || !strings.Contains(frame, "still there") {
		t.Fatalf("%s, %v", frame, err)
	}
	subscribe(2)
	who.set(nil)
	c.send(`{"type":"auth","token":"{\"sub\":42,\"role\":\"admin\"}"}`)
	if frame, err := c.next(); err != nil || !strings.HasPrefix(frame, `{"type":"auth"`) {
		t.Fatalf("%s, %v", frame, err)
	}
}

func TestW36ARenewalIsOfTheSameSubject(t *testing.T) {
	for _, tokens := range [][2]string{
		{`{"sub":42}`, `{"sub":43}`},
		{`{"sub":42}`, `{"sub":"42"}`},
		{`{"sub":42}`, `{}`},
		{`{"sub":"ada"}`, `{"sub":"Ada"}`},
		{`{"id":1}`, `{"id":2}`},
	} {
		p := newPlace(t, func(o *Options) { o.Authenticate = &decided{} })
		c := p.dialExtended(http.Header{"Authorization": {tokens[0]}})
		renewal, err := json.Marshal(map[string]string{"type": "auth", "token": tokens[1]})
		if err != nil {
			t.Fatal(err)
		}
		c.send(string(renewal))
		c.closed(protocol.CloseUnauthorized)
		if n := p.gateway.options.Refusals.Totals()[RefusedToken]; n != 1 {
			t.Errorf("%v: %d refusals", tokens, n)
		}
	}
}

// Each refusal is counted by its reason, and said.
func TestW33EveryRefusalIsCountedAndSaid(t *testing.T) {
	for reason, provoke := range map[Refusal]func(t *testing.T) (*place, *logLines){
		RefusedOrigin: func(t *testing.T) (*place, *logLines) {
			p, lines := loggedPlace(t)
			if got := answerTo(t, p.server, "/ws", "Host: localhost", "Origin: https://evil.example"); got != http.StatusForbidden {
				t.Errorf("%d", got)
			}
			return p, lines
		},
		RefusedConnections: func(t *testing.T) (*place, *logLines) {
			p, lines := loggedPlace(t, func(o *Options) { o.MaxConnections = 1 })
			p.dial().send(subscription(1))
			p.dial().closed(protocol.CloseLimitExceeded)
			return p, lines
		},
		RefusedSubscriptions: func(t *testing.T) (*place, *logLines) {
			p, lines := loggedPlace(t, func(o *Options) { o.MaxSubscriptions = 1 })
			c := p.dial()
			c.send(subscription(1), subscription(2))
			c.closed(protocol.CloseLimitExceeded)
			return p, lines
		},
		RefusedMessages: func(t *testing.T) (*place, *logLines) {
			p, lines := loggedPlace(t, func(o *Options) { o.MaxMessages, o.MaxSubscriptions = 1, 1 })
			c := p.dialRaw(bytes.Repeat(clientFrame(textFrame, []byte(`{`)), 20))
			c.closed(protocol.CloseLimitExceeded)
			return p, lines
		},
		RefusedRenewals: func(t *testing.T) (*place, *logLines) {
			p, lines := loggedPlace(t, func(o *Options) { o.Authenticate = &decided{} })
			c := p.dialExtended(http.Header{"Authorization": {`{"sub":"ada"}`}})
			for range maxRenewals + 1 {
				c.send(`{"type":"auth","token":"{\"sub\":\"ada\"}"}`)
			}
			c.closed(protocol.CloseLimitExceeded)
			return p, lines
		},
		RefusedFrameSize: func(t *testing.T) (*place, *logLines) {
			p, lines := loggedPlace(t)
			p.dialRaw(clientFrame(textFrame, bytes.Repeat([]byte("x"), maxFrame+1))).closed(protocol.CloseFrameTooBig)
			return p, lines
		},
		RefusedMisframed: func(t *testing.T) (*place, *logLines) {
			p, lines := loggedPlace(t)
			p.dialRaw([]byte{0x81, 1, 'a'}).closed(protocol.CloseMisframed)
			return p, lines
		},
		RefusedSlow: func(t *testing.T) (*place, *logLines) {
			p, lines := loggedPlace(t)
			c := p.dialRaw(clientFrame(textFrame, []byte(subscription(1))))
			until(t, "it has subscribed", func() bool { return p.hub.Stats().Subscriptions == 1 })
			for range 64 { // until neither the system nor the queue takes more
				p.deliver(cdc.Insert, nil, message(1, 1, large(256<<10)))
			}
			c.closed(protocol.CloseSlowConsumer)
			return p, lines
		},
	} {
		t.Run(string(reason), func(t *testing.T) {
			t.Parallel()
			p, lines := provoke(t)
			until(t, "it is counted", func() bool { return p.gateway.options.Refusals.Totals()[reason] == 1 })
			until(t, "it is said", func() bool { return lines.first("refused") != nil })
			if line := lines.first("refused"); line["reason"] != string(reason) || line["remote"] == nil || line["level"] != "info" {
				t.Errorf("the log says %v", line)
			}
			for other, n := range p.gateway.options.Refusals.Totals() {
				if other != reason && n != 0 {
					t.Errorf("%d %s as well", n, other)
				}
			}
		})
	}
}

// A flood of refusals is no flood of lines: each line says how many were not said since the one before.
func TestW33RefusalsAreSaidOnceASecond(t *testing.T) {
	lines := &logLines{}
	r := NewRefusals(lines.logger())
	now := time.Unix(0, 0).Add(time.Hour)
	r.now = func() time.Time { return now }
	for range 2500 {
		r.note(RefusedForbidden, zap.String("channel", "message"))
	}
	r.note(RefusedToken)
	now = now.Add(refusalEvery)
	r.note(RefusedForbidden, zap.String("channel", "message"))
	all := lines.all()
	if len(all) != 3 || all[0]["more"] != nil || all[1]["reason"] != "token" || all[2]["more"] != 2499.0 || all[2]["channel"] != "message" {
		t.Errorf("logged %v", all)
	}
	if totals := r.Totals(); totals[RefusedForbidden] != 2501 || totals[RefusedToken] != 1 || len(totals) != len(allRefusals()) {
		t.Errorf("counted %v", totals)
	}
	if got := shown(strings.Repeat("é", 200)); len(got) > 104 || !strings.HasSuffix(got, "é...") {
		t.Errorf("shown as %q", got)
	}
}

// A subprotocol is confirmed only where it is offered as it is written, and then it is spoken.
func TestW37SubprotocolsAreTakenAsTheyAreWritten(t *testing.T) {
	p := newPlace(t)
	for _, c := range []struct {
		offered []string
		want    string
		welcome bool
	}{
		{[]string{"mtbreactive.v2"}, "mtbreactive.v2", true},
		{[]string{"mtbreactive"}, "mtbreactive", false},
		{[]string{"mtbreactive", "mtbreactive.v2"}, "mtbreactive.v2", true},
		{[]string{"MTBREACTIVE.V2"}, "", false},
		{[]string{"MtbReactive"}, "", false},
		{[]string{"MTBREACTIVE.V2", "mtbreactive"}, "mtbreactive", false},
		{[]string{"MTBREACTIVE.V2", "mtbreactive.v2"}, "mtbreactive.v2", true},
		{[]string{"bearer", "a-token"}, "bearer", false},
		{[]string{"BEARER", "a-token"}, "", false},
		{[]string{"chat", "mtbreactive.v3"}, "", false},
		{nil, "", false},
	} {
		conn, _, err := websocket.Dial(t.Context(), p.server.URL, &websocket.DialOptions{Subprotocols: c.offered}) //nolint:bodyclose // an upgraded connection's answer has none
		if err != nil {
			t.Errorf("%q: %v", c.offered, err)
			continue
		}
		if conn.Subprotocol() != c.want {
			t.Errorf("%q: %q is confirmed", c.offered, conn.Subprotocol())
		}
		client := &peer{t, conn}
		client.send(subscription(1))
		if frame, err := client.next(); err != nil || strings.HasPrefix(frame, `{"type":"welcome"`) != c.welcome {
			t.Errorf("%q: %s, %v", c.offered, frame, err)
		}
		_ = conn.CloseNow()
	}
}

// What a peer says at the end is sent back only where a browser would take it.
func TestW37FarewellsThatAreNoText(t *testing.T) {
	for name, payload := range map[string]string{
		"raw bytes":           "\x03\xe8\xff\xfe",
		"half a character":    "\x03\xe8bye \xe2\x82",
		"a surrogate":         "\x03\xe9\xed\xa0\x80",
		"longer than it need": "\x0f\xa0\xc0\xaf",
		"code 1005":           "\x03\xed",
		"code 999":            "\x03\xe7bye",
		"code 5000":           "\x13\x88bye",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, end := inboundOf(masked(closeFrame, payload), false)
			if _, err := in.read(); !errors.Is(err, errMisframed) || end.got.Len() != 0 {
				t.Errorf("%v, answered %q", err, end.got.String())
			}
			newPlace(t).dialRaw(masked(closeFrame, payload)).closed(protocol.CloseMisframed)
		})
	}
	in, end := inboundOf(masked(closeFrame, "\x03\xe8tschüß"), false)
	if _, err := in.read(); !errors.Is(err, errLeft) || !strings.HasSuffix(end.got.String(), "\x03\xe8tschüß") {
		t.Errorf("%v, answered %q", err, end.got.String())
	}
}
