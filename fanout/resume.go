package fanout

import (
	"math"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// SubscribeSince is Subscribe for a client of the extended protocol that has held the view up to a cursor. Where all that
// it missed is still known, it gets that instead of a snapshot. Otherwise it is told why not, and begins anew.
//
// After a lost network thousands come back at the same moment, and what they missed takes its time. So they come one after
// the other, a step at a time: a change that is delivered meanwhile waits for a step of one of them, not for all.
func (c *Client) SubscribeSince(channel string, scope protocol.Scope, since string) error {
	h := c.hub
	h.resuming.Lock()
	defer h.resuming.Unlock()
	r := newResumption(since)
	for h.indexStep(r) {
	}
	for h.replayStep(r, c, channel, scope) {
	}
	return c.subscribe(channel, scope, r)
}

// resumption is a client's way from its cursor to where the stream stands.
type resumption struct {
	since  string
	at     protocol.Cursor // how far it has come
	frames [][]byte        // what the client missed up to there
	bytes  int
	// refused is why what it missed is not known.
	refused protocol.ResetReason
}

func newResumption(since string) *resumption {
	r := &resumption{since: since}
	var err error
	if r.at, err = protocol.ParseCursor(since); err != nil {
		r.refused = protocol.ResetRestart
	}
	return r
}

// position is the commit that comes next for the client.
func (r *resumption) position() cdc.LSN { return cdc.LSN(r.at.Position) }

// stepBytes is about how much of the log a step looks at.
const stepBytes = 256 << 10

// indexStep makes a part of the index of what was missed. It returns false when there is no more to do.
func (h *Hub) indexStep(r *resumption) (more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r.refused != "" || r.at.Epoch != h.epoch || !h.log.reaches(r.position()) {
		return false
	}
	for _, chunk := range h.log.from(r.position()) {
		if chunk.indexed < len(chunk.entries) {
			h.indexChunk(chunk, stepBytes)
			return true
		}
	}
	return false
}

// replayStep replays a part of what was missed to a subscription that there is not yet. It returns false when little is
// left, or when there is no use in it.
func (h *Hub) replayStep(r *resumption, c *Client, channel string, scope protocol.Scope) (more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, index, value, err := h.resolve(channel, scope)
	if err != nil || c.detached {
		return false
	}
	t := &topic{index: index, value: value}
	return h.replay(&subscription{client: c, group: &group{topic: t, echo: t.echo(scope.Raw), dialect: c.dialect}}, r, stepBytes)
}

// resume replays what is left. Then the subscription is where the stream is.
func (h *Hub) resume(s *subscription, r *resumption) {
	for h.replay(s, r, stepBytes) {
	}
	if r.refused == "" && r.bytes > min(s.client.queue.room(), roomToWait(h.queueBytes)-s.client.held) {
		r.tooMuch()
	}
}

// tooMuch refuses what does not fit the client's queue: a snapshot is smaller, or can wait for room.
func (r *resumption) tooMuch() { r.refused, r.frames = protocol.ResetLogExpired, nil }

// replay adds to the resumption what the log has of the subscription, looking at about so many bytes of it. It returns
// false when that was all, or when it is refused.
func (h *Hub) replay(s *subscription, r *resumption, most int) (more bool) {
	ch := s.group.channel()
	switch {
	case r.refused != "":
		return false
	case r.at.Epoch != h.epoch || r.position() > h.position:
		r.refused = protocol.ResetRestart
		return false
	case !h.log.reaches(r.position()) || ch.Beside || ch.lookup != nil: // what a look-up answered then is not kept
		r.refused = protocol.ResetLogExpired
		return false
	}
	chunks := h.log.from(r.position())
	for _, chunk := range chunks {
		h.indexChunk(chunk, math.MaxInt)
	}
	if reason, cut := h.log.cutSince(ch, r.position()); cut {
		r.refused = reason
		return false
	}
	h.replays.used = time.Now()
	key := h.log.key(s.group.topic.index, []byte(s.group.topic.value))
	for _, chunk := range chunks {
		for places := chunk.index[key]; len(places) > 0; {
			n, mine := places[0].entry, 1
			for mine < len(places) && places[mine].entry == n {
				mine++
			}
			here := places[:mine]
			places = places[mine:]
			tx := chunk.entries[n]
			if tx.Commit < r.position() {
				continue
			}
			if most < 0 {
				return true
			}
			most -= tx.Size()
			skip := 0
			if tx.Commit == r.position() {
				skip = int(r.at.Index)
			}
			if frame := h.replayShared(s, tx, here, skip); frame != nil {
				r.frames = append(r.frames, frame)
				r.bytes += len(frame)
			}
			r.at.Position, r.at.Index = uint64(tx.End), 0
			if r.bytes > h.queueBytes/2 {
				r.tooMuch()
				return false
			}
		}
	}
	return false
}

// replayShared is replayOne with the frame that another one has got for the same, where there is one: those who come back
// together missed the same.
func (h *Hub) replayShared(s *subscription, tx *cdc.Transaction, places []logPlace, skip int) []byte {
	t := s.group.topic
	if skip > 0 || t.channel().apart() {
		return h.replayOne(s, tx, places, skip)
	}
	key := replayKey{tx, t.index, t.value, s.group.echo, s.group.deflated}
	frame, known := h.replays.frames[key]
	if !known {
		frame = h.replayOne(s, tx, places, 0)
		h.replays.keep(key, frame)
	}
	return frame
}

// replays holds frames of the log that were made for clients that come back. It belongs to the hub's lock.
type replays struct {
	frames map[replayKey][]byte
	bytes  int
	used   time.Time
}

type replayKey struct {
	tx          *cdc.Transaction
	index       *scopeIndex
	value, echo string
	deflated    bool
}

const (
	// maxReplays bounds what is held, in bytes.
	maxReplays = 32 << 20
	// replaysFor is how long they are held when nobody comes back.
	replaysFor = 2 * time.Second
)

func (r *replays) keep(key replayKey, frame []byte) {
	const around = 128 // bytes of an entry besides the frame
	if r.bytes += len(frame) + around; r.frames == nil || r.bytes > maxReplays {
		r.frames, r.bytes = map[replayKey][]byte{}, len(frame)+around
	}
	r.frames[key] = frame
}

func (r *replays) trim(now time.Time) {
	if now.Sub(r.used) > replaysFor {
		r.frames, r.bytes = nil, 0
	}
}

// replayOne makes the frame, in wire form, of what a transaction of the log does to one subscription, nil where that is nothing. places
// are the changes to look at, skip is how many changes of the transaction the client has.
func (h *Hub) replayOne(s *subscription, tx *cdc.Transaction, places []logPlace, skip int) []byte {
	n := 0
	for change := range tx.Changes() {
		if len(places) == 0 {
			break
		}
		if places[0].change == n && n >= skip {
			for _, b := range h.bindingsThen(change.Table) {
				if b.channel == s.group.channel() {
					h.routeTo(s, tx, b, &change)
				}
			}
		}
		for len(places) > 0 && places[0].change == n { // a value may be listed twice: keys are hashes
			places = places[1:]
		}
		n++
	}
	cursor := protocol.Cursor{Epoch: h.epoch, Position: uint64(tx.End)}.String()
	frame := h.transactionFrame(s.client, s.client.parts, protocol.Transaction{Cursor: cursor, CommitTime: tx.Time()})
	h.clearParts()
	return frame
}
