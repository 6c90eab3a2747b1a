package fanout

import (
	"context"
	"sync"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// Closed is the error with which a queue ends: the code tells the client why.
type Closed struct{ Code protocol.Close }

func (c *Closed) Error() string { return "connection closed: " + c.Code.Reason() }

// queue holds the frames that wait for one client, bounded in bytes. Frames are shared between queues and never
// changed. Many may push; one goroutine takes.
type queue struct {
	limit int

	mu     sync.Mutex
	frames [][]byte
	bytes  int // of frames, and of those that the last take gave out and that may still be on their way
	taken  int
	wanted int // how much room somebody waits for; see fits
	closed *Closed
	ready  chan struct{}
}

func newQueue(limit int) *queue { return &queue{limit: limit, ready: make(chan struct{}, 1)} }

// push adds a frame, without waking the taker: what one transaction brings is to leave together. A client that does not
// fit it has fallen behind: it loses what is queued and gets protocol.CloseSlowConsumer. push tells whether the queue is
// still open.
func (q *queue) push(frame []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != nil {
		return false
	}
	if q.bytes+len(frame) > q.limit && q.bytes > 0 {
		q.frames, q.bytes = nil, q.taken
		q.closed = &Closed{protocol.CloseSlowConsumer}
		q.wake()
		return false
	}
	q.frames = append(q.frames, frame)
	q.bytes += len(frame)
	return true
}

// roomToWait is how much of limit what can wait may fill. The rest is for what cannot: the changes and answers behind it, for
// which a client that reads as fast as it can must not be too slow.
func roomToWait(limit int) int { return limit - limit/4 }

// fits tells whether there is room for a frame of n bytes that can wait. Where there is none, sent will tell when there is.
func (q *queue) fits(n int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != nil || q.bytes == 0 || q.bytes+n <= roomToWait(q.limit) {
		return true
	}
	q.wanted = max(q.wanted, n)
	return false
}

// room is how many bytes that can wait fit at the moment.
func (q *queue) room() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return roomToWait(q.limit) - q.bytes
}

// sent lets the frames of the take before count as gone, and tells whether that made room for what somebody waits for.
func (q *queue) sent() (room bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= q.taken
	q.taken = 0
	if q.wanted == 0 || q.bytes > 0 && q.bytes+q.wanted > roomToWait(q.limit) {
		return false
	}
	q.wanted = 0
	return true
}

// close ends the queue behind what is in it. The first reason stands.
func (q *queue) close(code protocol.Close) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed == nil {
		q.closed = &Closed{code}
	}
	q.wake()
}

func (q *queue) wake() { signal(q.ready) }

// signal wakes whoever waits for a channel that holds one, or will next.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// take waits for frames and returns all there are, in order. The frames of the take before count as gone. reuse is a
// slice that take may fill anew. The error is ctx's, or a *Closed once a closed queue is empty.
func (q *queue) take(ctx context.Context, reuse [][]byte) ([][]byte, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= q.taken
	q.taken = 0
	for len(q.frames) == 0 {
		if q.closed != nil {
			return nil, q.closed
		}
		q.mu.Unlock()
		select {
		case <-q.ready:
		case <-ctx.Done():
		}
		q.mu.Lock()
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
	}
	frames := q.frames
	clear(reuse)
	q.frames, q.taken = reuse[:0], q.bytes
	return frames, nil
}

func (q *queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
