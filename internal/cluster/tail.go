package cluster

import "sync"

// tail keeps the end of what is written to it. It is safe for concurrent use; the zero value is ready.
type tail struct {
	mu     sync.Mutex
	kept   []byte
	marked int // bytes written since mark
}

const (
	tailLimit   = 256 << 10 // bytes kept
	reportLimit = 4 << 10   // bytes that sinceMark gives at most
)

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.marked += len(p)
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*tailLimit { // cut rarely, so that a write costs what it writes
		t.kept = append([]byte(nil), t.kept[len(t.kept)-tailLimit:]...)
	}
	return len(p), nil
}

// String gives at least the last 256 KiB, or all if it is less.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept)
}

// mark sets the point from which sinceMark counts.
func (t *tail) mark() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.marked = 0
}

// sinceMark gives what was written since mark, at most its last 4 KiB.
func (t *tail) sinceMark() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.kept[len(t.kept)-min(t.marked, reportLimit, len(t.kept)):])
}
