package wal

import (
	"net"
	"syscall"
)

// setLowWater makes the kernel wake readers only when so many bytes have arrived. Where it cannot they are woken for each
// message, as they were. (Linux manual, socket(7), SO_RCVLOWAT)
func setLowWater(conn net.Conn, bytes int) {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return
	}
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			_ = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVLOWAT, bytes)
		})
	}
}
