package fanout

import (
	"sync"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// Closed is the error with which a queue ends: the code tells the client why.
type Closed struct{ Code protocol.Close }

func (c *Closed) Error() string { return "connection closed: " + c.Code.Reason() }

// queue holds the frames that wait for one client, in their wire form and bounded in bytes. Frames are shared between queues
// and never changed. Many may push; one takes at a time.
type queue struct {
	limit int

	mu     sync.Mutex
	frames [][]byte // each is one or several that lie one behind the other
	count  int      // of frames
	bytes  int      // of frames, and of those that the last take gave out and that may still be on their way
	taken  int
	wanted int // how much room somebody waits for; see fits
	closed *Closed
	// ready tells whoever takes that there is something to take; nil while nobody does. serving is set from then until a
	// take finds nothing.
	ready   func()
	serving bool
}

func newQueue(limit int) *queue { return &queue{limit: limit} }

// tellAfter is how many bytes wait for one client before it is told of a transaction that still brings more.
const tellAfter = 128 << 10

// push adds a frame, without telling the taker, as long as not very much waits: what one transaction brings is to leave
// together. A client that does not fit it has fallen behind: it loses what is queued and gets protocol.CloseSlowConsumer. push
// tells whether the queue is still open.
func (q *queue) push(frame []byte) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != nil {
		return false
	}
	if q.bytes+len(frame) > q.limit && q.bytes > 0 {
		q.frames, q.count, q.bytes = nil, 0, q.taken
		q.closed = &Closed{protocol.CloseSlowConsumer}
		q.tell()
		return false
	}
	if last := len(q.frames) - 1; last >= 0 && follows(q.frames[last], frame) {
		q.frames[last] = q.frames[last][:len(q.frames[last])+len(frame)]
	} else {
		q.frames = append(q.frames, frame)
	}
	q.count++
	q.bytes += len(frame)
	if q.bytes-q.taken >= tellAfter {
		q.tell()
	}
	return true
}

// follows tells whether a frame lies right behind others in memory, as those of a sheet do: then they are one piece, which
// costs the queue nothing more to hold, and its taker no more to send.
func follows(frames, frame []byte) bool {
	n := len(frames)
	return n > 0 && cap(frames) > n && len(frame) > 0 && &frames[:n+1][n] == &frame[0]
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
	q.tell()
}

// wake tells the taker that there is something to take.
func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tell()
}

func (q *queue) tell() {
	if q.ready != nil && !q.serving && (len(q.frames) > 0 || q.closed != nil) {
		q.serving = true
		q.ready()
	}
}

// serve sets who is told, and tells it of what is there; nil is nobody any more.
func (q *queue) serve(ready func()) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ready = ready
	q.tell()
}

// take returns all that waits, in order, and how many frames that is. Those of the take before count as gone. reuse is a
// slice that is filled anew some time. Where there is nothing, the taker is told when there is. The error is a *Closed once
// a closed queue is empty.
func (q *queue) take(reuse [][]byte) (frames [][]byte, count int, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= q.taken
	q.taken = 0
	if len(q.frames) == 0 {
		if q.closed != nil {
			return nil, 0, q.closed
		}
		q.frames = keepSmall(reuse)
		q.serving = false
		return nil, 0, nil
	}
	frames, count = q.frames, q.count
	q.frames, q.count, q.taken = keepSmall(reuse), 0, q.bytes
	return frames, count, nil
}

// keepSmall returns the slice, emptied, where it is worth keeping for a client that may be idle for long.
func keepSmall(frames [][]byte) [][]byte {
	const small = 64
	if cap(frames) > small {
		return nil
	}
	clear(frames)
	return frames[:0]
}

func (q *queue) size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}
