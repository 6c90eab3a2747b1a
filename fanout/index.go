package fanout

import "github.com/reactive-gw/reactive-gw/cdc"

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
	// table is the OID of the table that the channel's views are of, 0 while that is not known.
	table uint32
	// broken: the table was altered so that bind refuses it, and no change can be routed any more.
	broken bool
}

// scopeIndex holds the topics of one scope column by the canonical text of their values.
type scopeIndex struct {
	Scope
	topics map[string]*topic
}

// topic is one (channel, scope) that somebody subscribed to.
type topic struct {
	channel *channel
	index   *scopeIndex
	value   string
	groups  []*group
}

// group is the subscribers of a topic that wrote the scope in the same way. Frames repeat the scope as the client sent
// it, so a frame can be shared within a group.
type group struct {
	topic *topic
	echo  string
	// extended: its subscribers speak the extended protocol.
	extended bool
	subs     []*subscription
	// waiting counts the subscriptions that are to come in when they have their snapshot.
	waiting int
	// fresh counts those in subs whose snapshot may have shown what the stream still brings: see subscription.seen.
	fresh int
	batch batch
	// listed: it is in Hub.batches.
	listed bool
	part   *part // what the transaction at hand does to all of subs, where that is the same
}

// subscription is one client's place in a group.
type subscription struct {
	client *Client
	group  *group
	at     int   // in group.subs; negative while it waits for its snapshot
	seen   *seen // nil where there was no snapshot, or the stream has passed it
	// again: what it waits for is a snapshot that the client has not asked for.
	again   bool
	reading *reading // that it waits for
	aside   bool     // it waits for room in the client's queue: see Hub.setAside
	part    *part    // what the transaction at hand does to it alone
	hold    *hold    // nil unless it is on hold
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
		t = &topic{channel: c, index: s, value: value}
		s.topics[value] = t
	}
	return t
}

// group returns the group for a new subscription. Where the events that a batch gathers are not the same for every client,
// it is a new one, and stays the client's own.
func (t *topic) group(echo []byte, extended bool) *group {
	if extended || t.channel.BatchEvery == 0 || !t.channel.apart() {
		for _, g := range t.groups {
			if g.echo == string(echo) && g.extended == extended {
				return g
			}
		}
	}
	g := &group{topic: t, echo: string(echo), extended: extended}
	t.groups = append(t.groups, g)
	return g
}

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
	s.at = len(s.group.subs)
	s.group.subs = append(s.group.subs, s)
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
	t := g.topic
	for i := range t.groups {
		if t.groups[i] == g {
			t.groups = append(t.groups[:i], t.groups[i+1:]...)
			break
		}
	}
	if len(t.groups) == 0 {
		delete(t.index.topics, t.value)
	}
}

// active lists the channel's subscriptions that get changes.
func (c *channel) active() []*subscription {
	var all []*subscription
	for i := range c.scopes {
		for _, t := range c.scopes[i].topics {
			for _, g := range t.groups {
				all = append(all, g.subs...)
			}
		}
	}
	return all
}
