package wal

import (
	"bytes"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// wire is a connection whose bytes arrive when the test says so, in the bubble's time.
type wire struct {
	net.Conn // nil: only Read is used
	arrived  chan []byte
	pending  []byte
	reads    int
	err      error
}

func (w *wire) Read(p []byte) (int, error) {
	w.reads++
	if len(w.pending) == 0 {
		if w.err != nil {
			return 0, w.err
		}
		b, ok := <-w.arrived
		if !ok {
			return 0, io.EOF
		}
		w.pending = b
	}
	for more := true; more; { // what else has arrived by now
		select {
		case b, ok := <-w.arrived:
			if ok {
				w.pending = append(w.pending, b...)
			}
			more = ok
		default:
			more = false
		}
	}
	n := copy(p, w.pending)
	w.pending = w.pending[n:]
	return n, nil
}

func gathering(w *wire) *gatheringConn {
	return &gatheringConn{Conn: w, buffer: make([]byte, gatherBuffer), linger: gatherFor}
}

// A lone message is there the moment it arrives, also after a burst.
func TestLoneMessagesAreNotDelayed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &wire{arrived: make(chan []byte, 10_000)}
		c := gathering(w)
		p := make([]byte, 4096)
		for range 1000 { // a burst, and its end
			w.arrived <- make([]byte, 100)
			if _, err := c.Read(p); err != nil {
				t.Fatal(err)
			}
		}
		for c.gathering {
			w.arrived <- []byte("x")
			if _, err := c.Read(p); err != nil {
				t.Fatal(err)
			}
		}
		for i := range 100 {
			time.Sleep(time.Millisecond)
			sent := time.Now()
			w.arrived <- []byte("x")
			if _, err := c.Read(p); err != nil {
				t.Fatal(err)
			}
			if late := time.Since(sent); late != 0 {
				t.Fatalf("message %d was %v late", i, late)
			}
		}
	})
}

// Messages that come fast are read many at a time, and none is lost or out of place.
func TestFastMessagesGather(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages, gap = 20_000, 5 * time.Microsecond
		w := &wire{arrived: make(chan []byte, messages)}
		var sent []byte
		go func() {
			for i := range messages {
				m := bytes.Repeat([]byte{byte(i), byte(i >> 8)}, 40)
				sent = append(sent, m...)
				w.arrived <- m
				time.Sleep(gap)
			}
			close(w.arrived)
		}()
		got, err := io.ReadAll(gathering(w))
		if err != nil || !bytes.Equal(got, sent) {
			t.Fatalf("%d bytes of %d, error %v", len(got), len(sent), err)
		}
		if w.reads > messages/50 {
			t.Errorf("%d reads for %d messages", w.reads, messages)
		}
	})
}

func TestGatheringPassesErrorsOn(t *testing.T) {
	w := &wire{pending: []byte("last words"), err: os.ErrDeadlineExceeded}
	c := gathering(w)
	got := make([]byte, 4)
	var all []byte
	for {
		n, err := c.Read(got)
		all = append(all, got[:n]...)
		if err == nil {
			continue
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		break
	}
	if string(all) != "last words" {
		t.Errorf("got %q before the error", all)
	}
}
