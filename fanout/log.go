package fanout

import (
	"hash/maphash"
	"slices"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// ResumeOptions bound what is kept for clients that come back.
type ResumeOptions struct {
	// Window is for how long a client may have been away; 0 keeps nothing.
	Window time.Duration
	// MaxBytes bounds the memory of it, and the log that the server has to hold back for it.
	MaxBytes int
}

// replayLog holds the transactions of the last while, for clients that come back. It is no more than a copy of the
// server's log: a gateway that starts anew reads it again from there, which is why it says from where on it is needed.
// It belongs to the hub's lock, but for the index of its chunks.
type replayLog struct {
	ResumeOptions
	chunks []*logChunk // in commit order
	bytes  int
	passed int // bytes of what was not added since the last that was
	// floor is where the log begins: every transaction that commits there or behind it is here.
	floor cdc.LSN
	cuts  []loggedCut
	marks []logMark
	seed  maphash.Seed
}

// logMark is where the stream was at some time.
type logMark struct {
	at       time.Time
	position cdc.LSN
}

// logChunk is a stretch of the log. Its index is made when the first client looks for something in it: most chunks are
// dropped unread.
type logChunk struct {
	entries []*cdc.Transaction // those that changed served tables
	bytes   int
	full    bool
	indexed int // of entries
	index   map[logKey][]logPlace
}

// cut says that a transaction made the views of a channel begin anew. Nothing from before it leads to what is behind it.
type cut struct {
	channel *channel
	reason  protocol.ResetReason
}

// loggedCut is a cut with the commit that made it.
type loggedCut struct {
	cut
	commit cdc.LSN
}

// logKey stands for a scope and a value of it. Two values may share a key.
type logKey struct {
	scope *scopeIndex
	value uint64
}

// logPlace is a change: the n-th of an entry.
type logPlace struct{ entry, change int }

const (
	// chunkBytes is the size of a chunk.
	chunkBytes = 1 << 20
	// maxLogged is the size of the largest transaction that is kept.
	maxLogged = 16 << 20
	// markEvery is between two marks.
	markEvery = time.Second
)

// begin forgets everything: the log begins at the position.
func (l *replayLog) begin(at cdc.LSN) {
	l.chunks, l.cuts, l.marks, l.bytes, l.floor = nil, nil, nil, 0, at
}

// keeps tells whether there is a log at all.
func (l *replayLog) keeps() bool { return l.Window > 0 }

// cut notes that nobody who has not got a transaction can resume the channels.
func (l *replayLog) cut(tx *cdc.Transaction, reason protocol.ResetReason, channels ...*channel) {
	for _, ch := range channels {
		l.cutAt(tx.Commit, reason, ch)
	}
}

// cutAt notes that nobody can resume a channel from before the position, nor from there.
func (l *replayLog) cutAt(position cdc.LSN, reason protocol.ResetReason, ch *channel) {
	c := loggedCut{cut{ch, reason}, position}
	if last := len(l.cuts) - 1; l.keeps() && (last < 0 || l.cuts[last] != c) {
		l.cuts = append(l.cuts, c)
	}
}

// add adds a transaction and what it cuts.
func (l *replayLog) add(tx *cdc.Transaction, cuts []cut) {
	if !l.keeps() {
		return
	}
	for _, c := range cuts {
		l.cuts = append(l.cuts, loggedCut{c, tx.Commit})
	}
	if l.passed > tx.Size() { // or it would keep the memory of those too
		tx = tx.Clone()
	}
	l.passed = 0
	last := len(l.chunks) - 1
	if last < 0 || l.chunks[last].full {
		l.chunks = append(l.chunks, &logChunk{index: map[logKey][]logPlace{}})
		last++
	}
	c := l.chunks[last]
	c.entries = append(c.entries, tx)
	c.bytes += tx.Size()
	c.full = c.bytes >= chunkBytes
	l.bytes += tx.Size()
	for l.bytes > l.MaxBytes && len(l.chunks) > 0 {
		l.dropFirst()
	}
}

// pass notes a transaction that is not added.
func (l *replayLog) pass(tx *cdc.Transaction) { l.passed += tx.Size() }

func (l *replayLog) dropFirst() {
	first := l.chunks[0]
	l.floor = max(l.floor, first.last().End)
	l.bytes -= first.bytes
	l.chunks[0] = nil
	l.chunks = l.chunks[1:]
}

// trim lets go of what is older than the window, or makes the server hold back too much. position is where the stream is.
func (l *replayLog) trim(now time.Time, position cdc.LSN) {
	if !l.keeps() {
		return
	}
	if n := len(l.marks); n == 0 || now.Sub(l.marks[n-1].at) >= markEvery {
		l.marks = append(l.marks, logMark{now, position})
	}
	for len(l.marks) > 0 {
		first := l.marks[0]
		if now.Sub(first.at) < l.Window && uint64(position-l.floor) <= uint64(l.MaxBytes) {
			break
		}
		l.floor = max(l.floor, first.position)
		l.marks = l.marks[1:]
	}
	for len(l.chunks) > 0 {
		c := l.chunks[0]
		if c.last().Commit >= l.floor {
			break
		}
		l.dropFirst()
	}
	l.cuts = slices.DeleteFunc(l.cuts, func(c loggedCut) bool { return c.commit < l.floor })
}

func (c *logChunk) last() *cdc.Transaction { return c.entries[len(c.entries)-1] }

// cutSince tells whether something that committed at the position or behind it made the channel's views begin anew.
func (l *replayLog) cutSince(ch *channel, position cdc.LSN) (reason protocol.ResetReason, found bool) {
	for _, c := range l.cuts {
		if c.channel == ch && c.commit >= position {
			return c.reason, true
		}
	}
	return "", false
}

// reaches tells whether all that committed at a position or behind it is here.
func (l *replayLog) reaches(position cdc.LSN) bool { return l.keeps() && position >= l.floor }

// from yields the chunks that hold something which committed at the position or behind it.
func (l *replayLog) from(position cdc.LSN) []*logChunk {
	at, _ := slices.BinarySearchFunc(l.chunks, position, func(c *logChunk, p cdc.LSN) int {
		if c.last().Commit < p {
			return -1
		}
		return 1
	})
	return l.chunks[at:]
}

func (l *replayLog) key(index *scopeIndex, value []byte) logKey {
	return logKey{index, maphash.Bytes(l.seed, value)}
}

// indexChunk brings a chunk's index up to date, or nearer to that by about so many bytes of the log.
func (h *Hub) indexChunk(c *logChunk, most int) {
	for ; c.indexed < len(c.entries) && most > 0; c.indexed++ {
		tx, n := c.entries[c.indexed], 0
		most -= tx.Size()
		for change := range tx.Changes() {
			for _, b := range h.bindingsThen(change.Table) {
				at := logPlace{c.indexed, n}
				known := b.eachPlace(&change, func(index *scopeIndex, value []byte) {
					key := h.log.key(index, value)
					c.index[key] = append(c.index[key], at)
				})
				if !known { // route need not have noticed: perhaps nobody looked
					h.log.cut(tx, whyUnrouted(&change), b.channel)
				}
			}
			n++
		}
	}
}

// eachPlace calls f with every scope and value by which the row could be found, before the change or after it. It returns
// false where they are not all known.
func (b *binding) eachPlace(c *cdc.Change, f func(*scopeIndex, []byte)) (known bool) {
	if c.Op.OfTable() || !b.judgeable(b.filtered, c) {
		return false
	}
	for i := range b.scopes {
		m, known := b.move(c, i)
		if !known {
			return false
		}
		index := &b.channel.scopes[i]
		if m.was.State == cdc.Text {
			f(index, m.was.Text)
		}
		if m.now.State == cdc.Text && !m.now.Equal(m.was) {
			f(index, m.now.Text)
		}
	}
	if b.channel.resolver == nil || b.channel.lookup != nil {
		return true
	}
	was, now, known := b.ways(c)
	for _, p := range was {
		f(p.index, []byte(p.value))
	}
	for _, p := range now {
		if !slices.Contains(was, p) {
			f(p.index, []byte(p.value))
		}
	}
	return known
}

// noteNeeded makes Needed return where the log begins by now.
func (h *Hub) noteNeeded() {
	needed := h.unseen.oldest()
	switch {
	case !h.started:
		needed = 0 // whatever the slot has is still to come
	case h.log.keeps():
		needed = min(needed, h.log.floor)
	}
	h.needed.Store(uint64(needed))
}

// Needed implements cdc.Sink.
func (h *Hub) Needed() cdc.LSN { return cdc.LSN(h.needed.Load()) }
