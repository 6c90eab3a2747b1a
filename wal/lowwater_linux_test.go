package wal

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"
)

// streamed is a gathering connection to this process, which gathers already, and the server's end of it.
func streamed(t *testing.T) (server net.Conn, c *gatheringConn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := dialGathering(gatherFor)(context.Background(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = client.Close() })
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	c = client.(*gatheringConn)
	c.gathering = true
	return server, c
}

func write(t *testing.T, to net.Conn, s string) {
	t.Helper()
	if _, err := to.Write([]byte(s)); err != nil {
		t.Fatal(err)
	}
}

func readOne(t *testing.T, from net.Conn, want string) {
	t.Helper()
	p := make([]byte, 100)
	if n, err := from.Read(p); err != nil || string(p[:n]) != want {
		t.Fatalf("read %q, error %v, not %q", p[:n], err, want)
	}
}

// What lies below the mark is read, and a reader that waits below it is woken by the next byte.
func TestReaderIsWokenBelowTheMark(t *testing.T) {
	server, c := streamed(t)
	write(t, server, "gathered")
	readOne(t, c, "gathered")
	for range 20 {
		c.gathering = true
		arrived := make(chan string)
		go func() {
			p := make([]byte, 100)
			n, _ := c.Read(p)
			arrived <- string(p[:n])
		}()
		time.Sleep(2 * gatherFor) // it waits by then, or does not yet: it has to be woken all the same
		write(t, server, "x")
		if got := <-arrived; got != "x" {
			t.Fatalf("read %q", got)
		}
	}
}

func TestGatheringSocketEnds(t *testing.T) {
	server, c := streamed(t)
	if err := c.SetReadDeadline(time.Now().Add(3 * gatherFor)); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 100)
	if _, err := c.Read(p); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("error %v behind the deadline", err)
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
	c.gathering = true
	write(t, server, "last words")
	readOne(t, c, "last words")
	c.gathering = true
	_ = server.Close()
	if _, err := c.Read(p); !errors.Is(err, io.EOF) {
		t.Fatalf("error %v behind the end", err)
	}
}
