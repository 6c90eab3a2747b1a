//go:build !linux

package wal

import "net"

// lowWater is nothing here: readers are woken for each message.
type lowWater struct{}

func lowWaterOf(net.Conn) lowWater { return lowWater{} }

func (lowWater) raise(int) {}
func (lowWater) lower()    {}

func (lowWater) read(conn net.Conn, p []byte) (int, error) { return conn.Read(p) }
