package integration_test

import (
	"net"
	"sync"
	"testing"
	"time"
)

// proxy is the network between two ends of a TCP connection, which a test can cut, slow down and stall. It is our own, as
// the little that is needed of it is less than what a library for it brings along.
type proxy struct {
	address  string // host:port
	listener net.Listener
	passing  sync.WaitGroup

	mu    sync.Mutex
	to    string // host:port; "" refuses
	links map[*link]struct{}
	pace  pace
	moved chan struct{} // closed when pace changes
}

// pace says how bytes pass.
type pace struct {
	stalled bool
	delay   time.Duration // before each piece
	piece   int           // bytes that pass at once; 0 is all there are
}

// link is one connection through the proxy.
type link struct {
	near, far net.Conn
	ended     chan struct{}
	once      sync.Once
}

func (l *link) end() {
	l.once.Do(func() {
		close(l.ended)
		l.near.Close()
		l.far.Close()
	})
}

// newProxy makes a proxy that ends with the test.
func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: listener.Addr().String(), listener: listener, to: to, links: map[*link]struct{}{}, moved: make(chan struct{})}
	p.passing.Go(p.accept)
	t.Cleanup(func() {
		listener.Close()
		p.aim("")
		p.passing.Wait()
	})
	return p
}

func (p *proxy) accept() {
	for {
		near, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.passing.Go(func() { p.connect(near) })
	}
}

func (p *proxy) connect(near net.Conn) {
	p.mu.Lock()
	to := p.to
	p.mu.Unlock()
	far, err := net.DialTimeout("tcp", to, patience)
	if err != nil {
		near.Close()
		return
	}
	l := &link{near: near, far: far, ended: make(chan struct{})}
	p.mu.Lock()
	aimed := p.to == to
	if aimed {
		p.links[l] = struct{}{}
	}
	p.mu.Unlock()
	if !aimed {
		l.end()
		return
	}
	p.passing.Go(func() { p.pass(l, near, far) })
	p.pass(l, far, near)
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// pass copies one direction until the link ends.
func (p *proxy) pass(l *link, to, from net.Conn) {
	defer l.end()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		for rest := buffer[:n]; len(rest) > 0; {
			now, ok := p.turn(l)
			if !ok {
				return
			}
			piece := len(rest)
			if now.piece > 0 {
				piece = min(piece, now.piece)
			}
			if _, err := to.Write(rest[:piece]); err != nil {
				return
			}
			rest = rest[piece:]
		}
		if err != nil {
			return
		}
	}
}

// turn waits until bytes may pass, and returns false when the link has ended.
func (p *proxy) turn(l *link) (pace, bool) {
	for {
		p.mu.Lock()
		now, moved := p.pace, p.moved
		p.mu.Unlock()
		var due <-chan time.Time
		if !now.stalled {
			due = time.After(now.delay)
		}
		select {
		case <-due:
			return now, true
		case <-moved:
		case <-l.ended:
			return now, false
		}
	}
}

// set changes the pace of all connections, also of those to come.
func (p *proxy) set(to pace) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace = to
	close(p.moved)
	p.moved = make(chan struct{})
}

// cut ends all connections. New ones may come.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.end()
	}
}

// aim sends all connections from now on to another address, and ends those that there are.
func (p *proxy) aim(to string) {
	p.mu.Lock()
	p.to = to
	p.mu.Unlock()
	p.cut()
}
