//go:build unix

package gateway

import (
	"errors"
	"syscall"
)

// offer writes what the system takes at once, and never waits. It belongs to one writer, so that a write costs no allocation.
type offer struct {
	bytes []byte
	n     int
	err   error
	try   func(fd uintptr)
}

func newOffer() *offer {
	o := &offer{}
	o.try = func(fd uintptr) {
		for {
			o.n, o.err = writeNow(fd, o.bytes)
			if !errors.Is(o.err, syscall.EINTR) {
				return
			}
		}
	}
	return o
}

// to offers the connection bytes and returns how many it took: fewer than all where its peer is behind. Whoever calls it
// holds writing.
func (o *offer) to(c *captured, bytes []byte) (n int, err error) {
	switch {
	case c.silent:
		return 0, errFarewell
	case c.raw == nil:
		return 0, nil
	}
	o.bytes = bytes
	defer func() { o.bytes = nil }()
	if err := c.raw.Control(o.try); err != nil { // Write would make ready to wait
		return 0, err
	}
	switch {
	case errors.Is(o.err, syscall.EAGAIN):
		return 0, nil
	case o.err != nil:
		return 0, o.err
	}
	return o.n, nil
}
