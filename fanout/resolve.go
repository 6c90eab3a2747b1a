package fanout

import (
	"errors"
	"slices"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// ScopeResolver finds the scopes of a row where they are not the values of its own columns. Its methods are called by one
// goroutine at a time.
type ScopeResolver interface {
	// Resolve returns the scopes of one image of a row. With an error they are not known, and the channel's views begin
	// anew. The error goes into the log, so its text must hold nothing of the row. A panic in it is an error.
	Resolve(t *cdc.Table, row cdc.Row) ([]RowScope, error)
}

// RowScope is one scope of a row. Value is written as a client may write it.
type RowScope struct{ Column, Value string }

// resolver is a channel's ScopeResolver at work on changes. It belongs to the hub's lock, but for failures.
type resolver struct {
	ScopeResolver
	failures *failures
}

func newResolver(ch *Channel, log *zap.Logger) *resolver {
	return &resolver{ch.Resolver, &failures{
		log: log, channel: ch.Name, message: "resolveScopes gave no answer, so the channel's views begin anew",
	}}
}

// place is a row's place in the index: a scope that is resolved and a value, in its canonical text.
type place struct {
	index *scopeIndex
	value string
}

var errNotAScope = errors.New("it came to something that is no scope of the channel, or no value of the scope's type")

// places returns where a row is, each place once, and false where that is not known.
func (b *binding) places(t *cdc.Table, row cdc.Row) (places []place, known bool) {
	r := b.channel.resolver
	defer r.failures.caught()
	scopes, err := r.Resolve(t, row)
	if err != nil {
		r.failures.note(err)
		return nil, false
	}
	for _, s := range scopes {
		index := b.channel.scope(s.Column)
		if index == nil || !index.Resolved {
			r.failures.note(errNotAScope)
			return nil, false
		}
		value, ok := index.Type.Canonical(s.Value)
		if !ok {
			r.failures.note(errNotAScope)
			return nil, false
		}
		if at := (place{index, value}); !slices.Contains(places, at) {
			places = append(places, at)
		}
	}
	return places, true
}

// ways are a row's ways through the views of the scopes that are resolved: where it was and where it is. They return
// false where that is not known.
func (b *binding) ways(c *cdc.Change) (was, now []place, known bool) {
	if !b.judgeable(b.resolved, c) {
		return nil, nil, false
	}
	if c.Op == cdc.Update && !b.sees(b.resolved, c) {
		image := c.Before
		if image == nil {
			image = c.After
		}
		now, known = b.places(c.Table, image)
		return now, now, known
	}
	known = true
	if c.Op != cdc.Insert {
		if was, known = b.places(c.Table, c.Before); !known {
			return nil, nil, false
		}
	}
	if c.Op != cdc.Delete {
		now, known = b.places(c.Table, c.After)
	}
	return was, now, known
}

// watched tells whether anybody looks at a view of a scope that is resolved.
func (c *channel) watched() bool {
	return slices.ContainsFunc(c.scopes, func(s scopeIndex) bool { return s.Resolved && len(s.topics) > 0 })
}

// routeResolved does route's work for the scopes that are resolved.
func (d *delta) routeResolved() bool {
	if !d.binding.channel.watched() {
		return true
	}
	was, now, known := d.binding.ways(d.change)
	if !known {
		return false
	}
	for _, p := range was {
		d.send(p.index.topics[p.value], true, slices.Contains(now, p))
	}
	for _, p := range now {
		if !slices.Contains(was, p) {
			d.send(p.index.topics[p.value], false, true)
		}
	}
	return true
}
