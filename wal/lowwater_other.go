//go:build !linux

package wal

import "net"

// setLowWater does nothing: here readers are woken for each message.
func setLowWater(net.Conn, int) {}
