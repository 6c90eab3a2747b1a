//go:build unix

package app

import (
	"math"
	"syscall"
)

// raiseDescriptors raises the number of files that the process may have open to the most that it may set, and returns it; 0 where
// it is not known or without bound. Go's runtime raises it too, but promises nothing.
func raiseDescriptors() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	if limit.Cur < limit.Max {
		raised := limit
		raised.Cur = limit.Max
		if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &raised) == nil {
			limit = raised
		}
	}
	if uint64(limit.Cur) > math.MaxInt32 { //nolint:unconvert // signed on some systems
		return 0
	}
	return int(limit.Cur)
}
