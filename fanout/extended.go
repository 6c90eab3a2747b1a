package fanout

import (
	"context"
	"slices"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
	"github.com/reactive-gw/reactive-gw/protocol/wire"
)

// A client of the extended protocol gets one frame for all that a commit does to its subscriptions. While a transaction
// is routed, its events gather in parts, one for each subscription, which those who get the same share. At the end the
// parts of each client become its frame.

// part is what the transaction at hand does to the subscriptions of a group, or to one of them.
type part struct {
	group  *group
	alone  *subscription // that gets it; nil where all of the group do
	events []byte        // joined
	frame  []byte        // in wire form, for the clients that get nothing else; nil until the first of them
	body   []byte        // for the others; empty until the first of them
	kept   bool          // for longer than the transaction: see keepTransaction
}

// maxTransactionFrame is the size, in bytes of events in parts, above which a transaction is sent in several frames.
const maxTransactionFrame = 1 << 20

// parts are those of the transaction at hand. They belong to the hub's lock.
type parts struct {
	tx      *cdc.Transaction
	all     []*part
	spare   []*part // to be used again
	bytes   int
	clients []*Client // that have parts
	split   []*Client // that were sent some frames already
	sent    int       // how often that happened, in this transaction and those before
}

// give makes it a part that a client gets.
func (p *parts) give(c *Client, one *part) {
	if len(c.parts) == 0 {
		p.clients = append(p.clients, c)
	}
	c.parts = append(c.parts, one)
}

func (p *parts) append(to *part, event []byte) {
	if len(event) > bigBuffer {
		to.events = slices.Grow(to.events, len(event)+1)
	}
	to.events = protocol.AppendJoined(to.events, event)
	p.bytes += len(event)
}

// add begins a part.
func (p *parts) add(g *group, alone *subscription) *part {
	var one *part
	if last := len(p.spare) - 1; last >= 0 {
		one, p.spare = p.spare[last], p.spare[:last]
	} else {
		one = &part{}
	}
	one.group, one.alone = g, alone
	p.all = append(p.all, one)
	return one
}

// spareBytes is the largest buffer that a part keeps for the next transactions, and spareParts how many parts do.
const (
	spareBytes = 16 << 10
	spareParts = 1000
)

// release takes back a part that is done with.
func (p *parts) release(one *part) {
	if one.kept || len(p.spare) == spareParts || cap(one.events)+cap(one.body) > spareBytes {
		return
	}
	*one = part{events: one.events[:0], body: one.body[:0]}
	p.spare = append(p.spare, one)
}

// tell adds an event for all subscribers of a group.
func (h *Hub) tell(g *group, event []byte) {
	if g.channel().apart() {
		for _, s := range g.subs {
			h.tellOne(s, event)
		}
		return
	}
	a := h.activate(g)
	if a.part == nil {
		a.part = h.parts.add(g, nil)
		for _, s := range g.subs {
			h.parts.give(s.client, a.part)
		}
	}
	h.parts.append(a.part, event)
}

// tellOne adds an event for one subscription.
func (h *Hub) tellOne(s *subscription, event []byte) {
	if s.part == nil {
		s.part = h.parts.add(s.group, s)
		h.parts.give(s.client, s.part)
	}
	h.parts.append(s.part, event)
}

// void drops what the transaction has done to a channel's views so far: they begin anew.
func (p *parts) void(ch *channel) {
	for _, one := range p.all {
		if one.group.channel() == ch {
			one.events = one.events[:0]
		}
	}
}

// splitIfLarge sends what has gathered where it is much, up to the given number of changes.
func (h *Hub) splitIfLarge(changes int) {
	if h.parts.bytes < maxTransactionFrame {
		return
	}
	p := &h.parts
	at := protocol.Cursor{Epoch: h.epoch, Position: uint64(p.tx.Commit), Index: uint32(changes)}
	t := protocol.Transaction{Cursor: at.String(), CommitTime: p.tx.Time(), Partial: true}
	for _, c := range p.clients {
		if h.sendTransaction(c, t) && !c.split {
			c.split = true
			p.split = append(p.split, c)
		}
	}
	p.sent++
	h.clearParts()
}

// sendTransaction sends a client the frame of its parts, or keeps them while it has to wait. It returns false where there
// are none.
func (h *Hub) sendTransaction(c *Client, t protocol.Transaction) bool {
	if c.holds > 0 {
		h.keepTransaction(c, t)
		return true
	}
	frame := h.transactionFrame(c, c.parts, t)
	if frame != nil {
		h.pushChanges(c, frame)
	}
	return frame != nil
}

// sendParts sends each client its frame of the transaction.
func (h *Hub) sendParts(at cdc.LSN) {
	p := &h.parts
	if len(p.clients) == 0 && len(p.split) == 0 {
		return
	}
	t := protocol.Transaction{Cursor: protocol.Cursor{Epoch: h.epoch, Position: uint64(at)}.String(), CommitTime: p.tx.Time()}
	for _, c := range p.clients {
		if h.sendTransaction(c, t) {
			c.split = false
		}
	}
	for _, c := range p.split {
		switch {
		case !c.split:
		case c.holds > 0:
			h.keepTransaction(c, t)
		default: // nothing more came for it: it has to learn that the transaction is over
			h.pushChanges(c, h.encoder.wire(protocol.AppendTransaction(nil, t), c.dialect))
		}
		c.split = false
	}
	h.clearParts()
	clear(p.split)
	p.split = p.split[:0]
}

func (h *Hub) pushChanges(c *Client, frame []byte) {
	if h.push(c, frame) {
		h.frames++
	}
}

func (h *Hub) clearParts() {
	p := &h.parts
	for _, c := range p.clients {
		clear(c.parts)
		c.parts = c.parts[:0]
	}
	for _, one := range p.all {
		if one.alone != nil {
			one.alone.part = nil
		} else {
			one.group.active.part = nil
		}
		p.release(one)
	}
	clear(p.clients)
	clear(p.all)
	p.clients, p.all, p.bytes = p.clients[:0], p.all[:0], 0
}

// transactionFrame makes the frame of a client's parts, in wire form; nil where they are empty.
func (h *Hub) transactionFrame(c *Client, parts []*part, t protocol.Transaction) []byte {
	var only *part
	full := 0
	for _, p := range parts {
		if len(p.events) > 0 {
			only = p
			full++
		}
	}
	switch full {
	case 0:
		return nil
	case 1:
		if only.frame == nil {
			e, body := &h.encoder, only.encoded()
			e.frame = protocol.AppendTransaction(room(e.frame, len(body)), t, body)
			only.frame = h.write(only.group, e.frame)
		}
		return only.frame
	}
	bodies, all := make([][]byte, 0, full), 0
	for _, p := range parts {
		if len(p.events) > 0 {
			bodies = append(bodies, p.encoded())
			all += len(p.body)
		}
	}
	e := &h.encoder
	e.frame = protocol.AppendTransaction(room(e.frame, all), t, bodies...)
	return e.wire(e.frame, c.dialect)
}

func (p *part) encoded() []byte {
	if len(p.body) == 0 {
		p.body = protocol.AppendPart(room(p.body, len(p.events)), p.group.channel().Name, p.group.scope(), p.events)
	}
	return p.body
}

// cursor is where the stream stands, between two transactions.
func (h *Hub) cursor() string {
	if h.cursorText == "" {
		h.cursorText = protocol.Cursor{Epoch: h.epoch, Position: uint64(h.position)}.String()
	}
	return h.cursorText
}

// reach moves on to a position up to which everything was delivered.
func (h *Hub) reach(position cdc.LSN) {
	if position <= h.position {
		return
	}
	h.position, h.cursorText = position, ""
	h.answerWaits()
	h.completeParked()
	h.openReached()
}

// beat sends every client of the extended protocol the cursor now and then, so that one that hears of no changes can
// resume as well. It returns when ctx has ended.
func (h *Hub) beat(ctx context.Context) {
	ticker := time.NewTicker(h.heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			h.sendHeartbeats()
		case <-ctx.Done():
			return
		}
	}
}

func (h *Hub) sendHeartbeats() {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	frame := wire.Make(protocol.AppendHeartbeat(nil, h.cursor())) // too short to be compressed
	for c := range h.clients {
		if c.extended {
			h.push(c, frame)
		}
	}
}

// Heartbeat answers a heartbeat of the client.
func (c *Client) Heartbeat() {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	h.say(c, protocol.AppendHeartbeat(nil, h.cursor()))
}

func (h *Hub) welcome() []byte {
	return protocol.AppendWelcome(nil, h.epoch, h.cursor(), h.heartbeat)
}

// tendEvery is how long the stream may stand still while somebody waits for it to move.
const tendEvery = 200 * time.Millisecond

// tend does what only time brings: it lets go of what was kept for too long, and moves the stream along where somebody
// waits for a position that nothing would bring, for the log's end may not be flushed yet, or lie behind what the server
// tells of. It returns when ctx has ended.
func (h *Hub) tend(ctx context.Context) {
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	var before cdc.LSN
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		h.mu.Lock()
		h.settleGroups()
		h.log.trim(time.Now(), h.position)
		h.noteNeeded()
		h.giveUpParked(time.Now())
		h.replays.trim(time.Now())
		stuck := h.position == before && (h.waits.recent(time.Now()) || len(h.parked) > 0 || len(h.opening) > 0)
		before = h.position
		h.mu.Unlock()
		if stuck && h.nudge != nil {
			_ = h.nudge(ctx) // it fails where the server is out of reach, and then the stream begins anew
		}
	}
}
