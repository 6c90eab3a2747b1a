package wal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// stream is one replication connection from START_REPLICATION to its end. One goroutine owns it: it receives, hands
// transactions on, and sends status, also while the handoff is full.
type stream struct {
	conn      *pgconn.PgConn
	decoder   Decoder
	collector *collector
	tracker   *cdc.Tracker
	handoff   *cdc.Handoff
	stats     *sourceStats
	// unpublished is set while receiving when the server left changes out for want of the publication.
	unpublished *atomic.Bool
	// stopping asks the server whether it shuts down.
	stopping func(context.Context) bool

	statusEvery time.Duration // the longest silence that we allow ourselves
	lastStatus  time.Time
	lastAck     cdc.LSN
	lastReached cdc.LSN
	replyDue    bool    // the server asked for a status that was put off
	asked       int     // times in a row that the server asked right after our answer, with nothing new
	askedAt     cdc.LSN // what it had sent when it asked last
}

const (
	// statusTick is how soon an acknowledgement that has moved is told to the server.
	statusTick = time.Second
	// replyGap is the least time between two answers with the same position. A server that is shutting down asks again
	// at once when an answer does not satisfy it, and both sides would spin.
	replyGap = 100 * time.Millisecond
	// walSenderTimeout is the longest silence that the server may allow us. A status goes out every third of it.
	walSenderTimeout = 10 * time.Second
	// patience is how often a server asks anew, each time right after our answer, until we believe that it shuts down.
	patience = 3
	// wedged is how often a server that is not listened to, for the handoff is full, is asked whether it shuts down.
	wedged = time.Second
	// farewell bounds what is done after the context's end: delivering what was handed on, the last status.
	farewell = 2 * time.Second
)

// errStreamEnded: the server ended the stream, as it does when it shuts down.
var errStreamEnded = errors.New("the server ended the stream")

// errServerStops: the server shuts down, and waits for an acknowledgement of all that it has sent. The slot is held back, so
// there will be none; it ends its side when we end ours.
var errServerStops = errors.New("the server is shutting down")

// walsenderError is an error that ended the stream, said by the process that sends it: the same code in answer to a look-up
// of ours means something else.
type walsenderError struct{ pg *pgconn.PgError }

func (e *walsenderError) Error() string { return e.pg.Error() }
func (e *walsenderError) Unwrap() error { return e.pg }

// errUnpublished: the server leaves changes out for want of the publication.
var errUnpublished = errors.New("the publication does not exist")

// start begins to stream the slot from its confirmed position on.
func (s *stream) start(ctx context.Context, slot, publication string) error {
	timeout, err := boundSilence(ctx, s.conn)
	if err != nil {
		return err
	}
	s.statusEvery = timeout / 3
	s.collector.meanwhile = s.meanwhile
	// Version 2 of the protocol is all that streaming needs, also of later servers. With it the rows of a huge transaction come
	// while they are written. Without it they come after the commit, and everything behind them waits that long.
	//
	// From 0/0 the server begins at the slot's confirmed position. What it sends again from there is recognised by its
	// commit position.
	err = pglogrepl.StartReplication(ctx, s.conn, quote(slot), 0, pglogrepl.StartReplicationOptions{
		PluginArgs: []string{"proto_version '2'", "streaming 'on'", "publication_names " + literal(quote(publication)), "messages 'true'"},
	})
	if err != nil {
		err = fmt.Errorf("start replication of slot %s: %w", slot, err)
	}
	if hasCode(err, pgerrcode.UndefinedObject) {
		return interruption{err} // dropped a moment ago: setup makes it anew
	}
	return err
}

// boundSilence makes the server give this connection up after walSenderTimeout without a word from us, sooner where it is
// set so, and returns after how long: a gateway that hangs must not keep the slot from the one that stands by.
func boundSilence(ctx context.Context, conn *pgconn.PgConn) (time.Duration, error) {
	sql := fmt.Sprintf(`SELECT pg_catalog.set_config('wal_sender_timeout', least(nullif(setting::bigint, 0), %d)::text, false)
		FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'; SELECT setting FROM pg_catalog.pg_settings WHERE name = 'wal_sender_timeout'`,
		walSenderTimeout.Milliseconds())
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return 0, fmt.Errorf("set wal_sender_timeout: %w", err)
	}
	timeout, err := time.ParseDuration(string(results[1].Rows[0][0]) + "ms")
	if err != nil {
		return 0, fmt.Errorf("set wal_sender_timeout: %w", err)
	}
	return timeout, nil
}

// run receives until ctx ends, which is no error, or the connection does.
func (s *stream) run(ctx context.Context) error {
	defer func() {
		s.collector.assembler.Discard()
		s.noteProgress()
	}()
	// Receiving with a context costs a watcher and a timer for every message. A read deadline costs nothing until it
	// passes; it also wakes the read when ctx ends.
	netConn := s.conn.Conn()
	stop := context.AfterFunc(ctx, func() { _ = netConn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := s.sendStatus(true); err != nil {
		return err
	}
	for {
		if err := netConn.SetReadDeadline(time.Now().Add(max(s.untilLook(), time.Millisecond))); err != nil {
			return fmt.Errorf("set read deadline: %w", err)
		}
		if ctx.Err() != nil {
			return s.leave()
		}
		if err := s.receive(ctx); err != nil {
			if ctx.Err() != nil {
				return s.leave()
			}
			return err
		}
		if err := s.statusIfDue(); err != nil {
			return err
		}
	}
}

// receive handles messages until the read deadline passes or, since the server waits for an answer, is to be an earlier one.
func (s *stream) receive(ctx context.Context) error {
	for {
		message, err := s.conn.ReceiveMessage(context.Background())
		if err != nil {
			if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
				return nil
			}
			return fmt.Errorf("receive: %w", fromWalsender(err))
		}
		if s.unpublished.Swap(false) {
			return errUnpublished
		}
		switch m := message.(type) {
		case *pgproto3.CopyData:
			err = s.copyData(ctx, m.Data)
		case *pgproto3.ErrorResponse:
			err = fmt.Errorf("receive: %w", &walsenderError{pgconn.ErrorResponseToPgError(m)})
		case *pgproto3.CopyDone, *pgproto3.CommandComplete:
			err = errStreamEnded
		}
		if err != nil || s.replyDue {
			return err
		}
	}
}

func fromWalsender(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return &walsenderError{pg}
	}
	return err
}

func (s *stream) copyData(ctx context.Context, data []byte) error {
	if len(data) == 0 {
		return fmt.Errorf("receive: empty message: %w", ErrMessage)
	}
	switch data[0] {
	case pglogrepl.XLogDataByteID:
		const header = 1 + 8 + 8 + 8 // start, end of the log on the server, its clock
		if len(data) < header {
			return fmt.Errorf("receive: short log message: %w", ErrMessage)
		}
		r := reader{rest: data[9:17]}
		s.stats.serverEnd.Store(uint64(r.lsn()))
		if err := s.decoder.Decode(data[header:], s.collector); err != nil {
			return err
		}
		if s.collector.streamed {
			s.noteProgress()
		}
		if tx := s.collector.take(); tx != nil {
			return s.hand(ctx, tx)
		}
	case pglogrepl.PrimaryKeepaliveMessageByteID:
		const size = 1 + 8 + 8 + 1 // end of the log, the server's clock, reply requested
		if len(data) != size {
			return fmt.Errorf("receive: misshapen keepalive: %w", ErrMessage)
		}
		r := reader{rest: data[1:]}
		return s.keepalive(r.lsn(), data[size-1] != 0)
	default:
		return fmt.Errorf("receive: unknown replication message %q: %w", data[0], ErrMessage)
	}
	return nil
}

func (s *stream) noteProgress() {
	s.collector.streamed = false
	transactions, disk := s.collector.assembler.InProgress()
	s.stats.inProgress.Store(int64(transactions))
	s.stats.spilled.Store(disk)
}

func (s *stream) keepalive(end cdc.LSN, reply bool) error {
	s.stats.serverEnd.Store(uint64(end))
	if s.collector.idle() {
		s.tracker.Idle(end)
		s.handoff.Pass(end)
		s.stats.caughtUp(s.tracker.Reached())
	}
	if reply {
		if s.impatient(end) {
			return errServerStops
		}
		s.replyDue = true
	}
	return s.statusIfDue()
}

// impatient tells whether the server shuts down. It then waits until all that it has sent is acknowledged, and asks again
// as soon as we have answered. Otherwise it asks only after a long silence.
func (s *stream) impatient(end cdc.LSN) bool {
	if end != s.askedAt || time.Since(s.lastStatus) > s.statusEvery/2 {
		s.asked, s.askedAt = 0, end
	}
	s.asked++
	return s.asked > patience
}

// hand passes a transaction on. While there is no room it goes on sending status: a consumer that is slow must not look
// like one that is dead.
func (s *stream) hand(ctx context.Context, tx *cdc.Transaction) error {
	if tx.Len() == 0 { // servers before 15 send also what touched no published table, all do that in blocks
		s.tracker.Idle(tx.End)
		s.handoff.Pass(tx.End)
		return nil
	}
	s.stats.lastCommit.Store(tx.Time.UnixNano())
	if err := s.put(ctx, cdc.Delivery{Transaction: tx}); err != nil {
		return err // not received, therefore: the next connection brings it again
	}
	s.tracker.Received(tx)
	s.stats.transactions.Add(1)
	s.stats.changes.Add(uint64(tx.Len()))
	return nil
}

// put waits for room. Meanwhile nobody listens to the server, which may shut down: it is asked on another connection.
func (s *stream) put(ctx context.Context, d cdc.Delivery) error {
	if s.handoff.Put(d) {
		return nil
	}
	timer, ask := time.NewTimer(s.untilLook()), time.NewTicker(wedged)
	defer timer.Stop()
	defer ask.Stop()
	for !s.handoff.Put(d) {
		select {
		case <-s.handoff.Room():
		case <-ask.C:
			if s.stopping(ctx) {
				return errServerStops
			}
		case <-timer.C:
			if err := s.statusIfDue(); err != nil {
				return err
			}
			timer.Reset(s.untilLook())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// meanwhile runs f in another goroutine, and goes on sending status until f returns. Nothing is received meanwhile.
func (s *stream) meanwhile(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	timer := time.NewTimer(s.untilLook())
	defer timer.Stop()
	for {
		select {
		case err := <-done:
			return err
		case <-timer.C:
			if err := s.statusIfDue(); err != nil {
				cancel()
				return errors.Join(err, <-done)
			}
			timer.Reset(s.untilLook())
		}
	}
}

// untilLook is the time until statusIfDue has to be asked again.
func (s *stream) untilLook() time.Duration {
	if s.replyDue {
		return max(0, time.Until(s.lastStatus.Add(replyGap)))
	}
	return max(0, min(statusTick, time.Until(s.lastStatus.Add(s.statusEvery))))
}

// statusIfDue sends a status when the server waits for one, when we were silent for long enough, and soon after the
// acknowledgement has moved.
func (s *stream) statusIfDue() error {
	silent, news := time.Since(s.lastStatus), s.tracker.Ack() > s.lastAck || s.tracker.Reached() > s.lastReached
	switch {
	case s.replyDue && (news || silent >= replyGap):
	case silent >= s.statusEvery:
	case silent >= statusTick && (news || !s.stats.ready()):
	default:
		return nil
	}
	return s.sendStatus(!s.stats.ready())
}

// sendStatus acknowledges. With ask the server answers with a keepalive at once, which tells how far it has come.
func (s *stream) sendStatus(ask bool) error {
	reached, ack := s.tracker.Reached(), s.tracker.Ack()
	if err := s.conn.Conn().SetWriteDeadline(time.Now().Add(s.statusEvery)); err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	// All three positions are set: the library copies write into those that are zero. PostgreSQL frees log by flush.
	err := pglogrepl.SendStandbyStatusUpdate(context.Background(), s.conn, pglogrepl.StandbyStatusUpdate{
		WALWritePosition: pglogrepl.LSN(reached), WALFlushPosition: pglogrepl.LSN(ack), WALApplyPosition: pglogrepl.LSN(reached),
		ClientTime: time.Now(), ReplyRequested: ask,
	})
	if err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	s.lastStatus, s.lastAck, s.lastReached, s.replyDue = time.Now(), ack, reached, false
	s.stats.acked.Store(uint64(ack))
	return nil
}

// leave acknowledges what was delivered until now and closes the connection.
func (s *stream) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = s.handoff.Drain(ctx) // what is not delivered in time is not acknowledged either, and will be sent again
	return s.sendStatus(false)
}
