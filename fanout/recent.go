package fanout

import (
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// After a lost network thousands come back within a second or two, and many to the same view. A snapshot that was just read
// is as good for those who come a moment later: what it does not show is kept for as long as it is.

// recent holds the readings that are over and may serve others. It belongs to the hub's lock.
type recent struct {
	byTopic map[*topic]*reading
	bytes   int
}

const (
	// recentFor is for how long a snapshot is kept, about.
	recentFor = time.Second
	// maxRecent bounds what is kept, in bytes of rows.
	maxRecent = 32 << 20
)

// keepRecent keeps a reading that is over. It counts as running, so that what it does not show is kept.
func (h *Hub) keepRecent(r *reading, snapshot *cdc.Snapshot, rows *shownRows) {
	size := rows.size()
	if h.recent.bytes+size > maxRecent || len(r.following) > 0 {
		return
	}
	h.forgetRecent(h.recent.byTopic[r.topic])
	// Of its own: r may be parked, for those who wait for the stream.
	kept := &reading{topic: r.topic, number: r.number, snapshot: snapshot, rows: rows, since: time.Now()}
	h.recent.byTopic[r.topic] = kept
	h.recent.bytes += size
	h.running[kept] = struct{}{}
}

// fromRecent completes a subscription from a snapshot that was read a moment ago. It returns false where there is none, or
// none that serves it.
func (h *Hub) fromRecent(s *subscription) bool {
	r := h.recent.byTopic[s.group.topic]
	switch {
	case r == nil:
		return false
	case r.stale, time.Since(r.since) > recentFor, !h.unseen.completes(r.topic.channel(), &r.snapshot.Visibility):
		h.forgetRecent(r)
		return false
	case s.group.extended && h.position < r.snapshot.Upto:
		return false
	}
	if _, asked := r.rows.to(s); !asked {
		return false
	}
	h.leave(s)
	r.waiting = map[*subscription]struct{}{s: {}}
	s.reading = r
	h.complete(r, r.snapshot, r.rows)
	return true
}

// forgetRecent lets go of a kept reading; nil is none.
func (h *Hub) forgetRecent(r *reading) {
	if r == nil {
		return
	}
	delete(h.recent.byTopic, r.topic)
	delete(h.running, r)
	h.recent.bytes -= r.rows.size()
}

// trimRecent lets go of what was kept for long enough.
func (h *Hub) trimRecent(now time.Time) {
	for _, r := range h.recent.byTopic {
		if r.stale || now.Sub(r.since) > recentFor {
			h.forgetRecent(r)
		}
	}
	h.unseen.settle(h.oldestReading())
}

// size is the memory of the rows, in bytes.
func (r *shownRows) size() (bytes int) {
	for i := range r.rows {
		bytes += len(r.rows[i].json) + len(r.rows[i].row)
	}
	for _, sight := range r.sights {
		bytes += len(sight)
	}
	return bytes
}
