package load

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Swarm is many connections that one goroutine reads.
type Swarm struct {
	epoll   int
	conns   []*conn
	totals  [kinds]atomic.Uint64
	bytes   atomic.Uint64
	watch   atomic.Pointer[Watch]
	closing atomic.Bool
	reading sync.WaitGroup

	mu  sync.Mutex
	err error // the first connection that ended
}

// conn is one connection. Once it is in the epoll it belongs to the goroutine that reads.
type conn struct {
	swarm  *Swarm
	number int
	fd     int
	walker walker
	look   func(conn int, kind Kind, payload []byte)

	writing sync.Mutex             // what is written is whole frames
	pong    atomic.Pointer[[]byte] // is owed to the server
}

// readSize is what one read takes at most: much comes at once where the server writes much at once.
const readSize = 256 << 10

// NewSwarm makes a swarm without connections. The caller ends it with Close.
func NewSwarm() (*Swarm, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("make an epoll: %w", err)
	}
	s := &Swarm{epoll: epoll}
	s.reading.Go(s.read)
	return s, nil
}

// Close ends all connections with a reset, so that their ports are free at once.
func (s *Swarm) Close() {
	if s.closing.Swap(true) {
		return
	}
	s.reading.Wait()
	for _, c := range s.conns {
		if c != nil && c.fd >= 0 {
			_ = unix.SetsockoptLinger(c.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			_ = unix.Close(c.fd)
		}
	}
	_ = unix.Close(s.epoll)
}

// Err tells of the first connection that ended before Close.
func (s *Swarm) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Count is how many messages of the kinds have come, over all connections.
func (s *Swarm) Count(of ...Kind) (n uint64) {
	for _, k := range of {
		n += s.totals[k].Load()
	}
	return n
}

// Bytes is how many bytes of data messages have come.
func (s *Swarm) Bytes() uint64 { return s.bytes.Load() }

// PerConnection gives how many messages of the kind each connection has had. Nothing may be coming meanwhile.
func (s *Swarm) PerConnection(of Kind) []int {
	var all []int
	for _, c := range s.conns {
		all = append(all, int(c.walker.counts[of]))
	}
	return all
}

// read serves all connections until Close.
func (s *Swarm) read() {
	const wake = 20 // milliseconds between looks at closing
	events, buffer := make([]unix.EpollEvent, 256), make([]byte, readSize)
	for !s.closing.Load() {
		n, err := unix.EpollWait(s.epoll, events, wake)
		if err != nil && !errors.Is(err, unix.EINTR) {
			s.fail(fmt.Errorf("wait for messages: %w", err))
			return
		}
		for _, e := range events[:max(n, 0)] {
			s.conns[e.Fd].receive(buffer)
		}
	}
}

// receive reads once: there may be more, and others have their turn first.
func (c *conn) receive(buffer []byte) {
	n, err := unix.Read(c.fd, buffer)
	switch {
	case errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR):
		return
	case err == nil && n == 0:
		err = errors.New("the server has hung up")
	case err == nil:
		err = c.took(buffer[:n])
	}
	if err != nil {
		c.swarm.fail(fmt.Errorf("connection %d: %w", c.number, err))
		_ = unix.EpollCtl(c.swarm.epoll, unix.EPOLL_CTL_DEL, c.fd, nil)
	}
}

// took counts what data brings.
func (c *conn) took(data []byte) error {
	before, size := c.walker.counts, c.walker.bytes
	err := c.walker.walk(data, c)
	for k, n := range c.walker.counts {
		if n != before[k] {
			c.swarm.totals[k].Add(uint64(n - before[k]))
		}
	}
	c.swarm.bytes.Add(c.walker.bytes - size)
	if w := c.swarm.watch.Load(); w != nil {
		w.look(c.swarm)
	}
	return err
}

func (c *conn) message(kind Kind, payload []byte) { c.look(c.number, kind, payload) }

func (c *conn) control(op byte, payload []byte) {
	switch op {
	case opPing:
		pong := masked(opPong, payload)
		c.pong.Store(&pong)
		c.payPong()
	case opClose:
		code := uint16(0)
		if len(payload) >= 2 {
			code = binary.BigEndian.Uint16(payload)
		}
		c.swarm.fail(fmt.Errorf("connection %d was closed with %d %s", c.number, code, payload[min(2, len(payload)):]))
	}
}

// payPong answers a ping, unless somebody else writes, who then does so. The goroutine that reads waits for nobody: where there is
// no room, the next ping is answered.
func (c *conn) payPong() {
	for c.pong.Load() != nil && c.writing.TryLock() {
		if pong := c.pong.Swap(nil); pong != nil {
			_, _ = unix.Write(c.fd, *pong)
		}
		c.writing.Unlock()
	}
}

func (s *Swarm) fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && !s.closing.Load() {
		s.err = err
	}
}
