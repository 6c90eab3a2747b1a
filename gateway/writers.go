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
	spare   []*writer

	running sync.WaitGroup

	frames, writes atomic.Uint64 // since the start
}

func newWriters() *writers { return &writers{most: runtime.GOMAXPROCS(0)} }

// add takes on a session that nobody is serving. It may be called from anywhere, and waits for nothing.
func (w *writers) add(s *session) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ready = append(w.ready, s)
	if w.working == w.most {
		return
	}
	w.working++
	var one *writer
	if last := len(w.spare) - 1; last >= 0 {
		one, w.spare = w.spare[last], w.spare[:last]
	} else {
		one = &writer{offer: newOffer(), buffer: make([]byte, 0, writerBuffer)}
	}
	w.running.Go(func() { w.work(one) })
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
		w.ready, w.at = w.ready[:0], 0
		w.working--
		w.spare = append(w.spare, one)
		return nil
	}
	s := w.ready[w.at]
	w.ready[w.at] = nil
	if w.at++; w.at == len(w.ready) {
		w.ready, w.at = w.ready[:0], 0
	}
	return s
}

// wait returns when nothing is being sent any more. No session may be added meanwhile.
func (w *writers) wait() { w.running.Wait() }
