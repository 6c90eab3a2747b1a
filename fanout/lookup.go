package fanout

import (
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// LookupResolver is a ScopeResolver that has to ask for what it answers, which the hub cannot wait for while it delivers.
// Prepare may run while Resolve does.
type LookupResolver interface {
	ScopeResolver
	// Prepare hears of each transaction before it is delivered, and is the only method that may wait, for a bounded time.
	// Where needed is set, Resolve is to know of the transaction's rows afterwards. It returns which of the channel's views
	// are not true any more, because what the transaction changed makes answers other ones: all, or those of some scopes.
	Prepare(tx *cdc.Transaction, needed bool) (all bool, stale []RowScope)
	// Forget drops all that is known: after a gap in the stream.
	Forget()
}

// stale are a channel's views that are not true any more.
type stale struct {
	channel *channel
	all     bool
	scopes  []RowScope
}

// prepare lets those look things up who have to. It is called before the hub's lock is taken.
func (h *Hub) prepare(tx *cdc.Transaction) (views []stale) {
	for _, ch := range h.registry.lookups {
		h.mu.Lock()
		needed := ch.watched() && !ch.broken
		h.mu.Unlock()
		all, scopes := ch.lookup.Prepare(tx, needed)
		if all || len(scopes) > 0 {
			views = append(views, stale{ch, all, scopes})
		}
	}
	return views
}

// beginStale lets views begin anew that a transaction made untrue without changing their rows.
func (h *Hub) beginStale(s stale) {
	if s.all {
		for i := range s.channel.scopes {
			if index := &s.channel.scopes[i]; index.Resolved {
				for _, t := range index.topics {
					h.beginAnewOf(t, protocol.ResetSchema)
				}
			}
		}
		return
	}
	for _, scope := range s.scopes {
		index := s.channel.scope(scope.Column)
		if index == nil {
			continue
		}
		value, ok := index.Type.Canonical(scope.Value)
		if t := index.topics[value]; ok && t != nil {
			h.beginAnewOf(t, protocol.ResetSchema)
		}
	}
}
