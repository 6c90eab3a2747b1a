package gateway

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// socket is a WebSocket connection. This file alone knows the library. One goroutine reads, one writes; ping and abort
// may be called from any.
type socket struct {
	conn *websocket.Conn
	raw  *boundedConn
}

// boundedConn is the connection beneath: every write to it, the library's own pongs and close frames included, has to
// get through within timeout. The library's own way, a context that expires, costs an allocation and two goroutine
// switches for every frame.
//
// It also lets nothing follow the close frame of a farewell (RFC 6455, section 5.5.1). The library answers the peer's
// answer to it with another close frame, and browsers take that for a failure: their code is 1006 then, not ours.
type boundedConn struct {
	net.Conn
	timeout time.Duration
	leaving atomic.Bool // a farewell has begun: the next close frame is the last one
	silent  atomic.Bool // that was written
}

func (c *boundedConn) Write(p []byte) (int, error) {
	if c.silent.Load() {
		return len(p), nil
	}
	const opcode, opClose = 0x0F, 0x08
	last := c.leaving.Load() && len(p) > 0 && p[0]&opcode == opClose // the library writes a control frame in one piece
	if last {
		c.silent.Store(true)
	}
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if last && err == nil {
		// Not before it is out: a peer that is behind with reading is to get it.
		err = c.SetReadDeadline(time.Now().Add(farewell))
	}
	return n, err
}

const (
	maxFrame = 64 << 10
	// farewell is how long a peer has to answer a close frame, and how long what it is still sending is read: a socket
	// that is closed with bytes unread sends a reset, and the close frame would be lost.
	farewell = time.Second
)

var (
	// errNotText: a frame that is not text, and so cannot be JSON.
	errNotText = errors.New("binary frame")
	// errTooBig: a frame over maxFrame. The rest of it is unread.
	errTooBig = errors.New("frame too big")
)

// accept upgrades a request whose origin was checked. On an error it has answered.
func accept(w http.ResponseWriter, r *http.Request, writeTimeout time.Duration) (*socket, error) {
	hijacker := &hijacker{ResponseWriter: w, timeout: writeTimeout}
	conn, err := websocket.Accept(hijacker, r, &websocket.AcceptOptions{
		Subprotocols:       []string{protocol.ExtendedSubprotocol, protocol.Subprotocol, auth.BearerSubprotocol},
		InsecureSkipVerify: true, // originAllowed was stricter: the library compares hosts only
		// A few bytes could unfold to gigabytes, and what is sent would be compressed for each client anew.
		CompressionMode: websocket.CompressionDisabled,
	})
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	conn.SetReadLimit(-1) // read has its own: the library's would write a close frame between two of ours
	return &socket{conn: conn, raw: hijacker.conn}, nil
}

// extended tells whether the peer speaks the extended protocol.
func (s *socket) extended() bool { return s.conn.Subprotocol() == protocol.ExtendedSubprotocol }

// hijacker gives the library a boundedConn to take over, and remembers it. It finds the server's connection through
// whatever middleware has wrapped the ResponseWriter.
type hijacker struct {
	http.ResponseWriter
	timeout time.Duration
	conn    *boundedConn
}

func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	h.conn = &boundedConn{Conn: conn, timeout: h.timeout}
	rw.Writer.Reset(h.conn)
	return h.conn, rw, nil
}

// read returns the next text frame. After errNotText the connection goes on, after errTooBig it has to be closed, and
// after any other error it has ended.
func (s *socket) read() ([]byte, error) {
	kind, message, err := s.conn.Reader(context.Background())
	if err != nil {
		return nil, err
	}
	frame, err := io.ReadAll(io.LimitReader(message, maxFrame+1))
	switch {
	case err != nil:
		return nil, err
	case len(frame) > maxFrame:
		return nil, errTooBig
	case kind != websocket.MessageText:
		return nil, errNotText
	}
	return frame, nil
}

// write sends a text frame.
func (s *socket) write(frame []byte) error {
	return s.conn.Write(context.Background(), websocket.MessageText, frame)
}

// ping waits for the peer's answer, which only a read in progress can hear.
func (s *socket) ping(ctx context.Context) error { return s.conn.Ping(ctx) }

// close says goodbye with a code, waits a moment for the answer, and ends the connection. Only the goroutine that writes
// may call it.
func (s *socket) close(code protocol.Close) {
	s.raw.leaving.Store(true)
	_ = s.conn.Close(websocket.StatusCode(code), code.Reason())
	s.abort()
}

// abort ends the connection without a word.
func (s *socket) abort() {
	_ = s.raw.Close()
	_ = s.conn.CloseNow()
}
