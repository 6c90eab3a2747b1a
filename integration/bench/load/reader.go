package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Reader is a single connection that is read as Go programs do it, for times that are to be compared with those of another
// Go client.
type Reader struct {
	conn   net.Conn
	buffer []byte
	walker walker
	has    int // changes that were read and not asked for yet
}

// DialReader connects, subscribes and waits until the subscription has begun.
func DialReader(ctx context.Context, server netip.AddrPort, subscribe string) (*Reader, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", server.String())
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	r := &Reader{conn: conn, buffer: make([]byte, 16<<10)}
	if err := r.begin(server, subscribe); err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("subscribe: %w", err)
	}
	return r, nil
}

func (r *Reader) begin(server netip.AddrPort, subscribe string) error {
	if err := r.conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(r.conn, "GET /ws HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", server)
	if err != nil {
		return err
	}
	answer := bufio.NewReader(r.conn) // holds nothing back: the server is silent until it is asked
	response, err := http.ReadResponse(answer, nil)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return errors.New(response.Status)
	}
	if _, err := r.conn.Write(masked(opText, []byte(subscribe))); err != nil {
		return err
	}
	for r.walker.counts[Subscribed] == 0 {
		if err := r.read(); err != nil {
			return err
		}
	}
	return r.conn.SetDeadline(time.Time{})
}

// Close ends the connection.
func (r *Reader) Close() { _ = r.conn.Close() }

// Next returns when the next change was read.
func (r *Reader) Next(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = r.conn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	for r.has == 0 {
		if err := r.read(); err != nil {
			return errors.Join(ctx.Err(), err)
		}
	}
	r.has--
	return nil
}

func (r *Reader) read() error {
	n, err := r.conn.Read(r.buffer)
	if err != nil {
		return fmt.Errorf("read: %w", err)
	}
	before := r.walker.counts[Change]
	if err := r.walker.walk(r.buffer[:n], r); err != nil {
		return err
	}
	r.has += int(r.walker.counts[Change] - before)
	return nil
}

func (r *Reader) message(Kind, []byte) {}

func (r *Reader) control(op byte, payload []byte) {
	if op == opPing {
		_, _ = r.conn.Write(masked(opPong, payload))
	}
}
