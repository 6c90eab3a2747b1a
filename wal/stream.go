package wal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// stream is one replication connection from START_REPLICATION to its end. One goroutine owns it: it receives, hands
// transactions on, and sends status, also while the handoff is full.
type stream struct {
	conn      *replication
	decoder   Decoder
	collector *collector
	tracker   *cdc.Tracker
	handoff   *cdc.Handoff
	stats     *sourceStats
	// unpublished is set while receiving when the server left changes out for want of a publication: to what it said.
	unpublished *atomic.Pointer[string]
	// stopping asks the server whether it shuts down.
	stopping func(context.Context) bool

	gathered      []cdc.Delivery // transactions that are not handed on yet: more have arrived already
	gatheredBytes int

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
	// handAtOnce is how many bytes of transactions are handed on at once, though more have arrived.
	handAtOnce = 64 << 10
	// patience is how often a server asks anew, each time right after our answer, until we believe that it shuts down.
	patience = 3
	// wedged is how often a server that is not listened to, for the handoff is full, is asked whether it shuts down.
	wedged = time.Second
	// farewell bounds what is done after the context's end: delivering what was handed on, the last status.
	farewell = 2 * time.Second
)

// errServerStops: the server shuts down, and waits for an acknowledgement of all that it has sent. The slot is held back, so
// there will be none; it ends its side when we end ours.
var errServerStops = errors.New("the server is shutting down")

// walsenderError is an error that ended the stream, said by the process that sends it: the same code in answer to a look-up
// of ours means something else.
type walsenderError struct{ pg *pgconn.PgError }

func (e *walsenderError) Error() string { return e.pg.Error() }
func (e *walsenderError) Unwrap() error { return e.pg }

// errUnpublished: the server leaves changes out for want of a publication.
var errUnpublished = errors.New("a publication does not exist")

// start begins to stream the slot from its confirmed position on.
func (s *stream) start(ctx context.Context, slot string, publications []string) error {
	s.collector.meanwhile = s.meanwhile
	// Version 2 of the protocol is all that streaming needs, also of later servers. With it the rows of a huge transaction come
	// while they are written. Without it they come after the commit, and everything behind them waits that long.
	//
	// From 0/0 the server begins at the slot's confirmed position. What it sends again from there is recognised by its
	// commit position. Logical messages are left out: every role may write one.
	var names []string
	for _, name := range publications {
		names = append(names, quote(name))
	}
	err := s.conn.start(ctx, s.collector.relations.decoder.encode(fmt.Sprintf("START_REPLICATION SLOT %s LOGICAL 0/0 (proto_version '2', streaming 'on', publication_names %s, messages 'false')",
		quote(slot), literal(strings.Join(names, ",")))))
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
	sql := fmt.Sprintf(`SELECT pg_catalog.set_config('wal_sender_timeout', least(nullif(setting::pg_catalog.int8, 0), %d)::pg_catalog.text, false)
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
	netConn := s.conn.conn
	stop := context.AfterFunc(ctx, func() { _ = netConn.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := s.sendStatus(true); err != nil {
		return err
	}
	if err := s.skipped(); err != nil { // said before the stream began
		return err
	}
	for {
		if err := netConn.SetReadDeadline(time.Now().Add(max(s.untilLook(), time.Millisecond))); err != nil {
			return fmt.Errorf("set read deadline: %w", err)
		}
		if ctx.Err() != nil {
			return s.leave()
		}
		err := s.receive(ctx)
		// What came before an error is handed on: it may be the last that is ever heard of it.
		if failed := s.handOn(ctx); err == nil {
			err = failed
		}
		if err != nil {
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
		if !s.conn.ready() { // nothing waits here while the next message is waited for
			if err := s.handOn(ctx); err != nil {
				return err
			}
		}
		data, missing, err := s.conn.receive()
		if err != nil {
			if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
				return nil
			}
			return err
		}
		if data == nil {
			if err := s.skipped(); err != nil {
				return err
			}
			continue
		}
		if err := s.copyData(ctx, data, missing); err != nil || s.replyDue {
			return err
		}
	}
}

// skipped is an error where the server has said that it leaves changes out.
func (s *stream) skipped() error {
	if said := s.unpublished.Swap(nil); said != nil {
		return fmt.Errorf("%w: %s", errUnpublished, *said)
	}
	return nil
}

func fromWalsender(err error) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) {
		return &walsenderError{pg}
	}
	return err
}

// copyData handles a message, or the beginning of one that lacks so many bytes.
func (s *stream) copyData(ctx context.Context, data []byte, missing int) error {
	switch data[0] {
	case pglogrepl.XLogDataByteID:
		if len(data) < logHeader {
			return fmt.Errorf("receive: short log message: %w", ErrMessage)
		}
		r := reader{rest: data[9:17]}
		s.stats.serverEnd.Store(uint64(r.lsn()))
		if missing > 0 {
			return s.decoder.DecodeHead(data[logHeader:], len(data)-logHeader+missing, s.collector)
		}
		if err := s.decoder.Decode(data[logHeader:], s.collector); err != nil {
			return err
		}
		s.conn.frames.shrink()
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
		return s.keepalive(ctx, r.lsn(), data[size-1] != 0)
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

func (s *stream) keepalive(ctx context.Context, end cdc.LSN, reply bool) error {
	s.stats.serverEnd.Store(uint64(end))
	if err := s.handOn(ctx); err != nil {
		return err
	}
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

// meanwhile runs f in another goroutine, and goes on sending status until f returns. Nothing is received meanwhile.
func (s *stream) meanwhile(ctx context.Context, f func(context.Context) error) error {
	if err := s.handOn(ctx); err != nil {
		return err
	}
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

// leave acknowledges what was delivered until now and closes the connection.
func (s *stream) leave() error {
	ctx, cancel := context.WithTimeout(context.Background(), farewell)
	defer cancel()
	_ = s.handoff.Drain(ctx) // what is not delivered in time is not acknowledged either, and will be sent again
	return s.sendStatus(false)
}
