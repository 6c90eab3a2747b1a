package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// Frames of all sizes to a peer that is behind again and again, while it pings and is pinged: none is torn, all come, in
// order, and every ping is answered.
func TestNoFrameIsTorn(t *testing.T) {
	const frames, pings = 400, 100
	p := newPlace(t, func(o *Options) { o.PingInterval = 5 * time.Millisecond })
	c := p.dialRaw(clientFrame(textFrame, []byte(subscription(42))))
	p.until(1)
	if err := c.conn.SetReadBuffer(64 << 10); err != nil {
		t.Fatal(err)
	}
	send := func(frame []byte) {
		if _, err := c.conn.Write(frame); err != nil {
			t.Error(err)
		}
	}
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := range pings {
			send(clientFrame(pingFrame, fmt.Append(nil, i)))
		}
	})
	writing.Go(func() {
		for i := range frames {
			size := []int{1, 100, 3000, 70_000}[i%4]
			for p.hub.Stats().QueueBytes > 800_000 {
				time.Sleep(time.Millisecond) // it is to be behind, not too slow
			}
			p.deliver(cdc.Insert, nil, message(i, 42, large(size)))
		}
	})
	next, answered := 0, 0
	for next < frames || answered < pings {
		op, payload, err := c.read()
		if err != nil {
			t.Fatalf("%v, after %d frames and %d pongs", err, next, answered)
		}
		switch op {
		case pongFrame:
			if string(payload) != fmt.Sprint(answered) {
				t.Fatalf("pong %q, want %d", payload, answered)
			}
			answered++
		case pingFrame:
			writing.Go(func() { send(clientFrame(pongFrame, payload)) })
		case textFrame:
			if strings.HasPrefix(string(payload), `{"type":"subscribed"`) {
				continue
			}
			want := fmt.Sprintf(`"primaryKey":{"id":%d}`, next)
			if !strings.Contains(string(payload), want) || !strings.HasSuffix(string(payload), `x"}}}`) {
				t.Fatalf("frame %d: %.200s", next, payload)
			}
			next++
		default:
			t.Fatalf("%x %.100q", op, payload)
		}
	}
	writing.Wait()
	if s := p.gateway.Stats(); s.Frames < frames || s.Writes == 0 {
		t.Errorf("%+v", s)
	}
}

// Nothing follows a close frame, whoever said goodbye, also while frames are being sent.
func TestNothingFollowsAGoodbye(t *testing.T) {
	for name, end := range map[string]func(*place, *rawPeer){
		"theirs": func(_ *place, c *rawPeer) { c.write(clientFrame(closeFrame, []byte("\x03\xe8"))) },
		"ours":   func(p *place, _ *rawPeer) { p.gateway.all()[0].client.Close(protocol.CloseGoingAway) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			c := p.dialRaw(clientFrame(textFrame, []byte(subscription(42))))
			p.until(1)
			stop, delivering := make(chan struct{}), sync.WaitGroup{}
			delivering.Go(func() {
				for i := 0; ; i++ {
					select {
					case <-stop:
						return
					default:
						p.deliver(cdc.Insert, nil, message(i, 42, large(i%3000)))
						for p.hub.Stats().QueueBytes > 800_000 {
							time.Sleep(time.Millisecond)
						}
					}
				}
			})
			for range 100 {
				if _, _, err := c.read(); err != nil {
					t.Fatal(err)
				}
			}
			end(p, c)
			for {
				op, payload, err := c.read()
				if err != nil {
					t.Fatalf("%v, want a close frame", err)
				}
				if op == closeFrame {
					break
				}
				if op != textFrame || payload[len(payload)-1] != '}' {
					t.Fatalf("%x %.100q", op, payload)
				}
			}
			if rest, err := io.ReadAll(c.in); len(rest) > 0 {
				t.Errorf("behind the close frame: %.100q, %v", rest, err)
			}
			close(stop)
			delivering.Wait()
		})
	}
}

// Where the system cannot be asked to write without waiting, somebody waits.
func TestOverTLS(t *testing.T) {
	p := newPlace(t)
	server := httptest.NewTLSServer(p.gateway)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs, ServerName: "example.com", MinVersion: tls.VersionTLS13}}}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, _, err := websocket.Dial(ctx, server.URL, &websocket.DialOptions{HTTPClient: client}) //nolint:bodyclose // an upgraded connection's answer has none
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	defer conn.CloseNow()
	c := &peer{t, conn}
	c.send(subscription(42))
	c.expect(subscribed(42))
	for i := range 20 {
		p.deliver(cdc.Insert, nil, message(i, 42, large(i*5000)))
		if frame, err := c.next(); err != nil || !strings.Contains(frame, fmt.Sprintf(`{"id":%d}`, i)) {
			t.Fatalf("%.200s, %v", frame, err)
		}
	}
	p.gateway.all()[0].client.Close(protocol.CloseGoingAway)
	c.closed(protocol.CloseGoingAway)
}

// A peer that takes compressed messages gets the same frames, and is understood when it sends such.
func TestCompression(t *testing.T) {
	p := newPlace(t, func(o *Options) { o.Compression = true })
	plain := p.dial()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	conn, response, err := websocket.Dial(ctx, p.server.URL, &websocket.DialOptions{ //nolint:bodyclose // an upgraded connection's answer has none
		CompressionMode: websocket.CompressionNoContextTakeover, CompressionThreshold: 1,
	})
	if err != nil {
		t.Fatal(err)
	}
	conn.SetReadLimit(-1)
	defer conn.CloseNow()
	if agreed := response.Header.Get("Sec-WebSocket-Extensions"); !strings.Contains(agreed, "server_no_context_takeover") {
		t.Fatalf("agreed upon %q", agreed)
	}
	packed := &peer{t, conn}
	for _, c := range []*peer{plain, packed} {
		c.send(subscription(42))
		c.expect(subscribed(42))
	}
	for i := range 20 {
		p.deliver(cdc.Insert, nil, message(i, 42, large(i*i*200)))
		want, err := plain.next()
		if err != nil {
			t.Fatal(err)
		}
		if got, err := packed.next(); err != nil || got != want {
			t.Fatalf("%.200s, %v, want %.200s", got, err, want)
		}
	}
	for _, bomb := range []string{strings.Repeat(" ", maxFrame+1), `{"type":` + large(maxFrame)} {
		conn, _, err := websocket.Dial(ctx, p.server.URL, &websocket.DialOptions{CompressionMode: websocket.CompressionNoContextTakeover, CompressionThreshold: 1}) //nolint:bodyclose // an upgraded connection's answer has none
		if err != nil {
			t.Fatal(err)
		}
		c := &peer{t, conn}
		c.send(bomb)
		c.closed(protocol.CloseFrameTooBig)
		_ = conn.CloseNow()
	}
}

// Bytes that are no frames end the connection with a code that says so.
func TestMisframed(t *testing.T) {
	p := newPlace(t)
	p.dialRaw([]byte{0x81, 1, 'a'}).closed(protocol.CloseMisframed)
	c := p.dialRaw(clientFrame(0x80, []byte("a")), clientFrame(textFrame, []byte(subscription(42))))
	if _, _, err := c.read(); err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
}
