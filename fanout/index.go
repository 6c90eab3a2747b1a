package fanout

import (
	"iter"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// The index finds the subscribers of a change without looking at any other: from a channel to its scope columns, from a
// column's value to the topic, from the topic to its subscribers. All of it belongs to the hub's lock.

// channel is a Channel with its subscriptions.
type channel struct {
	Channel
	scopes []scopeIndex
	filter *filter // nil where every client sees every row
	// resolver is nil where every scope is a column of the table.
	resolver *resolver
	lookup   LookupResolver // nil where the resolver need not ask
	guard    *guard         // nil where nobody loses a right
	// snapshotFailures are the snapshots that could not be read.
	snapshotFailures *failures
	// undecided are the subscriptions that ended for want of an answer to whether their client still has the right to them.
	undecided *failures
	// overflows are the changes that were too large to be told.
	overflows *failures
	// table is the OID of the table that the channel's views are of, 0 while that is not known.
	table uint32
	// broken: the table was altered so that bind refuses it, and no change can be routed any more.
	broken bool
	// withdrawn is why the channel is out of service, nil where it is in service, and opensAt the position of the stream from
	// which on it will be; 0 where that is not known.
	withdrawn *protocol.Error
	opensAt   cdc.LSN
}

// scopeIndex holds the topics of one scope column by the canonical text of their values.
type scopeIndex struct {
	Scope
	channel *channel
	topics  map[string]*topic
}

// topic is one (channel, scope) that somebody subscribed to. Clients may make very many, with a group and a subscription
// each: what these three hold is laid out to be small.
type topic struct {
	index  *scopeIndex
	value  string
	groups *group // the first; the others follow it
}

// group is the subscribers of a topic who get the same bytes: they wrote the scope in the same way, for frames repeat it as
// the client sent it, and they speak the same dialect.
type group struct {
	topic *topic
	echo  string // what topic.echo returned of the scope
	next  *group // of the topic
	subs  []*subscription
	one   [1]*subscription // where subs lies while there is but one: one place less to fetch on the way to most clients
	// waiting counts the subscriptions that are to come in when they have their snapshot.
	waiting int32
	// fresh counts those in subs whose snapshot may have shown what the stream still brings: see subscription.seen.
	fresh int32
	dialect
	active *active // nil while nothing comes for it
}

// subscription is one client's place in a group.
type subscription struct {
	client  *Client
	group   *group
	seen    *seen    // nil where there was no snapshot, or the stream has passed it
	reading *reading // that it waits for
	part    *part    // what the transaction at hand does to it alone
	at      int32    // in group.subs; negative while it waits for its snapshot
	again   bool     // what it waits for is a snapshot that the client has not asked for
	aside   bool     // it waits for room in the client's queue: see Hub.setAside
}

const awaiting = -1

// waits tells whether the subscription gets no changes yet, for want of its snapshot.
func (s *subscription) waits() bool { return s.at == awaiting }

// apart tells whether the events of a group's subscribers may differ, so that they are gathered for each of them.
func (c *channel) apart() bool { return c.filter != nil && c.filter.PerClient() }

func (c *channel) scope(column string) *scopeIndex {
	for i := range c.scopes {
		if c.scopes[i].Column == column {
			return &c.scopes[i]
		}
	}
	return nil
}

// find returns the topic of a value: nil for NULL, which no scope value equals, and where nobody subscribed.
func (s *scopeIndex) find(v cdc.Value) *topic {
	if v.State != cdc.Text {
		return nil
	}
	return s.topics[string(v.Text)]
}

func (c *channel) topic(s *scopeIndex, value string) *topic {
	t := s.topics[value]
	if t == nil {
		t = &topic{index: s, value: value}
		s.topics[value] = t
	}
	return t
}

func (t *topic) channel() *channel { return t.index.channel }

// echo is what a group has to keep of the scope as the client wrote it: nothing where appendScope knows it anyway.
func (t *topic) echo(raw []byte) string {
	if string(t.appendScope(nil, "")) == string(raw) {
		return ""
	}
	return string(raw)
}

// appendScope appends the scope as the client wrote it, given its echo.
func (t *topic) appendScope(dst []byte, echo string) []byte {
	if echo != "" {
		return append(dst, echo...)
	}
	dst = append(dst, `{"col":`...)
	dst = protocol.AppendString(dst, t.index.Column)
	dst = append(dst, `,"value":`...)
	return append(t.index.Type.appendJSON(dst, t.value), '}')
}

// all yields the topic's groups. The one that is yielded may be taken out.
func (t *topic) all() iter.Seq[*group] {
	return func(yield func(*group) bool) {
		for g := t.groups; g != nil; {
			next := g.next
			if !yield(g) {
				return
			}
			g = next
		}
	}
}

// group returns the group for a new subscription. Where the events that a batch gathers are not the same for every client,
// it is a new one, and stays the client's own.
func (t *topic) group(raw []byte, d dialect) *group {
	echo, ch := t.echo(raw), t.channel()
	if d.extended || ch.BatchEvery == 0 || !ch.apart() {
		for g := range t.all() {
			if g.echo == echo && g.dialect == d {
				return g
			}
		}
	}
	g := &group{topic: t, echo: echo, dialect: d, next: t.groups}
	t.groups = g
	return g
}

func (g *group) channel() *channel { return g.topic.channel() }

// appendScope appends the scope as the group's clients wrote it.
func (g *group) appendScope(dst []byte) []byte { return g.topic.appendScope(dst, g.echo) }

// scope is appendScope into a slice of its own.
func (g *group) scope() []byte { return g.appendScope(nil) }

// add makes a subscription that waits for activate.
func (g *group) add(c *Client) *subscription {
	g.waiting++
	return &subscription{client: c, group: g, at: awaiting}
}

// activate lets the subscription get changes from now on, but for those that its snapshot has shown; seen is nil where
// there was none.
func (s *subscription) activate(seen *seen) {
	s.group.waiting--
	s.again = false
	if s.seen = seen; seen != nil {
		s.group.fresh++
	}
	g := s.group
	if g.subs == nil {
		g.subs = g.one[:0]
	}
	s.at = int32(len(g.subs))
	g.subs = append(g.subs, s)
}

// suspend makes an active subscription wait for a snapshot again.
func (s *subscription) suspend() {
	s.group.waiting++
	s.takeOut()
	s.at = awaiting
}

// passed notes that the stream has passed the subscription's snapshot.
func (s *subscription) passed() {
	if s.seen != nil {
		s.seen = nil
		s.group.fresh--
	}
}

func (s *subscription) takeOut() {
	s.passed()
	g, last := s.group, len(s.group.subs)-1
	g.subs[s.at] = g.subs[last]
	g.subs[s.at].at = s.at
	g.subs[last] = nil
	g.subs = g.subs[:last]
}

// remove takes a subscription out, and with the last one its group and topic: what clients may name must not gather.
func (s *subscription) remove() {
	g := s.group
	if s.waits() {
		g.waiting--
	} else {
		s.takeOut()
	}
	if len(g.subs) > 0 || g.waiting > 0 {
		return
	}
	at := &g.topic.groups
	for *at != g {
		at = &(*at).next
	}
	*at = g.next
	if t := g.topic; t.groups == nil {
		delete(t.index.topics, t.value)
	}
}

// active lists the channel's subscriptions that get changes.
func (c *channel) active() []*subscription {
	var all []*subscription
	for i := range c.scopes {
		for _, t := range c.scopes[i].topics {
			for g := range t.all() {
				all = append(all, g.subs...)
			}
		}
	}
	return all
}
