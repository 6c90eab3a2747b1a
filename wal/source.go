package wal

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// Source is the cdc.Source that reads the server's slot. It connects, makes sure that slot and publication are there,
// streams, and begins again whenever the connection is lost.
type Source struct {
	// Events decodes what SQL emits; nil ignores it. Spill bounds the memory of transactions that are not complete yet. They
	// are set before Run.
	Events Events
	Spill  cdc.Spill

	server      *Server
	url         string
	want        Wanted
	tracker     *cdc.Tracker
	checkpoints *Checkpoints
	log         *zap.Logger
	relations   relations
	stats       sourceStats

	// identity is the server that the positions in tracker belong to; nil before the first connection.
	identity *pglogrepl.IdentifySystemResult
	// walsender is the server's process for the last stream. yielded: clients were told that the slot is another's.
	walsender uint32
	yielded   bool
	// slotMade: the slot was made anew since the last stream.
	slotMade bool
	// unpublished is set by a notice: the server skipped changes for want of the publication.
	unpublished atomic.Bool
}

// NewSource makes a source. It starts nothing.
func NewSource(server *Server, url string, want Wanted, tracker *cdc.Tracker, checkpoints *Checkpoints, types *values.Catalog) *Source {
	return &Source{
		server: server, url: url, want: want, tracker: tracker, checkpoints: checkpoints, log: server.Log,
		relations: relations{catalog: server.Pool, types: types, keys: map[uint32][]string{}},
	}
}

// Stats may be called from any goroutine.
func (s *Source) Stats() Stats { return s.stats.snapshot(time.Now(), s.tracker.Reached()) }

const (
	minBackoff = 200 * time.Millisecond
	maxBackoff = 10 * time.Second
	// standbyPoll is how often a gateway asks for a slot that another one holds.
	standbyPoll = time.Second
	// steady is how long a stream must have lived for the next failure to count as the first.
	steady = 10 * time.Second
)

// Run implements cdc.Source. It returns an error only for what no retry mends.
func (s *Source) Run(ctx context.Context, handoff *cdc.Handoff) error {
	backoff := minBackoff
	for {
		began := time.Now()
		err := s.stream(ctx, handoff)
		s.stats.set(Connecting)
		switch {
		case ctx.Err() != nil:
			return nil
		case hasCode(err, pgerrcode.ObjectInUse):
			if backoff == minBackoff {
				s.log.Info("the slot is in use by another connection: waiting for our turn", zap.String("slot", s.server.Slot))
			}
			s.stats.set(Standby)
			backoff = standbyPoll
			s.yield(ctx, handoff)
		case !Temporary(err):
			return fmt.Errorf("stream: %w", err)
		default:
			if time.Since(began) > steady {
				backoff = minBackoff
			}
			s.log.Warn("replication interrupted: connecting again", zap.Error(err), zap.Duration("in", backoff))
		}
		if sleep(ctx, jitter(backoff)) != nil {
			return nil
		}
		backoff = min(2*backoff, maxBackoff)
		if State(s.stats.state.Load()) == Standby {
			backoff = standbyPoll
		}
	}
}

// yield tells the clients of a gateway that was live, once, that another one has taken its slot. A walsender of our own
// that the server has not yet missed may hold it too: then nobody takes anything away.
func (s *Source) yield(ctx context.Context, handoff *cdc.Handoff) {
	if s.identity == nil || s.yielded {
		return
	}
	slot, err := readSlot(ctx, s.server.Pool, s.server.Slot)
	if err != nil || slot == nil || !slot.Active || uint32(slot.ActivePID) == s.walsender {
		return
	}
	s.log.Error("another gateway has taken the slot: clients are sent away", zap.Int32("walsender", slot.ActivePID))
	for !handoff.Put(cdc.Delivery{Reset: cdc.ResetStandby}) {
		select {
		case <-handoff.Room():
		case <-ctx.Done():
			return
		}
	}
	s.yielded = true
}

// jitter spreads a wait over half to one and a half of it, so that gateways that lost a server together do not all come
// back together.
func jitter(d time.Duration) time.Duration { return d/2 + rand.N(d) }

// stream runs one connection until it ends.
func (s *Source) stream(ctx context.Context, handoff *cdc.Handoff) error {
	facts, err := s.server.Inspect(ctx)
	if err != nil {
		return err
	}
	want, gone := s.want.among(facts)
	if len(gone) > 0 {
		s.log.Error("configured tables no longer exist: nothing comes from them", zap.Strings("tables", gone))
	}
	slotMade, err := s.server.Ensure(ctx, facts, want)
	s.slotMade = s.slotMade || slotMade
	if err != nil {
		return err
	}
	conn, err := connectReplication(ctx, s.url, s.notice)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
		defer cancel()
		_ = conn.Close(ctx)
	}()
	identity, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return fmt.Errorf("identify system: %w", err)
	}
	st := &stream{
		conn: conn, tracker: s.tracker, handoff: handoff, stats: &s.stats, unpublished: &s.unpublished,
		collector: &collector{
			ctx: ctx, relations: &s.relations, tracker: s.tracker, assembler: cdc.Assembler{Spill: s.Spill}, events: s.Events,
		},
	}
	s.relations.forget()
	if err := st.start(ctx, s.server.Slot, s.server.Publication); err != nil {
		return err
	}
	if err := s.resume(ctx, st, &identity); err != nil {
		return err
	}
	s.walsender, s.yielded = conn.PID(), false
	s.stats.connects.Add(1)
	s.stats.set(CatchingUp)
	s.log.Info("streaming", zap.String("slot", s.server.Slot), zap.Stringer("from", s.tracker.Ack()))
	err = st.run(ctx)
	if hasCode(err, pgerrcode.UndefinedObject) || errors.Is(err, errUnpublished) {
		return s.publicationGap(ctx, st, err)
	}
	return err
}

// resume decides whether the slot, which is ours from here on, goes on where this gateway stopped. Where it does not,
// clients have missed changes that nobody can give them any more: they are told.
func (s *Source) resume(ctx context.Context, st *stream, identity *pglogrepl.IdentifySystemResult) error {
	slot, err := readSlot(ctx, s.server.Pool, s.server.Slot)
	if err != nil {
		return err
	}
	if slot == nil {
		return fmt.Errorf("resume: the server does not list slot %s, which it streams", s.server.Slot)
	}
	before := s.identity
	switch {
	case before == nil:
		// The first stream of this process: no client has seen anything yet that could be missed.
		var delivered cdc.Position
		if delivered, err = s.checkpoints.Load(ctx, identity.SystemID, identity.Timeline); err == nil {
			s.checkpoints.Identify(identity.SystemID, identity.Timeline)
			s.tracker.Resume(delivered)
		}
	case before.SystemID != identity.SystemID || before.Timeline != identity.Timeline || s.tracker.Beyond(cdc.LSN(identity.XLogPos)):
		// A log that ends before what it sent is that of an earlier copy of the server's files.
		s.tracker.Forget() // before the checkpoints hear of the new log, lest an old position be saved as one of it
		s.checkpoints.Identify(identity.SystemID, identity.Timeline)
		err = s.reset(ctx, st, cdc.ResetTimeline)
	case s.slotMade || slot.Confirmed > max(s.tracker.Reached(), cdc.LSN(s.stats.acked.Load())):
		err = s.reset(ctx, st, cdc.ResetSlotLost)
	}
	if err != nil {
		return err
	}
	start := &cdc.Start{Epoch: fmt.Sprintf("%s/%d", identity.SystemID, identity.Timeline), From: slot.Confirmed}
	if err := st.put(ctx, cdc.Delivery{Start: start}); err != nil {
		return err
	}
	s.identity, s.slotMade = identity, false
	s.tracker.Idle(slot.Confirmed)
	s.stats.target.Store(uint64(identity.XLogPos))
	return nil
}

func (s *Source) reset(ctx context.Context, st *stream, reason cdc.ResetReason) error {
	s.log.Error("changes were lost: clients start over", zap.String("reason", string(reason)))
	return st.put(ctx, cdc.Delivery{Reset: reason})
}

// publicationGap handles a stream that ended because the slot stands at a place in the log where the publication did not
// exist. Nothing can be read from there, ever: the slot is made anew behind the gap. Clients are told now, and once more
// when the new slot streams: those that came in between have missed what it does not have.
func (s *Source) publicationGap(ctx context.Context, st *stream, cause error) error {
	if s.server.Mode != SetupAuto {
		return &SetupError{Findings: []Finding{{
			Check: "publication", Level: Fail, Fix: remakeSlotSQL(s.server.Slot),
			Detail: fmt.Sprintf("the slot stands where the publication did not exist (%v): changes there are lost, and the slot has to be made anew", rootCause(cause)),
		}}}
	}
	if err := s.reset(ctx, st, cdc.ResetPublication); err != nil {
		return err
	}
	closing, cancel := context.WithTimeout(ctx, farewell)
	defer cancel()
	_ = st.conn.Close(closing)
	if err := s.server.dropSlot(ctx); err != nil {
		return fmt.Errorf("drop slot behind which no publication exists: %w", err)
	}
	return interruption{fmt.Errorf("make the slot anew: %w", cause)}
}

// notice hears the server's notices. From version 18 on a missing publication is no error but a warning, and the
// changes are left out.
func (s *Source) notice(n *pgconn.Notice) {
	if n.Code == pgerrcode.ObjectNotInPrerequisiteState {
		s.unpublished.Store(true)
	}
	s.log.Warn("server: "+n.Message, zap.String("code", n.Code))
}
