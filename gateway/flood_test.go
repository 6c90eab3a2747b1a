package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// dialExtended is dial for a client of the extended protocol, which takes the welcome.
func (p *place) dialExtended(header http.Header) *peer {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), patience)
	defer cancel()
	options := &websocket.DialOptions{HTTPHeader: header, Subprotocols: []string{protocol.ExtendedSubprotocol}}
	conn, _, err := websocket.Dial(ctx, p.server.URL, options) //nolint:bodyclose // an upgraded connection's answer has none
	if err != nil {
		p.t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	p.t.Cleanup(func() { _ = conn.CloseNow() })
	c := &peer{p.t, conn}
	if frame, err := c.next(); err != nil || !strings.HasPrefix(frame, `{"type":"welcome"`) {
		p.t.Fatalf("%s, %v, want a welcome", frame, err)
	}
	return c
}

// Whatever a client sends without end, and whether it reads the answers or not, it is told that it is too much, it holds no
// more than its queue, and others are served meanwhile.
func TestW07FloodOfMessages(t *testing.T) {
	for name, sent := range map[string]string{
		"subscribe":                  subscription(42),
		"unsubscribe":                strings.Replace(subscription(42), "subscribe", "unsubscribe", 1),
		"not JSON":                   `{`,
		"since":                      strings.Replace(subscription(42), `}}`, `},"since":"AV_H3DNZ14vuyO6sCwA"}`, 1),
		"since nonsense":             strings.Replace(subscription(42), `}}`, `},"since":"nonsense"}`, 1),
		"waitFor":                    `{"type":"waitFor","lsn":"0/0"}`,
		"heartbeat":                  `{"type":"heartbeat"}`,
		"auth where nobody is asked": `{"type":"auth","token":"x"}`,
	} {
		for _, upgraded := range []string{upgrade, strings.Replace(upgrade, "\r\n\r\n", "\r\nSec-WebSocket-Protocol: mtbreactive.v2\r\n\r\n", 1)} {
			extended := upgraded != upgrade
			t.Run(fmt.Sprintf("%s, extended %t", name, extended), func(t *testing.T) {
				p := newPlace(t, func(o *Options) { o.MaxMessages, o.MaxSubscriptions = 10, 50 })
				other := p.dial()
				other.send(subscription(7))
				other.expect(subscribed(7))
				flood := bytes.Repeat(clientFrame(textFrame, []byte(sent)), 5000)
				c := p.dialRawWith(upgraded)
				written := make(chan struct{})
				go func() {
					defer close(written)
					_, _ = c.conn.Write(flood) // it may be cut off
				}()
				p.deliver(cdc.Insert, nil, message(1, 7, "Lunch?"))
				if frame, err := other.next(); err != nil || !strings.Contains(frame, `"change"`) {
					t.Errorf("the other client got %s, %v", frame, err)
				}
				c.closed(protocol.CloseLimitExceeded)
				_ = c.conn.Close()
				<-written
			})
		}
	}
}

// What a client needs when it comes back is no flood: all its subscriptions at once.
func TestW07ComingBackIsNoFlood(t *testing.T) {
	p := newPlace(t, func(o *Options) { o.MaxMessages, o.MaxSubscriptions = 1, 200 })
	c := p.dial()
	for n := range 200 {
		c.send(subscription(n))
		c.expect(subscribed(n))
	}
}

// gate lets in whom a test says.
type gate struct {
	verified atomic.Int64
	expires  time.Time
}

var errGate = errors.New("not let in")

func (g *gate) Authenticate(r *http.Request) (*auth.Principal, error) {
	return g.Verify(r.Context(), r.Header.Get("Authorization"))
}

func (g *gate) Verify(_ context.Context, token string) (*auth.Principal, error) {
	g.verified.Add(1)
	if token != "good" {
		return nil, errGate
	}
	return auth.NewPrincipal(map[string]any{"sub": "ada"}, g.expires)
}

// A token costs a signature to be checked: a client renews its own a few times in a row, and then has to go.
func TestW07FloodOfTokens(t *testing.T) {
	g := &gate{expires: time.Now().Add(time.Hour)}
	p := newPlace(t, func(o *Options) { o.Authenticate = g })
	c := p.dialExtended(http.Header{"Authorization": {"good"}})
	for range 500 {
		if c.conn.Write(t.Context(), websocket.MessageText, []byte(`{"type":"auth","token":"good"}`)) != nil {
			break // it was told already
		}
	}
	c.closed(protocol.CloseLimitExceeded)
	if n := g.verified.Load(); n > maxRenewals+2 {
		t.Errorf("%d tokens were verified", n)
	}
}

// Those who do not get in are told so, and however long they take to hear it, they leave the places to those who do.
func TestW07FloodOfTheUnauthenticated(t *testing.T) {
	p := newPlace(t, func(o *Options) { o.Authenticate, o.MaxConnections = &gate{}, 1 })
	var waiting []*rawPeer
	for range 20 {
		waiting = append(waiting, p.dialRaw()) // none of them answers the close frame
	}
	c := p.dial("Authorization", "good")
	c.send(subscription(42))
	c.expect(subscribed(42))
	for _, w := range waiting {
		w.closed(protocol.CloseUnauthorized)
	}
	p.reject(maxRejecting)
	defer p.reject(-maxRejecting)
	_ = c.conn.CloseNow()
	until(t, "the place is free", func() bool { return p.gateway.Stats().Connections == 0 })
	_, response, err := websocket.Dial(t.Context(), p.server.URL, nil) //nolint:bodyclose // the library has read it
	if err == nil || response == nil || response.StatusCode != http.StatusUnauthorized {
		t.Errorf("%v, %v, want 401", response, err)
	}
}

// A clock that is set, or that has gone on while the machine slept, ends a connection as a timer would have.
func TestW17ExpiryFollowsTheClock(t *testing.T) {
	var ahead atomic.Int64
	p := newPlace(t, func(o *Options) {
		o.Authenticate = &gate{expires: time.Now().Add(time.Hour)}
		o.PingInterval = 10 * time.Millisecond
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	c := p.dial("Authorization", "good")
	c.send(subscription(42))
	c.expect(subscribed(42))
	ahead.Store(int64(59 * time.Minute))
	c.send(subscription(43))
	c.expect(subscribed(43))
	ahead.Store(int64(61 * time.Minute))
	c.closed(protocol.CloseUnauthorized)
}

// Nor can anybody stay by taking in what is queued as slowly as is allowed.
func TestW17ExpiryOfAClientThatReadsSlowly(t *testing.T) {
	var ahead atomic.Int64
	p := newPlace(t, func(o *Options) {
		o.Authenticate = &gate{expires: time.Now().Add(time.Hour)}
		o.WriteTimeout = time.Hour
		o.Now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	p.dialRawWith(strings.Replace(upgrade, "\r\n\r\n", "\r\nAuthorization: good\r\n\r\n", 1), clientFrame(textFrame, []byte(subscription(42))))
	p.until(1)
	for n := 0; p.hub.Stats().QueueBytes < 500_000; n++ { // a write is under way that it does not take
		p.deliver(cdc.Insert, nil, message(n, 42, large(100_000)))
	}
	for range 2 {
		ahead.Add(int64(2 * time.Hour))
		for _, s := range p.gateway.all() {
			s.overstayed() // as a heartbeat does
		}
	}
	until(t, "nothing of it is left", func() bool { return p.gateway.Stats().Connections == 0 })
}

// Compression is never agreed upon, so a frame that says it is compressed is none.
func TestW06NoCompression(t *testing.T) {
	p := newPlace(t)
	offers := strings.Replace(upgrade, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n", 1)
	for _, frame := range [][]byte{
		clientFrame(0xC1, []byte{0xaa, 0x56, 0x2a, 0xa9, 0x2c, 0x48, 0x55, 0xb2, 0x52, 0x4a, 0xad, 0x28, 0x48, 0xcc, 0x4b, 0x51, 0xaa, 0x05, 0x00}),
		clientFrame(0xC1, bytes.Repeat([]byte{0}, 60_000)),
	} {
		p.dialRawWith(offers, frame).gone()
	}
	if n := p.gateway.Stats().Accepted; n != 2 {
		t.Errorf("%d connections", n)
	}
}
