package fanout

import (
	"errors"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
)

// failures counts where something of a channel had no answer, as its filter or a snapshot, and logs it now and then. It may be
// used by any goroutine.
type failures struct {
	log     *zap.Logger
	message string
	channel string
	count   atomic.Uint64
	logged  atomic.Int64 // when, in nanoseconds since 1970
}

// logFailuresEvery is between two lines of the log about the same.
const logFailuresEvery = time.Minute

// note counts a failure, if it is one.
func (f *failures) note(err error) {
	if err == nil {
		return
	}
	count, now, last := f.count.Add(1), time.Now().UnixNano(), f.logged.Load()
	if last == 0 || now-last >= int64(logFailuresEvery) {
		if f.logged.CompareAndSwap(last, now) {
			f.log.Warn(f.message, zap.String("channel", f.channel), zap.Uint64("times", count), zap.Error(err))
		}
	}
}

var errPanicked = errors.New("it panicked")

// caught is to be deferred around what others' code does. What it panicked with may hold something of the row, so that is
// not kept.
func (f *failures) caught() {
	if recover() != nil {
		f.note(errPanicked)
	}
}
