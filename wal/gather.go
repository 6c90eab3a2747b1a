package wal

import (
	"context"
	"net"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// gatheringConn lets bytes gather when they come fast. A walsender makes one send for each message, and a reader that
// takes each at once is woken for each: both spend their time switching. As long as messages come one by one nothing is
// delayed.
type gatheringConn struct {
	net.Conn
	buffer     []byte // what was read and not yet asked for is buffer[start:end]
	start, end int

	mark      lowWater
	linger    time.Duration // how long bytes gather; 0: not at all
	gathering bool
	full      bool // the last read took all that there was room for
	reads     int  // since began, and the bytes that they brought
	bytes     int
	began     time.Time
}

const (
	gatherBuffer = 256 << 10
	// gatherFor is how long bytes gather. Per row of a drained slot, one a transaction, the gateway took 5.0 us of processor time
	// at 1 ms, 2.9 at 2 ms and 2.6 at 4 ms, the mean of three runs on a busy machine of two processors. Less than 1 ms saves no
	// time where the processor is idle: the Go runtime then sleeps in milliseconds.
	gatherFor = 2 * time.Millisecond
	// It begins when so many bytes come in a millisecond. That is a fourth of what a walsender sends while each message wakes
	// its reader, on a busy machine: asked for as much, it may never begin.
	gatherRate = 512
	// It ends when less than gatherLeast has gathered, about a commit of one row. To begin anew costs gatherAfter reads, and a
	// walsender that shares its processor pauses now and then.
	gatherLeast = 256
	// gatherAfter is how many reads are looked at to tell how fast bytes come. A lone commit is three messages.
	gatherAfter = 32
)

// dialGathering makes a pgconn.DialFunc.
func dialGathering(linger time.Duration) pgconn.DialFunc {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		var d net.Dialer
		conn, err := d.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return &gatheringConn{Conn: conn, mark: lowWaterOf(conn), buffer: make([]byte, gatherBuffer), linger: linger}, nil
	}
}

// buffered tells whether the next Read has something without asking the network.
func (c *gatheringConn) buffered() bool { return c.start < c.end }

// Read implements net.Conn, for one goroutine at a time.
func (c *gatheringConn) Read(p []byte) (int, error) {
	if c.start == c.end {
		if len(p) >= len(c.buffer)/2 {
			return c.gather(p)
		}
		n, err := c.gather(c.buffer)
		if n == 0 {
			return 0, err
		}
		c.start, c.end = 0, n
	}
	n := copy(p, c.buffer[c.start:c.end])
	c.start += n
	return n, nil
}

// gather reads from the network, later where bytes come fast.
func (c *gatheringConn) gather(p []byte) (int, error) {
	if c.gathering {
		// The sleeper's thread waits for the network too. Unless told otherwise, it is woken for every message nevertheless.
		c.mark.raise(gatherBuffer)
		if !c.full {
			time.Sleep(c.linger)
		}
	} else {
		c.mark.lower()
	}
	n, err := c.mark.read(c.Conn, p)
	c.watch(n, n == len(p))
	return n, err
}

// watch decides, after a read of n bytes, whether the next one waits.
func (c *gatheringConn) watch(n int, full bool) {
	c.full = full
	switch {
	case c.linger == 0:
		return
	case c.gathering:
		c.gathering = n >= gatherLeast
		c.reads = 0
		return
	}
	now := time.Now()
	if c.reads == 0 {
		c.began, c.bytes = now, 0
	}
	c.reads++
	c.bytes += n
	if c.reads < gatherAfter {
		return
	}
	c.reads = 0
	c.gathering = int64(c.bytes)*int64(time.Millisecond) >= gatherRate*int64(now.Sub(c.began))
}
