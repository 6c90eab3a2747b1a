package wal

import (
	"io"
	"net"
	"os"
	"syscall"
)

// lowWater is the mark below which nobody is woken for the bytes that a connection has (Linux manual, socket(7),
// SO_RCVLOWAT). Where it cannot be raised readers are woken for each message, as they were. It belongs to the goroutine
// that reads.
type lowWater struct {
	socket syscall.RawConn // nil: of nothing that has a mark
	raised bool
}

func lowWaterOf(conn net.Conn) lowWater {
	if c, ok := conn.(syscall.Conn); ok {
		if socket, err := c.SyscallConn(); err == nil {
			return lowWater{socket: socket}
		}
	}
	return lowWater{}
}

// raise lets bytes gather up to the mark.
func (w *lowWater) raise(mark int) {
	if w.socket == nil || w.raised {
		return
	}
	_ = w.socket.Control(func(fd uintptr) { w.raised = setLowWater(fd, mark) })
}

// lower has the reader woken for the next byte, at once where there is one.
func (w *lowWater) lower() {
	if w.raised {
		_ = w.socket.Control(func(fd uintptr) { setLowWater(fd, 1) })
		w.raised = false
	}
}

// read reads what there is, the mark being raised or not, and waits only where there is nothing, for the next byte. To lower the
// mark before each read would wake the thread that waits for the network, each time for bytes that are being read anyway: that was
// 0.5 us a row of a drained slot.
func (w *lowWater) read(conn net.Conn, p []byte) (n int, err error) {
	if !w.raised {
		return conn.Read(p)
	}
	waiting := w.socket.Read(func(fd uintptr) bool {
		for {
			n, err = syscall.Read(int(fd), p)
			switch err {
			case syscall.EINTR:
			case syscall.EAGAIN:
				setLowWater(fd, 1)
				w.raised = false
				return false
			default:
				return true
			}
		}
	})
	switch {
	case waiting != nil:
		return 0, waiting
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

func setLowWater(fd uintptr, mark int) bool {
	return syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, mark) == nil
}
