package peer

import (
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/sync/errgroup"
)

// writer writes finished frames to sockets and does nothing else: what is left of a server's work when all that could be
// saved is saved.
type writer struct {
	mu     sync.Mutex
	topics map[int][]net.Conn
}

func newWriter() *writer { return &writer{topics: map[int][]net.Conn{}} }

// ServeHTTP takes the connection over. Nobody reads from it.
func (w *writer) ServeHTTP(response http.ResponseWriter, r *http.Request) {
	topic, err := strconv.Atoi(r.URL.Query().Get("topic"))
	if err != nil {
		http.Error(response, "no topic", http.StatusBadRequest)
		return
	}
	conn, _, err := http.NewResponseController(response).Hijack()
	if err != nil {
		http.Error(response, err.Error(), http.StatusInternalServerError)
		return
	}
	accept := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	answer := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(accept[:]) + "\r\n\r\n"
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, err := conn.Write(append([]byte(answer), frame(`{"type":"subscribed"}`)...)); err != nil {
		_ = conn.Close()
		return
	}
	w.topics[topic] = append(w.topics[topic], conn)
}

func frame(payload string) []byte {
	b := []byte{0x81, byte(len(payload))}
	if len(payload) >= 126 {
		b = binary.BigEndian.AppendUint16([]byte{0x81, 126}, uint16(len(payload)))
	}
	return append(b, payload...)
}

func (w *writer) publish(ctx context.Context, p Publication) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p.Rate > 0 {
		return w.one(ctx, p)
	}
	return w.all(p)
}

// one writes message after message, each to one socket after the other.
func (w *writer) one(ctx context.Context, p Publication) error {
	finished := frame(message(p.Size))
	return p.paced(ctx, func(n int) error {
		for _, conn := range w.topics[n%p.Topics] {
			if _, err := conn.Write(finished); err != nil {
				return fmt.Errorf("write a frame: %w", err)
			}
		}
		return nil
	})
}

// all writes as many frames at once as a socket takes, to all sockets at the same time.
func (w *writer) all(p Publication) error {
	const piece = 64 << 10
	var frames []byte
	for range p.Messages / p.Topics {
		frames = append(frames, frame(message(p.Size))...)
	}
	var g errgroup.Group
	for _, conns := range w.topics {
		for _, conn := range conns {
			g.Go(func() error {
				for rest := frames; len(rest) > 0; {
					n, err := conn.Write(rest[:min(piece, len(rest))])
					if err != nil {
						return fmt.Errorf("write frames: %w", err)
					}
					rest = rest[n:]
				}
				return nil
			})
		}
	}
	return g.Wait()
}

func (w *writer) close() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, conns := range w.topics {
		for _, conn := range conns {
			_ = conn.Close()
		}
	}
}
