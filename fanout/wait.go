package fanout

import (
	"container/heap"
	"slices"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// wait is a client's wish to know when the stream has passed a position.
type wait struct {
	client *Client
	lsn    cdc.LSN
	text   string // as the client wrote it
	at     int    // in waits.heap
}

const (
	// maxWaits is how many positions one client may wait for at the same time.
	maxWaits = 100
	// movedFor is for how long after a wish the stream is made to move where it stands still. Nobody is to keep the server
	// writing by waiting for what will never be.
	movedFor = 10 * time.Second
)

// waits holds what all clients wait for, the nearest position first: a transaction costs what it answers, however many
// wait for something far away. It belongs to the hub's lock.
type waits struct {
	heap   waitHeap
	latest time.Time // when the last one came
}

// recent tells whether somebody began to wait a short time ago.
func (w *waits) recent(now time.Time) bool { return len(w.heap) > 0 && now.Sub(w.latest) < movedFor }

// WaitFor answers as soon as everything that committed before the position was delivered. text is the position as the
// client wrote it. A client that waits for too many has to go.
func (c *Client) WaitFor(lsn cdc.LSN, text string) {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	switch {
	case c.detached:
	case lsn <= h.position:
		h.say(c, protocol.AppendPassed(nil, text, h.cursor()))
	case len(c.waits) == maxWaits:
		h.dismiss(c, protocol.CloseLimitExceeded)
	default:
		w := &wait{client: c, lsn: lsn, text: text}
		c.waits = append(c.waits, w)
		heap.Push(&h.waits.heap, w)
		h.waits.latest = time.Now()
	}
}

func (h *Hub) answerWaits() {
	for len(h.waits.heap) > 0 && h.waits.heap[0].lsn <= h.position {
		w := heap.Pop(&h.waits.heap).(*wait)
		w.client.waits = slices.DeleteFunc(w.client.waits, func(other *wait) bool { return other == w })
		h.say(w.client, protocol.AppendPassed(nil, w.text, h.cursor()))
	}
}

// forgetWaits drops what a client waits for that is gone.
func (h *Hub) forgetWaits(c *Client) {
	for _, w := range c.waits {
		heap.Remove(&h.waits.heap, w.at)
	}
	c.waits = nil
}

// waitHeap implements heap.Interface.
type waitHeap []*wait

func (h waitHeap) Len() int           { return len(h) }
func (h waitHeap) Less(i, j int) bool { return h[i].lsn < h[j].lsn }

func (h waitHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push implements heap.Interface.
func (h *waitHeap) Push(x any) {
	w := x.(*wait)
	w.at = len(*h)
	*h = append(*h, w)
}

// Pop implements heap.Interface.
func (h *waitHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return w
}
