package load

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"
)

// Dialing says what connections to make. The functions are called with the connection's number, from 0 on and from any
// goroutine; nil ones are left out.
type Dialing struct {
	Server  netip.AddrPort
	Path    func(conn int) string // default: /ws
	Headers []string              // lines that every request has, such as a subprotocol
	Header  func(conn int) string // one more line
	Hello   func(conn int) []string
	Lines   bool // the server may put several messages into a frame, a line each
	// Look is given every message of the connections that Looks names, by the goroutine that reads.
	Looks func(conn int) bool
	Look  func(conn int, kind Kind, payload []byte)
}

// atOnce is how many upgrades are under way at a time.
const atOnce = 64

// receiveBuffer is what may wait in a socket. Without a bound the kernel gives each as much as 32 MiB, and memory that it has
// to find for gigabytes in flight would be what is measured.
const receiveBuffer = 128 << 10

// Dial makes n connections, upgrades them and sends each one's hello. It is called once.
func (s *Swarm) Dial(ctx context.Context, n int, d Dialing) error {
	if d.Path == nil {
		d.Path = func(int) string { return "/ws" }
	}
	s.conns = make([]*conn, n)
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(atOnce)
	for i := range n {
		g.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err := s.dial(i, &d); err != nil {
				return fmt.Errorf("connection %d to %s: %w", i, d.Server, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (s *Swarm) dial(number int, d *Dialing) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("make a socket: %w", err)
	}
	c := &conn{swarm: s, number: number, fd: fd, look: d.Look}
	c.walker.lines = d.Lines
	c.walker.keeps = d.Look != nil && (d.Looks == nil || d.Looks(number))
	s.conns[number] = c
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer); err != nil {
		return fmt.Errorf("set SO_RCVBUF: %w", err)
	}
	if err := unix.Connect(fd, &unix.SockaddrInet4{Addr: d.Server.Addr().As4(), Port: int(d.Server.Port())}); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
		return fmt.Errorf("set TCP_NODELAY: %w", err)
	}
	rest, err := c.upgrade(d)
	if err != nil {
		return err
	}
	if d.Hello != nil {
		if err := s.Send(number, d.Hello(number)...); err != nil {
			return err
		}
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		return fmt.Errorf("make the socket non-blocking: %w", err)
	}
	if err := c.took(rest); err != nil {
		return err
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(number)}
	if err := unix.EpollCtl(s.epoll, unix.EPOLL_CTL_ADD, fd, &event); err != nil {
		return fmt.Errorf("add the socket to the epoll: %w", err)
	}
	return nil
}

// upgrade does the handshake and returns what was read behind it.
func (c *conn) upgrade(d *Dialing) (rest []byte, err error) {
	lines := []string{
		"GET " + d.Path(c.number) + " HTTP/1.1", "Host: " + d.Server.String(), "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==",
	}
	lines = append(lines, d.Headers...)
	if d.Header != nil {
		lines = append(lines, d.Header(c.number))
	}
	if err := writeAll(c.fd, []byte(strings.Join(lines, "\r\n")+"\r\n\r\n")); err != nil {
		return nil, fmt.Errorf("ask for the upgrade: %w", err)
	}
	var answer []byte
	buffer := make([]byte, 4096)
	for {
		n, err := unix.Read(c.fd, buffer)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return nil, fmt.Errorf("read the answer: %w", err)
		case n == 0:
			return nil, errors.New("the server has hung up instead of an answer")
		}
		answer = append(answer, buffer[:n]...)
		if head, rest, ok := bytes.Cut(answer, []byte("\r\n\r\n")); ok {
			status, _, _ := strings.Cut(string(head), "\r\n")
			if !strings.Contains(status, " 101 ") {
				return nil, fmt.Errorf("no upgrade: %s %.200s", status, rest)
			}
			return rest, nil
		}
	}
}

// Send writes text messages to a connection. Where that has no room it waits: the other side has to read.
func (s *Swarm) Send(number int, messages ...string) error {
	const atATime = 50 // between them pings are answered
	for some := range slices.Chunk(messages, atATime) {
		var frames []byte
		for _, m := range some {
			frames = append(frames, masked(opText, []byte(m))...)
		}
		if err := s.conns[number].write(frames); err != nil {
			return err
		}
	}
	return nil
}

func (c *conn) write(frames []byte) error {
	c.writing.Lock()
	err := writeAll(c.fd, frames)
	c.writing.Unlock()
	c.payPong()
	return err
}

func writeAll(fd int, data []byte) error {
	for len(data) > 0 {
		n, err := unix.Write(fd, data)
		switch {
		case errors.Is(err, unix.EAGAIN):
			_, err = unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}, 1000)
			if err != nil && !errors.Is(err, unix.EINTR) {
				return fmt.Errorf("wait for room: %w", err)
			}
		case err != nil && !errors.Is(err, unix.EINTR):
			return fmt.Errorf("write: %w", err)
		default:
			data = data[max(n, 0):]
		}
	}
	return nil
}

// masked is a client's frame. The mask is zero, which leaves the payload as it is.
func masked(op byte, payload []byte) []byte {
	frame := []byte{0x80 | op}
	switch n := len(payload); {
	case n < 126:
		frame = append(frame, 0x80|byte(n))
	default:
		frame = binary.BigEndian.AppendUint16(append(frame, 0x80|126), uint16(n))
	}
	frame = append(frame, 0, 0, 0, 0)
	return append(frame, payload...)
}
