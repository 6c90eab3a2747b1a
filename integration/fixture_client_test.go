package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"nhooyr.io/websocket"
)

// client is a strict WebSocket client. It keeps a view of each subscription, and any frame that does not fit fails the
// test. It belongs to one goroutine.
type client struct {
	t     *testing.T
	conn  *websocket.Conn
	views map[string]*view
}

// connect opens a connection, which ends with the test.
func connect(t *testing.T, g *gateway) *client {
	t.Helper()
	c, status, err := dial(t, g)
	if err != nil {
		t.Fatalf("connect to %s: %v (status %d)", g.clients, err, status)
	}
	return c
}

// dial is connect for connections that may be refused. Status is that of the upgrade, 0 where nobody answers.
func dial(t *testing.T, g *gateway) (c *client, status int, err error) {
	t.Helper()
	return dialWith(t, g.clients, nil)
}

// dialWith is dial with a header and subprotocols.
func dialWith(t *testing.T, address string, header http.Header, subprotocols ...string) (c *client, status int, err error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	// A small buffer: what the client does not read soon waits in the gateway.
	dialer := &net.Dialer{Control: smallReceiveBuffer}
	transport := &http.Transport{DialContext: dialer.DialContext}
	options := &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}, HTTPHeader: header, Subprotocols: subprotocols}
	conn, response, err := websocket.Dial(ctx, address, options) //nolint:bodyclose // the connection is the body
	if response != nil {
		status = response.StatusCode
	}
	if err != nil {
		return nil, status, err
	}
	conn.SetReadLimit(64 << 20)
	t.Cleanup(func() { _ = conn.CloseNow() })
	return &client{t: t, conn: conn, views: map[string]*view{}}, status, nil
}

func smallReceiveBuffer(_, _ string, raw syscall.RawConn) error {
	var err error
	control := raw.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, 64<<10)
	})
	return errors.Join(control, err)
}

// subscribe asks for the rows whose column has the value, in JSON, and waits until the subscription has begun.
func (c *client) subscribe(channel, column, value string) *view {
	c.t.Helper()
	v := c.ask(channel, column, value)
	c.until("the subscription begins", func() bool { return v.subscribed > 0 })
	return v
}

// subscribeWithSnapshot is subscribe where a snapshot follows, and waits for it.
func (c *client) subscribeWithSnapshot(channel, column, value string) *view {
	c.t.Helper()
	v := c.subscribe(channel, column, value)
	c.until("the snapshot has come", func() bool { return v.snapshots == 1 })
	return v
}

// ask is subscribe without waiting.
func (c *client) ask(channel, column, value string) *view {
	c.t.Helper()
	scope := fmt.Sprintf(`{"col":%q,"value":%s}`, column, value)
	v := newView(channel, scope, column, value)
	c.views[channel+scope] = v
	c.send(fmt.Sprintf(`{"type":"subscribe","channel":%q,"scope":%s}`, channel, scope))
	return v
}

func (c *client) unsubscribe(v *view) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"type":"unsubscribe","channel":%q,"scope":%s}`, v.channel, v.scope))
}

func (c *client) send(frame string) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageText, []byte(frame)); err != nil {
		c.t.Fatalf("send %s: %v", frame, err)
	}
}

// next reads one frame into its view.
func (c *client) next(deadline time.Time) error {
	frame, err := c.receive(deadline)
	if err != nil {
		return err
	}
	return c.apply(frame)
}

func (c *client) receive(deadline time.Time) ([]byte, error) {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	kind, frame, err := c.conn.Read(ctx)
	if err != nil {
		return nil, fmt.Errorf("read a frame: %w", err)
	}
	if kind != websocket.MessageText {
		return nil, fmt.Errorf("a frame is %s", kind)
	}
	return frame, nil
}

func (c *client) apply(frame []byte) error {
	var f serverFrame
	decoder := json.NewDecoder(bytes.NewReader(frame))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&f); err != nil {
		return fmt.Errorf("frame %s: %w", frame, err)
	}
	v := c.views[f.Channel+string(f.Scope)]
	if v == nil {
		return fmt.Errorf("frame %s is about no subscription of this client", frame)
	}
	if err := v.apply(&f); err != nil {
		return fmt.Errorf("frame %s: %w", frame, err)
	}
	return nil
}

// read is until for other goroutines than the test's.
func (c *client) read(condition func() bool) error {
	deadline := time.Now().Add(patience)
	for !condition() {
		if err := c.next(deadline); err != nil {
			return err
		}
	}
	return nil
}

// until reads frames until the condition holds.
func (c *client) until(what string, condition func() bool) {
	c.t.Helper()
	if err := c.read(condition); err != nil {
		c.t.Fatalf("wait until %s: %v", what, err)
	}
}

// expect reads as many frames as are given and compares them, byte for byte. It alone takes an error frame for no failure.
func (c *client) expect(frames ...string) {
	c.t.Helper()
	for _, want := range frames {
		got, err := c.receive(time.Now().Add(patience))
		if err != nil {
			c.t.Fatalf("%v, want %s", err, want)
		}
		compact := compacted(want)
		if string(got) != compact {
			c.t.Fatalf("got frame\n%s\nwant\n%s", got, compact)
		}
		if strings.HasPrefix(compact, `{"type":"error"`) {
			continue
		}
		if err := c.apply(got); err != nil {
			c.t.Fatal(err)
		}
	}
}

// expectClose reads until the gateway closes the connection.
func (c *client) expectClose(code websocket.StatusCode, reason string) {
	c.t.Helper()
	if err := c.readToClose(code, reason); err != nil {
		c.t.Fatal(err)
	}
}

// readToClose is expectClose for other goroutines than the test's.
func (c *client) readToClose(code websocket.StatusCode, reason string) error {
	return closedWith(c.read(func() bool { return false }), code, reason)
}

// closedWith tells by its error if what ended the reading was no such close frame.
func closedWith(err error, code websocket.StatusCode, reason string) error {
	var closed websocket.CloseError
	if !errors.As(err, &closed) || closed.Code != code || closed.Reason != reason {
		return fmt.Errorf("the connection ended with %w, want %d %q", err, code, reason)
	}
	return nil
}

func compacted(text string) string {
	var b bytes.Buffer
	if err := json.Compact(&b, []byte(text)); err != nil {
		return text
	}
	return b.String()
}
