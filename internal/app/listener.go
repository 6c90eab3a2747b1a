package app

import (
	"net"
	"sync"
	"sync/atomic"
)

// limitListener accepts no more connections than so many at a time; 0 is no bound. Further ones wait with the system, which keeps
// them without a descriptor of ours.
func limitListener(l net.Listener, most int) net.Listener {
	tcp, ok := l.(*net.TCPListener)
	if most == 0 || !ok {
		return l
	}
	return &limited{TCPListener: tcp, places: make(chan struct{}, most), closed: make(chan struct{})}
}

type limited struct {
	*net.TCPListener
	places chan struct{}
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	select {
	case l.places <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.AcceptTCP()
	if err != nil {
		<-l.places
		return nil, err
	}
	return &placed{TCPConn: conn, listener: l}, nil
}

// Close implements net.Listener.
func (l *limited) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.TCPListener.Close()
}

// placed gives its place back when it is closed. It is a TCPConn otherwise: writers ask the system beneath it.
type placed struct {
	*net.TCPConn
	listener *limited
	gone     atomic.Bool
}

// Close implements net.Conn.
func (p *placed) Close() error {
	err := p.TCPConn.Close()
	if p.gone.CompareAndSwap(false, true) {
		<-p.listener.places
	}
	return err
}
