package gateway

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

func TestFrames(t *testing.T) {
	p := newPlace(t)
	c := p.dial()
	c.send(subscription(42))
	c.expect(subscribed(42))

	change := func(event string) string {
		return `{"type":"change","channel":"message","scope":{"col":"conversation_id","value":42},"event":{` + event + `}}`
	}
	p.deliver(cdc.Insert, nil, message(1, 42, "Lunch?"))
	c.expect(change(`"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":42,"body":"Lunch?"}`))
	p.deliver(cdc.Update, message(1, 42, "Lunch?"), message(1, 42, "Lunch!"))
	c.expect(change(`"type":"afterUpdate","schemaName":"public","tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":42,"body":"Lunch!"},"changed":{"body":"Lunch!"}`))
	p.deliver(cdc.Delete, message(1, 42, "Lunch!"), nil)
	c.expect(change(`"type":"afterDelete","schemaName":"public","tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":42,"body":"Lunch!"}`))

	// No reply to unsubscribe, and nothing behind it.
	c.send(strings.Replace(subscription(42), "subscribe", "unsubscribe", 1))
	until(t, "the subscription has ended", func() bool { return p.hub.Stats().Subscriptions == 0 })
	p.deliver(cdc.Insert, nil, message(2, 42, "Dinner?"))
	c.send(subscription(43))
	c.expect(subscribed(43))

	p.deliver(cdc.Truncate, nil, nil)
	c.closed(protocol.CloseServiceRestart)
	until(t, "the session has ended", func() bool { return p.gateway.Stats().Connections == 0 })
}

func TestRefusalsLeaveTheConnectionOpen(t *testing.T) {
	p := newPlace(t)
	c := p.dial()
	for _, tc := range []struct{ frame, code string }{
		{`{`, "invalid_json"},
		{``, "invalid_json"},
		{`[]`, "invalid_json"},
		{`{"type":"subscribe","type":"subscribe"}`, "invalid_json"},
		{"\xff", "invalid_json"},
		{`{}`, "unknown_message_type"},
		{`{"type":"heartbeat"}`, "unknown_message_type"},
		{`{"type":"subscribe","channel":"nothing","scope":{"col":"id","value":1}}`, "unknown_channel"},
		{`{"type":"subscribe","channel":"message"}`, "invalid_scope"},
		{`{"type":"subscribe","channel":"message","scope":{"col":"body","value":1}}`, "invalid_scope"},
		{`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":"x"}}`, "invalid_scope"},
		{`{"type":"unsubscribe","channel":"message","scope":{"col":"conversation_id","value":"x"}}`, "invalid_scope"},
	} {
		c.send(tc.frame)
		c.expect(`{"type":"error","code":"` + tc.code + `"}`)
	}
	if err := c.conn.Write(t.Context(), websocket.MessageBinary, []byte(subscription(42))); err != nil {
		t.Fatal(err)
	}
	c.expect(`{"type":"error","code":"invalid_json"}`)
	c.send(subscription(42))
	c.expect(subscribed(42))
}

func TestSubprotocol(t *testing.T) {
	p := newPlace(t)
	for _, tc := range []struct {
		offered []string
		want    string
	}{
		{nil, ""}, {[]string{"mtbreactive"}, "mtbreactive"}, {[]string{"other", "mtbreactive"}, "mtbreactive"}, {[]string{"other"}, ""},
	} {
		c, _, err := websocket.Dial(t.Context(), p.server.URL, &websocket.DialOptions{Subprotocols: tc.offered}) //nolint:bodyclose // there is none
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Subprotocol(); got != tc.want {
			t.Errorf("offered %q, got %q, want %q", tc.offered, got, tc.want)
		}
		_ = c.CloseNow()
	}
}

// A client need not wait for the answer to its upgrade request before it sends its first frame.
func TestFirstFrameBehindTheRequest(t *testing.T) {
	p := newPlace(t)
	c := p.dialRaw(clientFrame(textFrame, []byte(subscription(42))))
	if op, payload, err := c.read(); err != nil || op != textFrame || string(payload) != subscribed(42) {
		t.Errorf("%x %q, %v", op, payload, err)
	}
}

func TestW06FrameSize(t *testing.T) {
	fill := func(size int) string { // valid up to the last byte
		frame := subscription(42)
		return frame + strings.Repeat(" ", size-len(frame))
	}
	p := newPlace(t)
	c := p.dial()
	c.send(fill(65_536))
	c.expect(subscribed(42))
	c.send(fill(65_537))
	c.closed(protocol.CloseFrameTooBig)
}

// The client sees why, also while it goes on sending, and nothing is torn: what was queued comes before.
func TestW06FrameTooBigOfAClientThatGoesOn(t *testing.T) {
	p := newPlace(t)
	for _, op := range []byte{textFrame, binaryFrame} {
		c := p.dialRaw(clientFrame(textFrame, []byte(subscription(42))))
		c.write(clientFrame(op, []byte(large(1<<20))))
		for range 16 {
			c.write(clientFrame(textFrame, []byte(large(65_000))))
		}
		c.closed(protocol.CloseFrameTooBig)
	}
}

func TestW07TooManySubscriptions(t *testing.T) {
	p := newPlace(t, func(o *Options) { o.MaxSubscriptions = 10 })
	c := p.dial()
	for i := range 10 {
		c.send(subscription(i))
		c.expect(subscribed(i))
	}
	c.send(subscription(3)) // one that it has
	c.expect(subscribed(3))
	c.send(subscription(10))
	c.closed(protocol.CloseLimitExceeded)
}

// Over the limit nothing gathers, however long the client makes its goodbye last.
func TestW07TooManySubscriptionsOfAClientThatGoesOn(t *testing.T) {
	p := newPlace(t, func(o *Options) { o.MaxSubscriptions = 10 })
	var flood []byte
	for i := range 5000 {
		flood = append(flood, clientFrame(textFrame, []byte(subscription(i)))...)
	}
	c := p.dialRaw(flood)
	until(t, "the limit is reached or the session has ended", func() bool {
		s := p.hub.Stats()
		if s.Subscriptions > 11 {
			t.Fatalf("%d subscriptions, the limit is 10", s.Subscriptions)
		}
		return s.Subscriptions == 11 || p.gateway.Stats().Connections == 0
	})
	c.closed(protocol.CloseLimitExceeded)
	if n := p.hub.Stats().Subscriptions; n > 11 {
		t.Errorf("%d subscriptions, the limit is 10", n)
	}
}

func TestW07TooManyConnections(t *testing.T) {
	p := newPlace(t, func(o *Options) { o.MaxConnections = 2 })
	first, second := p.dial(), p.dial()
	third := p.dial()
	third.closed(protocol.CloseLimitExceeded)
	for i, c := range []*peer{first, second} {
		c.send(subscription(i))
		c.expect(subscribed(i))
	}
	if s := p.gateway.Stats(); s.Connections != 2 || s.Accepted != 2 || s.Rejected != 1 {
		t.Errorf("%+v", s)
	}
	_ = first.conn.Close(websocket.StatusNormalClosure, "")
	until(t, "a place is free", func() bool { return p.gateway.Stats().Connections == 1 })
	fourth := p.dial()
	fourth.send(subscription(4))
	fourth.expect(subscribed(4))
}

// Beyond the few that are told so in the protocol's own way, a flood costs an HTTP answer each.
func TestW07FloodOfConnections(t *testing.T) {
	p := newPlace(t, func(o *Options) { o.MaxConnections = 0 })
	p.reject(maxRejecting) // all who are being told so take their time
	p.unavailable()
	p.reject(-1)
	p.dial().closed(protocol.CloseLimitExceeded)
	until(t, "the place is free again", func() bool {
		p.gateway.mu.Lock()
		defer p.gateway.mu.Unlock()
		return p.gateway.rejecting == maxRejecting-1
	})
}

func (p *place) reject(n int) {
	p.gateway.mu.Lock()
	defer p.gateway.mu.Unlock()
	p.gateway.rejecting += n
}

// unavailable asks for an upgrade and expects to be told to come again later.
func (p *place) unavailable() {
	p.t.Helper()
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, p.server.URL, http.NoBody)
	if err != nil {
		p.t.Fatal(err)
	}
	for k, v := range map[string]string{
		"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
	} {
		request.Header.Set(k, v)
	}
	response, err := p.server.Client().Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable || response.Header.Get("Retry-After") == "" {
		p.t.Errorf("%s, %v, want 503 with Retry-After", response.Status, response.Header)
	}
}

func TestNotServing(t *testing.T) {
	var serving atomic.Bool
	p := newPlace(t, func(o *Options) { o.Serving = serving.Load })
	p.unavailable()
	serving.Store(true)
	c := p.dial()
	c.send(subscription(42))
	c.expect(subscribed(42))
}

// fall makes a client fall behind: it delivers until its queue is given up.
func (p *place) fall() (delivered int) {
	p.t.Helper()
	until(p.t, "the client is given up", func() bool {
		before := p.hub.Stats().Frames
		p.deliver(cdc.Insert, nil, message(delivered, 42, large(100_000)))
		delivered++
		return p.hub.Stats().Frames == before
	})
	return delivered
}

// A client that falls behind and reads on gets a part from the beginning, whole frames, and then why it ends there.
func TestW02SlowConsumerSeesWhy(t *testing.T) {
	p := newPlace(t)
	c := p.dialRaw(clientFrame(textFrame, []byte(subscription(42))))
	if _, payload, err := c.read(); err != nil || string(payload) != subscribed(42) {
		t.Fatalf("%q, %v", payload, err)
	}
	delivered := p.fall()
	for i := range delivered {
		op, payload, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if op == closeFrame {
			if code := protocol.Close(payload[0])<<8 | protocol.Close(payload[1]); code != protocol.CloseSlowConsumer {
				t.Errorf("closed with %d", code)
			}
			return
		}
		if want := fmt.Sprintf(`"primaryKey":{"id":%d}`, i); !strings.Contains(string(payload), want) {
			t.Fatalf("frame %d: %.200s", i, payload)
		}
	}
	c.closed(protocol.CloseSlowConsumer)
}

// The same while it sends more than anybody reads, and with a goodbye that has to wait for room.
func TestW01SlowConsumerThatSends(t *testing.T) {
	p := newPlace(t)
	c := p.dialRaw(clientFrame(textFrame, []byte(subscription(42))))
	p.until(1)
	p.fall()
	for i := range 200 {
		c.write(clientFrame(textFrame, []byte(subscription(i))))
	}
	c.closed(protocol.CloseSlowConsumer)
}

func (p *place) until(subscriptions int) {
	p.t.Helper()
	until(p.t, "it is subscribed", func() bool { return p.hub.Stats().Subscriptions == subscriptions })
}

// One that never reads is cut off, and leaves nothing.
func TestW01ClientThatNeverReads(t *testing.T) {
	p := newPlace(t, func(o *Options) { o.WriteTimeout = 50 * time.Millisecond })
	p.dialRaw(clientFrame(textFrame, []byte(subscription(42))))
	p.until(1)
	p.fall()
	until(t, "nothing of it is left", func() bool {
		hub := p.hub.Stats()
		return p.gateway.Stats().Connections == 0 && hub.Clients == 0 && hub.Subscriptions == 0 && hub.QueueBytes == 0
	})
}

// A peer that answers nothing, as one whose cable was pulled, is ended.
func TestW03HalfOpenPeer(t *testing.T) {
	p := newPlace(t, func(o *Options) { o.PingInterval, o.PingTimeout = 20*time.Millisecond, 20*time.Millisecond })
	c := p.dialRaw(clientFrame(textFrame, []byte(subscription(42))))
	p.until(1)
	c.gone()
	until(t, "nothing of it is left", func() bool { return p.gateway.Stats().Connections == 0 && p.hub.Stats().Clients == 0 })
}

// A healthy client that has nothing to say stays, over many pings and past every deadline of a write.
func TestIdleClientLives(t *testing.T) {
	p := newPlace(t, func(o *Options) {
		o.PingInterval, o.PingTimeout, o.WriteTimeout = 40*time.Millisecond, patience, 10*time.Millisecond
	})
	c := p.dialRaw(clientFrame(textFrame, []byte(subscription(42))))
	if op, payload, err := c.read(); err != nil || op != textFrame {
		t.Fatalf("%x %q, %v", op, payload, err)
	}
	for range 10 {
		op, payload, err := c.read()
		if err != nil || op != pingFrame {
			t.Fatalf("%x %q, %v, want a ping", op, payload, err)
		}
		c.write(clientFrame(pongFrame, payload))
	}
	p.deliver(cdc.Insert, nil, message(1, 42, "Lunch?"))
	for {
		op, payload, err := c.read()
		if err != nil {
			t.Fatal(err)
		}
		if op == textFrame {
			if !strings.Contains(string(payload), "Lunch?") {
				t.Errorf("%s", payload)
			}
			return
		}
		c.write(clientFrame(pongFrame, payload))
	}
}

// The client's own pings and its goodbye are answered.
func TestClientsControlFrames(t *testing.T) {
	p := newPlace(t)
	c := p.dial()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	reading := c.conn.CloseRead(ctx)
	if err := c.conn.Ping(ctx); err != nil {
		t.Error(err)
	}
	_ = c.conn.CloseNow()
	<-reading.Done()
	// A connection that nothing else reads: the library's Close misses the answer where another reader was given it.
	if err := p.dial().conn.Close(websocket.StatusNormalClosure, ""); err != nil {
		t.Error(err)
	}
	until(t, "the session has ended", func() bool { return p.gateway.Stats().Connections == 0 })
}
