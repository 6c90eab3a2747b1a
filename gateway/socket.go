package gateway

import (
	"encoding/binary"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// socket is a WebSocket connection. This file alone knows the library, which makes the handshake. What comes behind that is
// read by inbound and written to raw: a connection of the library's parks a goroutine of its own beside the one that reads,
// and can neither share a message with others nor put several into one write.
type socket struct {
	inbound
	extended bool // the peer speaks the extended protocol
}

// farewell is how long a peer has to answer a close frame, and how long what it is still sending is read.
const farewell = time.Second

// accept upgrades a request whose origin was checked. On an error it has answered.
func accept(w http.ResponseWriter, r *http.Request, options *Options) (*socket, error) {
	hijacker := &hijacker{ResponseWriter: w, timeout: options.WriteTimeout}
	// Without context takeover, for only then is a compressed message the same for everybody.
	compression := websocket.CompressionDisabled
	if options.Compression {
		compression = websocket.CompressionNoContextTakeover
	}
	// The library compares names in any case, and confirms them as the client writes them. So it sees the chosen one alone.
	subprotocol := chosenSubprotocol(r)
	r = r.WithContext(r.Context())
	r.Header = r.Header.Clone()
	r.Header["Sec-Websocket-Protocol"] = subprotocol
	conn, err := websocket.Accept(hijacker, r, &websocket.AcceptOptions{
		Subprotocols:       subprotocol,
		InsecureSkipVerify: true, // originAllowed was stricter: the library compares hosts only
		CompressionMode:    compression,
	})
	if err != nil {
		return nil, fmt.Errorf("accept: %w", err)
	}
	s := &socket{extended: conn.Subprotocol() == protocol.ExtendedSubprotocol}
	s.raw, s.deflated = hijacker.conn, w.Header().Get("Sec-WebSocket-Extensions") != ""
	_ = conn.CloseNow() // the library's own; the connection beneath is ours
	return s, nil
}

// chosenSubprotocol is the one of ours that the client offers, exactly as we write it; none where it offers others only.
func chosenSubprotocol(r *http.Request) []string {
	offered := strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",")
	for _, ours := range []string{protocol.ExtendedSubprotocol, protocol.Subprotocol, auth.BearerSubprotocol} {
		if slices.ContainsFunc(offered, func(name string) bool { return strings.Trim(name, " \t") == ours }) {
			return []string{ours}
		}
	}
	return nil
}

// abilities are those of the peer.
func (s *socket) abilities() (all []fanout.Ability) {
	if s.extended {
		all = append(all, fanout.Extended)
	}
	if s.deflated {
		all = append(all, fanout.Deflated)
	}
	return all
}

// leave says goodbye with a code. Whoever reads then gets the answer, or waits for it in vain for as long as farewell.
func (s *socket) leave(code protocol.Close) {
	frame := binary.BigEndian.AppendUint16([]byte{bitFin | opClose, byte(2 + len(code.Reason()))}, uint16(code))
	if _, err := s.raw.Write(append(frame, code.Reason()...)); err != nil {
		s.abort()
	}
}

// close says goodbye with a code, waits a moment for the answer, and ends the connection. Nobody else may read.
func (s *socket) close(code protocol.Close) {
	s.leave(code)
	s.linger()
	s.abort()
}

// abort ends the connection without a word.
func (s *socket) abort() { _ = s.raw.Close() }
