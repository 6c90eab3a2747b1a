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
	// MaxRow is how long a row's change may be, in bytes, to be held. Set it before Run; DefaultMaxRow otherwise.
	MaxRow int

	server      *Server
	url         string
	want        Wanted
	tracker     *cdc.Tracker
	checkpoints *Checkpoints
	log         *zap.Logger
	relations   relations
	stats       sourceStats
	linger      time.Duration // see gatheringConn

	// walsender is the server's process for the last stream. yielded: clients were told that the slot is another's.
	walsender uint32
	yielded   bool
	admitted  bool // the server has let a replication connection in
	// unpublished is set by a notice: the server skipped changes for want of a publication.
	unpublished atomic.Pointer[string]
	unreadable  unreadable
}

// NewSource makes a source. It starts nothing.
func NewSource(server *Server, url string, want Wanted, tracker *cdc.Tracker, checkpoints *Checkpoints, types *values.Catalog) *Source {
	return &Source{
		server: server, url: url, want: want, tracker: tracker, checkpoints: checkpoints, log: server.Log, linger: gatherFor,
		MaxRow:    DefaultMaxRow,
		relations: relations{catalog: server.Pool, types: types, keys: map[uint32][]string{}},
	}
}

// Stats may be called from any goroutine.
func (s *Source) Stats() Stats {
	v := s.stats.snapshot(time.Now(), s.tracker.Reached())
	v.Unreadable = s.unreadable.stats()
	return v
}

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
			s.server.remade.forget() // whoever has the slot has found out about that
			if backoff == minBackoff {
				s.log.Info("the slot is in use by another connection: waiting for our turn", zap.String("slot", s.server.Slot))
			}
			s.stats.set(Standby)
			backoff = standbyPoll
			s.yield(ctx, handoff)
		case s.ends(err):
			return fmt.Errorf("stream: %w", Advise(err))
		default:
			if time.Since(began) > steady {
				backoff = minBackoff
			}
			s.stats.failed(err)
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

// ends tells whether an error ends the gateway: what no retry mends does, and what somebody might mend does where the server
// never let a stream begin.
func (s *Source) ends(err error) bool {
	v := Judge(err)
	return v.Prospect == Permanent || v.Prospect == Lasting && v.Connecting && !s.admitted
}

// yield tells the clients of a gateway that was live, once, that another one has taken its slot. A walsender of our own
// that the server has not yet missed may hold it too: then nobody takes anything away.
func (s *Source) yield(ctx context.Context, handoff *cdc.Handoff) {
	if s.tracker.Noted().Epoch == "" || s.yielded {
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
	if _, err := s.server.Ensure(ctx, facts, want); err != nil {
		return err
	}
	conn, err := connectReplication(ctx, s.url, s.linger, s.notice)
	if err != nil {
		return err
	}
	defer closeBriefly(ctx, conn)
	s.admitted = true
	identity, err := pglogrepl.IdentifySystem(ctx, conn)
	if err != nil {
		return fmt.Errorf("identify system: %w", err)
	}
	silence, err := boundSilence(ctx, conn)
	if err != nil {
		return err
	}
	decoder, _ := newDecoder(facts.Encoding) // another encoding was refused
	if err := decoder.speak(ctx, conn); err != nil {
		return err
	}
	taken, err := takeOver(ctx, conn, s.MaxRow, s.notice)
	if err != nil {
		return err
	}
	defer taken.close()
	st := &stream{
		conn: taken, statusEvery: silence / 3, tracker: s.tracker, handoff: handoff, stats: &s.stats, unpublished: &s.unpublished, stopping: s.server.stopping,
		collector: &collector{
			ctx: ctx, relations: &s.relations, tracker: s.tracker, assembler: cdc.Assembler{Spill: s.Spill}, events: s.Events,
			log: s.log, unreadable: &s.unreadable, wanted: s.want.names(), maxRow: s.MaxRow,
		},
	}
	s.relations.forget()
	s.relations.decoder = decoder
	err = st.start(ctx, s.server.Slot, s.publications(facts.Outbox))
	if !hasCode(err, pgerrcode.ObjectInUse) {
		s.walsender = conn.PID() // it may hold the slot, whatever comes next
	}
	if err != nil {
		return err
	}
	if err := s.resume(ctx, st, &identity); err != nil {
		return err
	}
	s.yielded = false
	s.stats.connects.Add(1)
	s.stats.set(CatchingUp)
	s.log.Info("streaming", zap.String("slot", s.server.Slot), zap.String("epoch", s.tracker.Noted().Epoch), zap.Stringer("acknowledged", s.tracker.Ack()))
	err = st.run(ctx)
	if isPublicationGap(err) {
		return s.publicationGap(ctx, st, facts.Version, err)
	}
	return err
}

// resume decides whether the slot, which is ours from here on, goes on where its last gateway stopped, be it this one or
// another. The log is read from the slot's position on, also what the checkpoint says was delivered: a sink that is
// started anew builds its own of it. Within the process, what was received before is left out.
func (s *Source) resume(ctx context.Context, st *stream, identity *pglogrepl.IdentifySystemResult) error {
	slot, err := readSlot(ctx, s.server.Pool, s.server.Slot)
	if err != nil {
		return err
	}
	if slot == nil {
		return fmt.Errorf("resume: the server does not list slot %s, which it streams", s.server.Slot)
	}
	noted := s.tracker.Noted() // before what is stored, which may only be newer
	stored, err := s.checkpoints.Load(ctx)
	if err != nil {
		return err
	}
	c := &continuity{
		systemID: identity.SystemID, timeline: identity.Timeline, slot: slot.Confirmed,
		// As read with the slot in our hands: a gateway that had it a moment ago may have read on after identity was asked for.
		logEnd: max(cdc.LSN(identity.XLogPos), slot.LogEnd),
		stored: stored, noted: noted, reached: s.tracker.Reached(), received: s.tracker.End(), remade: s.server.remade.get(),
	}
	goesOn, reset := c.judge()
	if reset.Reason != "" {
		if err := s.reset(ctx, st, &reset); err != nil {
			return err
		}
	}
	switch {
	case !goesOn:
		stored = c.begin(slot.ServerStart, reset)
		if err = s.checkpoints.Begin(ctx, stored); err == nil {
			s.tracker.Forget()
		}
	case !stored.PostmasterStart.Equal(slot.ServerStart):
		s.log.Info("the server was started anew: the epoch goes on", zap.Time("started", slot.ServerStart))
		err = s.checkpoints.Restarted(ctx, stored.Epoch, slot.ServerStart)
	}
	if err != nil {
		return err
	}
	s.server.remade.forget()
	if err := st.put(ctx, []cdc.Delivery{{Start: &cdc.Start{Epoch: stored.Epoch, From: slot.Confirmed}}}); err != nil {
		return err
	}
	s.stats.began(stored.Epoch, stored.Reset)
	s.tracker.Resume(stored.Checkpoint, slot.Confirmed)
	s.stats.target.Store(uint64(identity.XLogPos))
	return nil
}

func (s *Source) reset(ctx context.Context, st *stream, reset *Reset) error {
	reset.At = time.Now()
	s.log.Error("continuity is lost: clients start over", zap.String("reason", string(reset.Reason)), zap.String("detail", reset.Detail))
	s.stats.reset(*reset)
	return st.put(ctx, []cdc.Delivery{{Reset: reset.Reason}})
}

// isPublicationGap tells whether the stream ended for want of a publication. Only the stream itself can say so.
func isPublicationGap(err error) bool {
	var ended *walsenderError
	return errors.Is(err, errUnpublished) || errors.As(err, &ended) && ended.pg.Code == pgerrcode.UndefinedObject
}

// publicationGap handles a stream that ended because the slot stands at a place in the log where a publication did not
// exist. Nothing can be read from there, ever: the slot is made anew behind the gap. Clients are told now, and once more
// when the new slot streams: those that came in between have missed what it does not have.
func (s *Source) publicationGap(ctx context.Context, st *stream, version int, cause error) error {
	if s.server.Mode != SetupAuto {
		return &SetupError{Findings: []Finding{{
			Check: "publication", Level: Fail, Fix: remakeSlotSQL(s.server.Slot, version),
			Detail: fmt.Sprintf("the slot stands where a publication did not exist (%v): changes there are lost, and the slot has to be recreated", publicationSaid(cause)),
		}}}
	}
	gap := Reset{Reason: cdc.ResetPublication, Detail: fmt.Sprintf("for a stretch of the log a publication did not exist, or was not made yet: %v", publicationSaid(cause))}
	if err := s.reset(ctx, st, &gap); err != nil {
		return err
	}
	st.conn.close()
	if err := s.server.dropSlot(ctx); err != nil {
		return fmt.Errorf("drop slot behind which no publication exists: %w", err)
	}
	s.server.remade.set(gap)
	return interruption{fmt.Errorf("make the slot anew: %w", cause)}
}

// publicationSaid is what the server said of the publication that it did not find.
func publicationSaid(cause error) error {
	if errors.Is(cause, errUnpublished) {
		return cause
	}
	return rootCause(cause)
}

// notice hears the server's notices. From version 18 on a missing publication is no error but a warning, and the
// changes are left out.
func (s *Source) notice(n *pgconn.Notice) {
	// By the routine as well: the same code says that a standby is away which a failover slot waits for.
	if n.Code == pgerrcode.ObjectNotInPrerequisiteState && n.Routine == "LoadPublications" {
		s.unpublished.Store(&n.Message)
	}
	s.log.Warn("server: "+n.Message, zap.String("code", n.Code))
}
