package fanout

import (
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// SubscribeSince is Subscribe for a client of the extended protocol that has held the view up to a cursor. Where all that
// it missed is still known, it gets that instead of a snapshot. Otherwise it is told why not, and begins anew.
func (c *Client) SubscribeSince(channel string, scope protocol.Scope, since string) error {
	c.hub.indexSince(since)
	return c.subscribe(channel, scope, since)
}

// indexSince does the longer part of the work of a resumption, the index of what was missed, a little at a time: nobody
// is to wait for a client that was long away.
func (h *Hub) indexSince(since string) {
	cursor, err := protocol.ParseCursor(since)
	for more := err == nil; more; {
		more = func() bool {
			h.mu.Lock()
			defer h.mu.Unlock()
			if cursor.Epoch != h.epoch || !h.log.reaches(cdc.LSN(cursor.Position)) {
				return false
			}
			for _, chunk := range h.log.from(cdc.LSN(cursor.Position)) {
				if chunk.full && chunk.indexed < len(chunk.entries) {
					h.indexChunk(chunk)
					return true
				}
			}
			return false
		}()
	}
}

// resume returns the frames that a subscription missed since a cursor. reason is empty where that is all, and otherwise why
// it is not known.
func (h *Hub) resume(s *subscription, since string) (frames [][]byte, reason protocol.ResetReason) {
	cursor, err := protocol.ParseCursor(since)
	at, ch := cdc.LSN(cursor.Position), s.group.topic.channel
	switch {
	case err != nil || cursor.Epoch != h.epoch || at > h.position:
		return nil, protocol.ResetRestart
	case !h.log.reaches(at) || ch.Beside:
		return nil, protocol.ResetLogExpired
	}
	chunks := h.log.from(at)
	for _, chunk := range chunks {
		h.indexChunk(chunk)
	}
	if reason, cut := h.log.cutSince(ch, at); cut {
		return nil, reason
	}
	bytes := 0
	key := h.log.key(s.group.topic.index, []byte(s.group.topic.value))
	for _, chunk := range chunks {
		places := chunk.index[key]
		for len(places) > 0 {
			n := places[0].entry
			mine := 0
			for mine < len(places) && places[mine].entry == n {
				mine++
			}
			if tx := chunk.entries[n]; tx.Commit >= at {
				skip := 0
				if tx.Commit == at {
					skip = int(cursor.Index)
				}
				if frame := h.replay(s, tx, places[:mine], skip); frame != nil {
					frames = append(frames, frame)
					bytes += len(frame)
				}
			}
			places = places[mine:]
		}
		if bytes > h.queueBytes/2 {
			return nil, protocol.ResetLogExpired // a snapshot is smaller, or fails no worse
		}
	}
	return frames, ""
}

// replay makes the frame of what a transaction of the log does to one subscription, nil where that is nothing. places are
// the changes to look at, skip is how many changes of the transaction the client has.
func (h *Hub) replay(s *subscription, tx *cdc.Transaction, places []logPlace, skip int) []byte {
	n := 0
	for change := range tx.Changes() {
		if len(places) == 0 {
			break
		}
		if places[0].change == n && n >= skip {
			for _, b := range h.bindingsThen(change.Table) {
				if b.channel == s.group.topic.channel {
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
	frame := s.client.transactionFrame(protocol.Transaction{Cursor: cursor, CommitTime: tx.Time})
	h.clearParts()
	return frame
}
