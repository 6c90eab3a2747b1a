package cluster

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

const loopback = "127.0.0.1"

// choosePort finds a port on which nothing listens. It stays below the ports that systems give to outgoing connections
// (from 32768 on Linux, 49152 elsewhere): while the server is down, one of those could be taken by any client, and even
// by one that tries to connect to this very port, which TCP then connects to itself.
func choosePort() (int, error) {
	const low, high, tries = 20000, 32000, 100
	var err error
	for range tries {
		port := low + rand.IntN(high-low)
		if err = portFree(port); err == nil {
			return port, nil
		}
	}
	return 0, fmt.Errorf("find a free port between %d and %d: %w", low, high, err)
}

// portFree tells by its error whether something listens on the port.
func portFree(port int) error {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, strconv.Itoa(port))) //nolint:noctx // a bind does not wait
	if err != nil {
		return err
	}
	return l.Close()
}
