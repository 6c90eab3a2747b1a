package fanout

import (
	"context"
	"slices"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// Guard says when clients may have lost the right to what they are subscribed to, and asks anew. Its methods may be called
// from any goroutine, and those without a context must not wait.
type Guard interface {
	// Tables are those whose changes may take a right away.
	Tables() []TableName
	// Concerns says which subscriptions of the channel a change of such a table may concern.
	Concerns(c *cdc.Change) []Concern
	// Forget drops the answers that are remembered. One that is on its way is not remembered either.
	Forget()
	// Authorize asks whether a client may be subscribed: see the type of that name.
	Authorize(ctx context.Context, viewer any, s ScopeValue) error
}

// Concern names subscriptions of a channel.
type Concern struct {
	// Column and Value are their scope; with an empty Column all scopes are meant.
	Column, Value string
	// Client tells which clients are meant; nil is all.
	Client func(viewer any, s ScopeValue) bool
}

// guard is a channel's Guard at work. It belongs to the hub's lock.
type guard struct {
	Guard
	// revision counts, from 1, the transactions that may have taken a right away.
	revision uint64
	// unseen are those of them that no look at the database has shown: who asks now may get the answer of before.
	unseen []uint32
}

// asked is what a client has asked, before its subscription can begin.
type asked struct {
	channel  *channel
	revision uint64 // of its guard, or 0: the answer may be one of before
}

// Ask says what a scope stands for, to be decided upon before the client subscribes. What changes between this call and
// Subscribe is noticed there. The error is a *protocol.Error.
func (c *Client) Ask(channel string, scope protocol.Scope) (ScopeValue, error) {
	h := c.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	ch, index, value, err := h.resolve(channel, scope)
	if err != nil {
		return ScopeValue{}, err
	}
	c.asked = asked{channel: ch}
	if g := ch.guard; g != nil && len(g.unseen) == 0 {
		c.asked.revision = g.revision
	}
	return ScopeValue{Column: index.Column, Type: index.Type, Text: value}, nil
}

// outdated tells whether the client may have lost the right to a channel since it asked.
func (c *Client) outdated(ch *channel) bool {
	return ch.guard != nil && c.asked != asked{ch, ch.guard.revision}
}

// holdConcerned puts on hold whoever may lose a right by a transaction, before anything of it is delivered.
func (h *Hub) holdConcerned(tx *cdc.Transaction) {
	guards := h.registry.guards
	if !slices.ContainsFunc(tx.Tables(), func(t *cdc.Table) bool { return guards[TableName{t.Schema, t.Name}] != nil }) {
		return
	}
	scans := map[*channel]int{} // concerns of a transaction for which all subscriptions of a channel were looked at
	for change := range tx.Changes() {
		for _, ch := range guards[TableName{change.Table.Schema, change.Table.Name}] {
			if scans[ch] > maxScans {
				continue
			}
			for _, concern := range ch.guard.Concerns(&change) {
				ch.guard.passed(tx.XID)
				signal(h.holdWake) // also where nobody is concerned: what has passed is forgotten when it is visible
				if concern.Column == "" {
					scans[ch]++
					if concern.Client == nil || scans[ch] == maxScans {
						concern, scans[ch] = Concern{}, maxScans+1
					}
				}
				h.hold(ch, concern)
			}
		}
	}
}

// maxScans is after how many looks at all subscriptions of a channel, for one transaction, all of them are on hold.
const maxScans = 100

// passed notes a transaction that may have taken a right away.
func (g *guard) passed(xid uint32) {
	if last := len(g.unseen) - 1; last >= 0 && g.unseen[last] == xid {
		return // another change of the same transaction
	}
	g.revision++
	g.unseen = append(g.unseen, xid)
	g.Forget()
}

// look takes in which transactions a query shows by now.
func (g *guard) look(v *cdc.Visibility) {
	before := len(g.unseen)
	if g.unseen = slices.DeleteFunc(g.unseen, v.Shows); len(g.unseen) < before {
		g.Forget() // what was answered and remembered meanwhile may be the answer of before
	}
}

// hold puts the subscriptions on hold that are concerned.
func (h *Hub) hold(ch *channel, concern Concern) {
	if concern.Column == "" {
		for c := range h.clients {
			for t, s := range c.subs {
				if t.channel() == ch {
					h.holdBack(s, concern)
				}
			}
		}
		return
	}
	index := ch.scope(concern.Column)
	if index == nil {
		return
	}
	t := index.topics[concern.Value]
	if t == nil {
		return
	}
	waiting := false
	for g := range t.all() {
		waiting = waiting || g.waiting > 0
		for _, s := range g.subs {
			h.holdBack(s, concern)
		}
	}
	if !waiting {
		return
	}
	for _, s := range h.waitingFor(ch) {
		if s.group.topic == t {
			h.holdBack(s, concern)
		}
	}
}
