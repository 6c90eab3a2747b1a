package wal

import (
	"context"
	"net"
	"time"
)

// gatheringConn lets bytes gather when they come fast. A walsender makes one send for each message, and a reader that
// takes each at once is woken for each: both spend their time switching. As long as messages come one by one nothing is
// delayed.
type gatheringConn struct {
	net.Conn
	buffer     []byte // what was read and not yet asked for is buffer[start:end]
	start, end int

	gathering bool
	quick     int // reads in a row that each followed the one before at once
	last      time.Time
}

const (
	gatherBuffer = 256 << 10
	// quickGap is the time between two reads below which they count as following at once, and quickReads how many of these
	// in a row begin the gathering.
	quickGap   = 100 * time.Microsecond
	quickReads = 32
	// gatherFor is how long bytes gather. Less than gatherLeast in that time ends it.
	gatherFor   = 500 * time.Microsecond
	gatherLeast = 4 << 10
)

// dialGathering is a pgconn.DialFunc.
func dialGathering(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return &gatheringConn{Conn: conn, buffer: make([]byte, gatherBuffer)}, nil
}

// Read implements net.Conn, for one goroutine at a time.
func (c *gatheringConn) Read(p []byte) (int, error) {
	if c.start == c.end {
		if c.gathering {
			time.Sleep(gatherFor)
		}
		n, err := c.Conn.Read(c.buffer)
		if n == 0 {
			return 0, err
		}
		c.start, c.end = 0, n
		c.watch(n)
	}
	n := copy(p, c.buffer[c.start:c.end])
	c.start += n
	return n, nil
}

// watch decides, after a read of n bytes, whether the next one waits.
func (c *gatheringConn) watch(n int) {
	now := time.Now()
	switch {
	case c.gathering:
		c.gathering = n >= gatherLeast
		c.quick = 0
	case now.Sub(c.last) < quickGap:
		c.quick++
		c.gathering = c.quick >= quickReads
	default:
		c.quick = 0
	}
	c.last = now
}
