//go:build unix && !linux

package gateway

import "syscall"

// writeNow is write(2) on a socket that never blocks.
func writeNow(fd uintptr, b []byte) (n int, err error) { return syscall.Write(int(fd), b) }
