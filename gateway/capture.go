package gateway

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// captured is the connection beneath a WebSocket. Whoever reads writes control frames to it, and may wait; a writer's pieces,
// which are whole messages and shared with other connections, go out as far as they can without waiting. writing keeps the
// two apart: whoever holds it is between two messages when he lets it go.
//
// It lets nothing follow a close frame (RFC 6455, section 5.5.1). The reader answers the peer's answer to ours with another
// one, and browsers take that for a failure: their code is 1006 then, not ours.
type captured struct {
	net.Conn
	raw     syscall.RawConn // nil where the operating system cannot be asked to write without waiting: TLS
	early   []byte          // what the peer sent behind its request, before anybody knew what it is
	timeout time.Duration   // how long a write that waits may take
	heard   atomic.Int64    // when the peer was last heard of, in nanoseconds since 1970

	writing sync.Mutex
	silent  bool // a close frame was written; belongs to writing
}

// errFarewell: a close frame is out, and no message may follow it.
var errFarewell = errors.New("the connection was said goodbye to")

func capture(conn net.Conn, early []byte, timeout time.Duration) *captured {
	c := &captured{Conn: conn, early: early, timeout: timeout}
	c.heard.Store(time.Now().UnixNano())
	if system, ok := conn.(syscall.Conn); ok {
		c.raw, _ = system.SyscallConn() // without it every write may wait, which is slower and no more
	}
	return c
}

// Read implements net.Conn, for one goroutine at a time.
func (c *captured) Read(p []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(p, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil
		}
		return n, nil
	}
	n, err := c.Conn.Read(p)
	if n > 0 {
		c.heard.Store(time.Now().UnixNano())
	}
	return n, err
}

// Write writes a control frame.
func (c *captured) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.silent {
		return len(p), nil
	}
	c.silent = p[0] == bitFin|opClose
	n, err := c.wait(p)
	if c.silent && err == nil {
		// Not before it is out: a peer that is behind with reading is to get it.
		err = c.SetReadDeadline(time.Now().Add(farewell))
	}
	return n, err
}

// wait writes and waits for the peer to take it, for as long as timeout. Whoever calls it holds writing.
func (c *captured) wait(p []byte) (int, error) {
	if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
		return 0, err
	}
	n, err := c.Conn.Write(p)
	if err != nil {
		return n, err
	}
	return n, c.SetWriteDeadline(time.Time{}) // writes that do not wait fail by a deadline that has passed
}

// patient is how much of a message waits for the peer at a time. One that takes in so much has shown that it is there.
const patient = 16 << 10

// waitAll is wait in pieces, each of which has the whole timeout. It returns how many there were.
func (c *captured) waitAll(p []byte) (writes uint64, err error) {
	for ; len(p) > 0; writes++ {
		n, err := c.wait(p[:min(len(p), patient)])
		if err != nil {
			return writes, err
		}
		p = p[n:]
	}
	return writes, nil
}

// hijacker hands the library a connection for the handshake, and keeps the one beneath. It finds that through whatever
// middleware has wrapped the ResponseWriter.
type hijacker struct {
	http.ResponseWriter
	timeout time.Duration
	conn    *captured
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	early, err := rw.Peek(rw.Reader.Buffered())
	if err != nil {
		return nil, nil, err
	}
	h.conn = capture(conn, bytes.Clone(early), h.timeout)
	none := handedOver{conn}
	return none, bufio.NewReadWriter(bufio.NewReaderSize(none, 0), bufio.NewWriterSize(none, 0)), nil
}

// handedOver is what the library has of a connection: nothing that it reads, writes or closes reaches it.
type handedOver struct{ net.Conn }

func (handedOver) Read([]byte) (int, error)    { return 0, io.EOF }
func (handedOver) Write(p []byte) (int, error) { return len(p), nil }
func (handedOver) Close() error                { return nil }
