package load

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Watch waits for a number of messages. First and Last are to be read after Wait.
type Watch struct {
	of          []Kind
	from, until uint64
	done        chan struct{}
	// First is when the first of the messages was read, Last when the last one was.
	First, Last time.Time
}

// Watch begins to count: from now on n messages of the kinds are expected. There is one watch at a time.
func (s *Swarm) Watch(n int, of ...Kind) *Watch {
	w := &Watch{of: slices.Clone(of), from: s.Count(of...), done: make(chan struct{})}
	w.until = w.from + uint64(n)
	s.watch.Store(w)
	return w
}

// look is called behind each read, while nothing else counts.
func (w *Watch) look(s *Swarm) {
	n := s.Count(w.of...)
	if n == w.from {
		return
	}
	if w.First.IsZero() {
		w.First = time.Now()
	}
	if n >= w.until {
		w.Last = time.Now()
		s.watch.Store(nil)
		close(w.done)
	}
}

var errStalled = errors.New("nothing comes any more")

// stall is for how long a server may be silent between two messages before what is missing is given up. The first may take as long as
// the context lets it.
const stall = 30 * time.Second

// Wait returns when all messages have come, and with an error when a connection ends before, or nothing comes any more.
func (w *Watch) Wait(ctx context.Context, s *Swarm) error {
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	seen, since := s.Count(w.of...), time.Now()
	for {
		var err error
		select {
		case <-w.done:
			return nil
		case <-ctx.Done():
			err = ctx.Err()
		case <-look.C:
			err = s.Err()
		}
		if n := s.Count(w.of...); n != seen {
			seen, since = n, time.Now()
		} else if err == nil && n > w.from && time.Since(since) > stall {
			err = errStalled
		}
		if err != nil {
			return fmt.Errorf("wait for messages, %d of %d have come: %w", seen-w.from, w.until-w.from, err)
		}
	}
}
