package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// patience is how long a test waits for what has to come.
const patience = 20 * time.Second

// place is a gateway on a real server on loopback, in front of a hub that is fed by hand.
type place struct {
	t       testing.TB
	hub     *fanout.Hub
	gateway *Gateway
	server  *httptest.Server
	table   *cdc.Table

	mu        sync.Mutex
	assembler cdc.Assembler
	next      uint32
}

func newPlace(t testing.TB, adjust ...func(*Options)) *place {
	t.Helper()
	hub, err := fanout.NewHub(fanout.Options{QueueBytes: 1 << 20, Log: zap.NewNop(), Channels: []fanout.Channel{{
		Name: "message", Schema: "public", Table: "message",
		Scopes: []fanout.Scope{{Column: "conversation_id", Type: fanout.Int8, TypeOID: 20}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	options := Options{
		Hub: hub, Log: alert(t), MaxConnections: 100, MaxSubscriptions: 1000,
		PingInterval: time.Minute, PingTimeout: time.Minute, WriteTimeout: patience,
	}
	for _, f := range adjust {
		f(&options)
	}
	number := func(dst, text []byte) []byte { return append(dst, text...) }
	p := &place{t: t, hub: hub, gateway: New(options), table: &cdc.Table{OID: 1, Schema: "public", Name: "message", Columns: []cdc.Column{
		{Name: "id", TypeOID: 20, Key: true, Identity: true, JSON: number},
		{Name: "conversation_id", TypeOID: 20, Identity: true, JSON: number},
		{Name: "body", TypeOID: 25, Identity: true},
	}}}
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if v := recover(); v != nil { // the server would keep it to itself
				t.Errorf("panic: %v", v)
			}
		}()
		p.gateway.ServeHTTP(w, r)
	}))
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		p.gateway.Drain(ctx)
		p.server.Close()
		if s := p.gateway.Stats(); s.Connections != 0 {
			t.Errorf("%d connections are left", s.Connections)
		}
		if s := p.hub.Stats(); s.Clients != 0 || s.Subscriptions != 0 || s.QueueBytes != 0 {
			t.Errorf("the hub is left with %+v", s)
		}
	})
	return p
}

// alert is a log in which an error, such as a panic that was caught, fails the test.
func alert(t testing.TB) *zap.Logger {
	core := zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(io.Discard), zap.ErrorLevel)
	return zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		t.Errorf("logged: %s\n%s", e.Message, e.Stack)
		return nil
	}))
}

// deliver feeds the hub a transaction. A message with no before was inserted, one with no after deleted.
func (p *place) deliver(op cdc.Op, before, after cdc.Row) {
	p.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.next++
	at := cdc.LSN(p.next) * 10
	err := p.assembler.Begin(p.next, at, time.Unix(0, 0))
	if err == nil {
		err = p.assembler.Add(op, p.table, before, after)
	}
	tx, commitErr := p.assembler.Commit(at, at+1)
	if err = errors.Join(err, commitErr); err != nil {
		p.t.Fatal(err)
	}
	p.hub.Deliver(tx)
}

func message(id, conversation int, body string) cdc.Row {
	text := func(v any) cdc.Value { return cdc.Value{State: cdc.Text, Text: fmt.Append(nil, v)} }
	row, err := cdc.AppendRow(nil, []cdc.Value{text(id), text(conversation), text(body)})
	if err != nil {
		panic(err)
	}
	return row
}

func subscription(conversation int) string {
	return fmt.Sprintf(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":%d}}`, conversation)
}

func subscribed(conversation int) string {
	return fmt.Sprintf(`{"type":"subscribed","channel":"message","scope":{"col":"conversation_id","value":%d}}`, conversation)
}

// peer is a client as browsers are: it speaks WebSocket through a library.
type peer struct {
	t    testing.TB
	conn *websocket.Conn
}

func (p *place) dial(header ...string) *peer {
	p.t.Helper()
	options := &websocket.DialOptions{HTTPHeader: http.Header{}}
	for i := 0; i < len(header); i += 2 {
		options.HTTPHeader.Set(header[i], header[i+1])
	}
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, p.server.URL, options) //nolint:bodyclose // an upgraded connection's answer has none
	if err != nil {
		p.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	p.t.Cleanup(func() { _ = conn.CloseNow() })
	return &peer{p.t, conn}
}

func (c *peer) send(frames ...string) {
	c.t.Helper()
	for _, frame := range frames {
		ctx, cancel := context.WithTimeout(c.t.Context(), patience)
		err := c.conn.Write(ctx, websocket.MessageText, []byte(frame))
		cancel()
		if err != nil {
			c.t.Fatal(err)
		}
	}
}

func (c *peer) next() (string, error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	kind, frame, err := c.conn.Read(ctx)
	if err == nil && kind != websocket.MessageText {
		return "", errors.New("a binary frame came")
	}
	return string(frame), err
}

func (c *peer) expect(frames ...string) {
	c.t.Helper()
	for _, want := range frames {
		got, err := c.next()
		if err != nil {
			c.t.Fatalf("%v, want %s", err, want)
		}
		if got != want {
			c.t.Fatalf("got %s\nwant %s", got, want)
		}
	}
}

// closed reads on until the connection is closed and expects the code, with its reason.
func (c *peer) closed(want protocol.Close) {
	c.t.Helper()
	for {
		_, err := c.next()
		if err == nil {
			continue
		}
		if !closedWith(err, want) {
			c.t.Errorf("%v, want a close frame with %d", err, want)
		}
		return
	}
}

func closedWith(err error, want protocol.Close) bool {
	var closed websocket.CloseError
	return errors.As(err, &closed) && protocol.Close(closed.Code) == want && closed.Reason == want.Reason()
}

// rawPeer is a client that does as the test pleases: it answers no ping, and reads only when it is told to.
type rawPeer struct {
	t    testing.TB
	conn *net.TCPConn
	in   *bufio.Reader
}

const upgrade = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// dialRaw upgrades a connection and sends what is to follow the request in the same packet.
func (p *place) dialRaw(follows ...[]byte) *rawPeer {
	p.t.Helper()
	return p.dialRawWith(upgrade, follows...)
}

// dialRawWith is dialRaw with a request of its own. No extension may be agreed upon.
func (p *place) dialRawWith(request string, follows ...[]byte) *rawPeer {
	p.t.Helper()
	conn, err := net.Dial("tcp", p.server.Listener.Addr().String())
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { conn.Close() })
	c := &rawPeer{p.t, conn.(*net.TCPConn), bufio.NewReader(conn)}
	c.write(append([]byte(request), bytes.Join(follows, nil)...))
	if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		p.t.Fatal(err)
	}
	response, err := http.ReadResponse(c.in, nil) //nolint:bodyclose // an upgraded connection's answer has none
	if err != nil || response.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatalf("upgrade: %v, %v", response, err)
	}
	if extensions := response.Header.Get("Sec-WebSocket-Extensions"); extensions != "" {
		p.t.Fatalf("the extensions %q were agreed upon", extensions)
	}
	return c
}

func (c *rawPeer) write(b []byte) {
	c.t.Helper()
	if _, err := c.conn.Write(b); err != nil {
		c.t.Fatal(err)
	}
}

const (
	textFrame   = 0x81
	binaryFrame = 0x82
	closeFrame  = 0x88
	pingFrame   = 0x89
	pongFrame   = 0x8A
)

// clientFrame is a masked frame (RFC 6455, section 5.2); the mask is zero.
func clientFrame(op byte, payload []byte) []byte {
	const masked = 0x80
	frame := []byte{op}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, masked|byte(n))
	case n < 1<<16:
		frame = append(frame, masked|126, byte(n>>8), byte(n))
	default:
		frame = append(frame, masked|127, 0, 0, 0, 0, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	return append(append(frame, 0, 0, 0, 0), payload...)
}

// read returns the next frame. It knows what our server sends: whole frames, unmasked.
func (c *rawPeer) read() (op byte, payload []byte, err error) {
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return 0, nil, err
	}
	head := make([]byte, 2)
	if _, err := readFull(c.in, head); err != nil {
		return 0, nil, err
	}
	size, more := int(head[1]), 0
	switch size {
	case 126:
		more = 2
	case 127:
		more = 8
	}
	if more > 0 {
		length := make([]byte, more)
		if _, err := readFull(c.in, length); err != nil {
			return 0, nil, err
		}
		size = 0
		for _, b := range length {
			size = size<<8 | int(b)
		}
	}
	payload = make([]byte, size)
	_, err = readFull(c.in, payload)
	return head[0], payload, err
}

// closed reads to the end: whole frames only, then the close frame with the code, and nothing behind it.
func (c *rawPeer) closed(want protocol.Close) {
	c.t.Helper()
	for {
		op, payload, err := c.read()
		if err != nil {
			c.t.Fatalf("%v, want a close frame with %d", err, want)
		}
		if op != closeFrame {
			continue
		}
		if code := protocol.Close(payload[0])<<8 | protocol.Close(payload[1]); code != want || string(payload[2:]) != want.Reason() {
			c.t.Errorf("closed with %d %q, want %d %q", code, payload[2:], want, want.Reason())
		}
		break
	}
	if op, payload, err := c.read(); err == nil {
		c.t.Errorf("behind the close frame: %x %q", op, payload)
	}
}

// gone reads until the connection has ended, however it did.
func (c *rawPeer) gone() {
	c.t.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.in.WriteTo(discard{}); isTimeout(err) {
		c.t.Fatal("the connection is still there")
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func readFull(r *bufio.Reader, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		m, err := r.Read(p[n:])
		n += m
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// until waits for a condition.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain until %s", what)
		}
	}
}

func large(n int) string { return strings.Repeat("x", n) }
