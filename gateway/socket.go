package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// socket is a WebSocket connection. This file alone knows the library, which reads, and writes control frames: ours go to
// raw. One goroutine reads; abort may be called from any.
type socket struct {
	conn     *websocket.Conn
	raw      *captured
	deflated bool // the peer takes compressed messages
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
func accept(w http.ResponseWriter, r *http.Request, options *Options) (*socket, error) {
	hijacker := &hijacker{ResponseWriter: w, timeout: options.WriteTimeout}
	// Without context takeover, for only then is a compressed message the same for everybody. What the library inflates is
	// bounded by read.
	compression := websocket.CompressionDisabled
	if options.Compression {
		compression = websocket.CompressionNoContextTakeover
	}
	conn, err := websocket.Accept(hijacker, r, &websocket.AcceptOptions{
		Subprotocols:       []string{protocol.ExtendedSubprotocol, protocol.Subprotocol, auth.BearerSubprotocol},
		InsecureSkipVerify: true, // originAllowed was stricter: the library compares hosts only
		CompressionMode:    compression,
	})
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	conn.SetReadLimit(-1) // read has its own: the library's would write a close frame of its own
	return &socket{conn: conn, raw: hijacker.conn, deflated: w.Header().Get("Sec-WebSocket-Extensions") != ""}, nil
}

// abilities are those of the peer.
func (s *socket) abilities() (all []fanout.Ability) {
	if s.extended() {
		all = append(all, fanout.Extended)
	}
	if s.deflated {
		all = append(all, fanout.Deflated)
	}
	return all
}

// extended tells whether the peer speaks the extended protocol.
func (s *socket) extended() bool { return s.conn.Subprotocol() == protocol.ExtendedSubprotocol }

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

// close says goodbye with a code, waits a moment for the answer, and ends the connection.
func (s *socket) close(code protocol.Close) {
	_ = s.conn.Close(websocket.StatusCode(code), code.Reason())
	s.abort()
}

// abort ends the connection without a word.
func (s *socket) abort() {
	_ = s.raw.Close()
	_ = s.conn.CloseNow()
}
