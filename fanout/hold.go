package fanout

import (
	"context"
	"errors"
	"slices"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// hold keeps the frames of a subscription while it is asked whether the client may still have them: after a transaction
// that may have taken the right away, or when the client has become another one by a new token. With a yes they go out in
// order. With a no, or without an answer in time, the subscription ends, and nothing that was kept has reached the client.
// These two are told apart: no answer is no refusal. Until the time is up it is asked again.
//
// What concerns it while it is on hold is another question, which is asked when the first one is answered: a yes lets go of
// what was kept in between. Otherwise answers would come too late for ever where concerns come faster than they do.
type hold struct {
	question
	// next is what has concerned it since; nil where nothing has.
	next   *question
	until  time.Time // when the question has to be answered
	frames []heldFrame
	bytes  int
	asking bool
	// authorize asks; nil is the channel's guard.
	authorize Authorize
	// undecided is how often there was no answer, and again when it is asked next.
	undecided int
	again     time.Time
	// waiting are told when it was asked once, or is not asked any more.
	waiting []func()
}

// Authorize asks whether a client may be subscribed. An error is a no, but for one that has a method Undecided which returns
// true: then there was no answer. A panic is a no.
type Authorize func(ctx context.Context, viewer any, s ScopeValue) error

// undecided tells whether an error of Authorize says that there was no answer.
func undecided(err error) bool {
	u, ok := errors.AsType[interface {
		error
		Undecided() bool
	}](err)
	return ok && u.Undecided()
}

// told tells those who wait that there was an answer, or that none comes.
func (s *hold) told() {
	for _, f := range s.waiting {
		f()
	}
	s.waiting = nil
}

// question is whether the client may have what is kept from a number on.
type question struct {
	from uint64 // of Client.kept
	// after are transactions that a query has to show before its answer counts: a commit is in the log before queries see it.
	after []uint32
}

type heldFrame struct {
	number uint64
	frame  []byte
}

const (
	// holdTimeout bounds how long a subscription may be on hold after the last transaction that concerned it.
	holdTimeout = 10 * time.Second
	// holdAskers is how many questions are open at the same time: authorizers ask what is open together.
	holdAskers = 512
	// undecidedPause is between two questions of which the first had no answer, at first; it doubles up to undecidedMost.
	undecidedPause = 250 * time.Millisecond
	undecidedMost  = 2 * time.Second
	// holdPause is between two looks at which transactions have become visible, at first; it doubles up to holdPauseMost.
	holdPause     = 2 * time.Millisecond
	holdPauseMost = 250 * time.Millisecond
	// visibleTimeout bounds one such look.
	visibleTimeout = 2 * time.Second
)

// holdBack puts a subscription on hold, if it is concerned. What it was due before goes out before.
func (h *Hub) holdBack(s *subscription, concern Concern) {
	if concern.Client != nil && !concern.Client(s.client.viewer, s.scope()) {
		return
	}
	after := s.group.channel().unseen()
	held := h.held[s]
	switch {
	case held == nil:
		h.holdFrom(s, &hold{question: question{s.client.numbered, after}})
	case held.next == nil:
		held.next = &question{s.client.numbered, after}
	default:
		held.next.after = after
	}
	signal(h.holdWake)
}

// holdFrom puts a subscription on hold that is not.
func (h *Hub) holdFrom(s *subscription, held *hold) {
	h.release(s.group)
	held.until = time.Now().Add(holdTimeout)
	h.held[s] = held
	s.client.holds++
}

// holdAgain asks about the client as it is now, by what authorize asks. What was kept is kept on: an answer about the client
// as it was does not count for it.
func (h *Hub) holdAgain(s *subscription, authorize Authorize, told func()) {
	now := &hold{question: question{s.client.numbered, s.group.channel().unseen()}, authorize: authorize}
	if was := h.held[s]; was != nil {
		now.from, now.frames, now.bytes, now.waiting, now.until = was.from, was.frames, was.bytes, was.waiting, time.Now().Add(holdTimeout)
		h.held[s] = now
	} else {
		h.holdFrom(s, now)
	}
	now.waiting = append(now.waiting, told)
	signal(h.holdWake)
}

// unseen are the transactions that may have taken a right to the channel away and that no query has shown.
func (ch *channel) unseen() []uint32 {
	if ch.guard == nil {
		return nil
	}
	return slices.Clone(ch.guard.unseen)
}

// scope is what the subscription is to.
func (s *subscription) scope() ScopeValue {
	t := s.group.topic
	return ScopeValue{Column: t.index.Column, Type: t.index.Type, Text: t.value}
}

// tellOf is put for a frame that is not in wire form yet.
func (h *Hub) tellOf(s *subscription, frame []byte) bool {
	return h.put(s, h.encoder.wire(frame, s.group.dialect))
}

// put queues a frame of a subscription, or keeps it while that is on hold. It tells whether the client still takes any.
func (h *Hub) put(s *subscription, frame []byte) bool {
	c := s.client
	if c.holds == 0 {
		return h.queueUp(c, frame)
	}
	held := h.held[s]
	switch {
	case c.extended:
		return h.keep(c, kept{about: s, frame: frame, bytes: len(frame)})
	case held == nil:
		return h.queueUp(c, frame)
	case !h.roomToKeep(c, len(frame)):
		return false
	}
	held.frames = append(held.frames, heldFrame{c.numbered, frame})
	held.bytes += len(frame)
	c.held += len(frame)
	c.numbered++
	return true
}

// roomToKeep tells whether the client's held frames may become more. A client for which they may not has to go.
func (h *Hub) roomToKeep(c *Client, bytes int) bool {
	if c.held+bytes > h.queueBytes && c.held > 0 {
		c.queue.close(protocol.CloseSlowConsumer)
		return false
	}
	return true
}

// letGo ends a hold and returns what it kept.
func (h *Hub) letGo(s *subscription) (frames []heldFrame) {
	held := h.held[s]
	if held == nil {
		return nil
	}
	c := s.client
	frames = held.frames
	c.held -= held.bytes
	c.holds--
	delete(h.held, s)
	held.told()
	h.pushKept(c)
	h.letIn(c)
	return frames
}

// ask goes on to the next question.
func (s *hold) ask(now time.Time) {
	s.question, s.next, s.until = *s.next, nil, now.Add(holdTimeout)
	s.undecided, s.again = 0, time.Time{}
}

// letGoBefore lets go of what was kept before the question that is open now.
func (h *Hub) letGoBefore(s *subscription) {
	c, held := s.client, h.held[s]
	for len(held.frames) > 0 && held.frames[0].number < held.from {
		frame := held.frames[0].frame
		held.frames = held.frames[1:]
		held.bytes -= len(frame)
		c.held -= len(frame)
		h.push(c, frame)
	}
	h.pushKept(c)
	h.letIn(c)
}

// revoke ends a subscription that the client may not have any more.
func (h *Hub) revoke(s *subscription, why error) {
	h.logger.Debug("subscription revoked", zap.String("channel", s.group.channel().Name), zap.Error(why))
	h.revoked++
	h.forbid(s)
}

var errNoAnswer = errors.New("there was no answer in time")

// giveUpHold ends a subscription of which nobody could say in time whether the client may have it: that is no refusal.
func (h *Hub) giveUpHold(s *subscription) {
	s.group.channel().undecided.note(errNoAnswer)
	if s.group.extended {
		h.end(s, protocol.CodeUnavailable, "it could not be found out whether the client may still see this")
		return
	}
	h.drop(s)
	h.dismiss(s.client, protocol.CloseTryAgainLater)
}

// settleHolds asks about the subscriptions that are on hold, until ctx ends.
func (h *Hub) settleHolds(ctx context.Context) {
	var askers errgroup.Group
	askers.SetLimit(holdAskers)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	pause := holdPause
	for {
		select {
		case <-h.holdWake:
			pause = holdPause
		case <-timer.C:
			pause = min(2*pause, holdPauseMost)
		case <-ctx.Done():
			_ = askers.Wait() // they return no error
			return
		}
		h.lookForHolds(ctx)
		if h.settle(ctx, &askers) {
			timer.Reset(pause)
		}
	}
}

// lookForHolds finds out which of the transactions that took rights away a query shows by now. Where that cannot be found
// out, holds end when their time does.
func (h *Hub) lookForHolds(ctx context.Context) {
	h.mu.Lock()
	unseen := h.visible != nil && slices.ContainsFunc(h.registry.guarded, func(ch *channel) bool { return len(ch.guard.unseen) > 0 })
	h.mu.Unlock()
	if !unseen {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, visibleTimeout)
	defer cancel()
	v, err := h.visible(ctx)
	if err != nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, ch := range h.registry.guarded {
		ch.guard.look(&v)
	}
}

// settle asks about each subscription whose answer would count, and ends those without one. It tells whether there is
// anything to come back for.
func (h *Hub) settle(ctx context.Context, askers *errgroup.Group) (more bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	now := time.Now()
	for s, held := range h.held {
		guard := s.group.channel().guard
		shown := guard == nil || !slices.ContainsFunc(held.after, func(xid uint32) bool { return slices.Contains(guard.unseen, xid) })
		switch {
		case now.After(held.until) && held.undecided > 0:
			h.giveUpHold(s)
		case shown && !held.asking && now.Before(held.again):
		case shown && !held.asking: // also where its time has passed: it is not the client's fault that others were asked about
			held.asking = true // before the asker may look
			viewer, scope, authorize := s.client.viewer, s.scope(), held.authorize
			if authorize == nil {
				authorize = guard.Authorize
			}
			if !askers.TryGo(func() error {
				h.answered(s, held, askGuard(ctx, authorize, viewer, scope))
				return nil
			}) {
				held.asking = false
				return true // an answer wakes it: to look at the others now is of no use
			}
		case now.After(held.until):
			h.giveUpHold(s)
		}
	}
	return len(h.held) > 0 || slices.ContainsFunc(h.registry.guarded, func(ch *channel) bool { return len(ch.guard.unseen) > 0 })
}

// askGuard takes a panic for a no.
func askGuard(ctx context.Context, authorize Authorize, viewer any, s ScopeValue) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanicked
		}
	}()
	return authorize(ctx, viewer, s)
}

// answered ends a hold, or goes on to its next question. A no counts when there is none: what has concerned the subscription
// since may have given the right back. Where there was no answer it is asked again after a while, until its time is up.
func (h *Hub) answered(s *subscription, asked *hold, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	defer signal(h.holdWake)
	asked.asking = false
	if h.held[s] != asked {
		return
	}
	defer asked.told()
	switch {
	case undecided(err):
		now := time.Now()
		if asked.next != nil { // an answer to that is one to this
			asked.after, asked.next = asked.next.after, nil
		}
		asked.again = now.Add(min(undecidedPause<<min(asked.undecided, 10), undecidedMost))
		asked.undecided++
		if now.After(asked.until) {
			h.giveUpHold(s)
		}
	case err != nil && asked.next != nil:
		from := asked.from // is not answered yet
		asked.ask(time.Now())
		asked.from = from
	case err != nil:
		h.revoke(s, err)
	case asked.next != nil:
		asked.ask(time.Now())
		h.letGoBefore(s)
	default:
		for _, held := range h.letGo(s) {
			h.push(s.client, held.frame)
		}
	}
}
