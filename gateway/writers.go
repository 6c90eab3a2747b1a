package gateway

import (
	"runtime"
	"sync"
	"sync/atomic"
)

// writers send what waits for the sessions. There are as many as processors and no more, for to send is work, not waiting:
// where a peer is behind, its session goes on in a goroutine of its own until it has caught up. So ten thousand connections
// that have nothing to do cost no goroutine, and one that is stuck costs the others nothing.
type writers struct {
	most int

	mu      sync.Mutex
	ready   []*session // those that have something to send; they are taken from at
	at      int
	working int
	held    int // transactions that are being delivered
	spare   []*writer

	running sync.WaitGroup

	frames, writes atomic.Uint64 // since the start
}

func newWriters() *writers { return &writers{most: runtime.GOMAXPROCS(0)} }

// add takes on a session that nobody is serving. It may be called from anywhere, and waits for nothing.
func (w *writers) add(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at > len(w.ready)/2 && len(w.ready) == cap(w.ready) { // rather than grow
		n := copy(w.ready, w.ready[w.at:])
		clear(w.ready[n:])
		w.ready, w.at = w.ready[:n], 0
	}
	w.ready = append(w.ready, s)
	if w.held == 0 || len(w.ready)-w.at > few {
		w.start()
	}
}

// few is how many sessions the one who has brought their frames serves himself: to wake somebody else would take longer.
const few = 4

// Hold implements fanout.Sender.
func (w *writers) Hold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held++
}

// Release implements fanout.Sender. Those whom it serves itself are served once: where there is more, it goes on elsewhere.
func (w *writers) Release() {
	w.mu.Lock()
	w.held--
	n := len(w.ready) - w.at
	if n == 0 || n > few || w.working > 0 {
		w.start()
		w.mu.Unlock()
		return
	}
	mine := append(make([]*session, 0, few), w.ready[w.at:]...)
	w.clear()
	one := w.writer()
	w.mu.Unlock()
	for _, s := range mine {
		if one.serve(s) {
			w.add(s)
		}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.spare = append(w.spare, one)
}

// start begins to work, where not as many do as may.
func (w *writers) start() {
	if w.working == w.most || w.at == len(w.ready) {
		return
	}
	w.working++
	one := w.writer()
	w.running.Go(func() { w.work(one) })
}

func (w *writers) writer() (one *writer) {
	last := len(w.spare) - 1
	if last < 0 {
		return &writer{offer: newOffer(), buffer: make([]byte, 0, writerBuffer)}
	}
	one, w.spare = w.spare[last], w.spare[:last]
	return one
}

func (w *writers) clear() {
	clear(w.ready)
	w.ready, w.at = w.ready[:0], 0
}

// work serves sessions until none is left.
func (w *writers) work(one *writer) {
	for turns := 1; ; turns++ {
		s := w.next(one)
		if s == nil {
			return
		}
		if one.serve(s) {
			w.add(s) // behind those that wait
		}
		if turns%yieldEvery == 0 {
			runtime.Gosched()
		}
	}
}

// yieldEvery is after how many sessions a writer lets others run: it waits for nothing, so nothing else makes it.
const yieldEvery = 32

func (w *writers) next(one *writer) *session {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.at == len(w.ready) {
		w.clear()
		w.working--
		w.spare = append(w.spare, one)
		return nil
	}
	s := w.ready[w.at]
	w.ready[w.at] = nil
	if w.at++; w.at == len(w.ready) {
		w.clear()
	}
	return s
}

// wait returns when nothing is being sent any more. No session may be added meanwhile.
func (w *writers) wait() { w.running.Wait() }
