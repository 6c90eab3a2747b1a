package wal

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"slices"
	"syscall"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reactive-gw/reactive-gw/wal/dsn"
)

// Prospect says what becomes of an error when the same thing is tried again.
type Prospect int

const (
	// Passing goes away by itself: the server starts, stops, is full or out of reach. It is waited for.
	Passing Prospect = iota
	// Lasting stays until somebody mends it outside the gateway, as a certificate is renewed. It ends a start. A gateway
	// that serves tries again.
	Lasting
	// Permanent is a mistake that no retry mends.
	Permanent
)

// Verdict is what an error means for the gateway and for its operator.
type Verdict struct {
	Prospect Prospect
	// What is the case, in words: what is waited for, or what is wrong. It holds no secret.
	What string
	// Do says what an operator does about it, with the SQL where that mends it; empty where the error says it itself.
	Do string
	// Connecting: no session came about, so the connection string or what answers there is the matter.
	Connecting bool
}

// Waiter is an error that passes by itself, of whatever package, and says what is waited for.
type Waiter interface {
	error
	// WaitsFor says it in words, Do what an operator can do about it.
	WaitsFor() (what, do string)
}

// Temporary tells whether an error may go away by itself.
func Temporary(err error) bool { return err != nil && Judge(err).Prospect == Passing }

// Advise gives an error the words of its verdict: what is wrong, and what to do.
func Advise(err error) error {
	v := Judge(err)
	switch {
	case v.Connecting:
		return &advised{err, v.What + ": " + v.Do}
	case v.Do == "" || v.Do == "nothing":
		return err
	}
	return &advised{err, err.Error() + ": " + v.Do}
}

type advised struct {
	err  error
	text string
}

func (e *advised) Error() string { return e.text }
func (e *advised) Unwrap() error { return e.err }

const runDoctor = "run `reactive-gw doctor`"

// Judge says what an error of a connection, a statement or a setup means. It goes by types and codes, never by texts. No
// error has the zero Verdict.
func Judge(err error) Verdict {
	var setup *SetupError
	var address *dsn.Error
	var waiter Waiter
	var connect *pgconn.ConnectError
	var pg *pgconn.PgError
	switch {
	case err == nil:
		return Verdict{}
	case errors.As(err, &setup):
		return setup.verdict()
	case errors.Is(err, ErrMessage), errors.Is(err, ErrNotPinned), errors.Is(err, ErrNotATable), errors.Is(err, ErrIncomparable), errors.Is(err, ErrStrangersCode), errors.Is(err, ErrForeignTable):
		return Verdict{Prospect: Permanent, What: err.Error()}
	case errors.As(err, &interruption{}):
		return Verdict{What: err.Error(), Do: "nothing"}
	case errors.As(err, &waiter):
		what, do := waiter.WaitsFor()
		return Verdict{What: what, Do: do}
	case errors.As(err, &address):
		// A string that was good at the start names files, which somebody may be about to replace.
		return Verdict{Prospect: Lasting, What: "the connection string " + address.Problem, Do: address.Fix, Connecting: true}
	case errors.As(err, &connect):
		return judgeConnect(connect)
	case errors.As(err, &pg):
		return judgeStatement(pg)
	case brokenConnection(err):
		return Verdict{What: "the connection to the database broke: " + rootCause(err).Error(), Do: "nothing; if it lasts, " + runDoctor}
	}
	return Verdict{Prospect: Lasting, What: err.Error(), Do: runDoctor}
}

// verdict: findings that may pass end a start too, for it is better told than waited for.
func (e *SetupError) verdict() Verdict {
	v := Verdict{Prospect: Permanent, What: e.Error()}
	if len(e.Findings) > 0 && !slices.ContainsFunc(e.Findings, func(f Finding) bool { return !f.Passing }) {
		v.Prospect = Lasting
	}
	return v
}

// brokenConnection tells whether an error says that there is no answer, by any of the ways in which drivers say so.
func brokenConnection(err error) bool {
	var network net.Error
	var system syscall.Errno
	if errors.As(err, &network) || errors.As(err, &system) || pgconn.Timeout(err) {
		return true
	}
	return slices.ContainsFunc([]error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, context.DeadlineExceeded, context.Canceled,
		pgconn.ErrConnClosed, driver.ErrBadConn, sql.ErrConnDone,
		errFrame, errStreamEnded, errServerStops, errUnpublished,
	}, func(known error) bool { return errors.Is(err, known) })
}

// judgeStatement judges what the server answers to a statement of a session.
func judgeStatement(pg *pgconn.PgError) Verdict {
	v := Verdict{Prospect: Lasting, What: "the server answers: " + pg.Error(), Do: runDoctor}
	switch pg.Code {
	case pgerrcode.InsufficientPrivilege:
		v.Prospect, v.Do = Permanent, "grant the gateway's role what it lacks: `reactive-gw doctor` prints the SQL"
		return v
	case pgerrcode.InvalidSQLStatementName, pgerrcode.DuplicatePreparedStatement, pgerrcode.ProtocolViolation:
		v.Do = poolerFix
		return v
	case pgerrcode.ReadOnlySQLTransaction:
		v.Do = "connect to the primary; if this is one, ALTER ROLE ... SET default_transaction_read_only = off for the gateway's role"
		return v
	case pgerrcode.UniqueViolation: // in the catalog: somebody made the same at the same moment
		v.Prospect = Passing
		return v
	case pgerrcode.CantChangeRuntimeParam, pgerrcode.DatabaseDropped, pgerrcode.DataCorrupted, pgerrcode.IndexCorrupted:
		return v
	case pgerrcode.IdleInTransactionSessionTimeout, transactionTimeout:
		v.Prospect, v.Do = Passing, "nothing"
		return v
	}
	switch class(pg.Code) {
	case "08", "40", "53", "55", "57", "58", "72", "XX":
		v.Prospect, v.Do = Passing, "nothing; if it lasts, "+runDoctor
	case "0A", "28", "3D", "42":
		v.Prospect = Permanent
	}
	return v
}

// transactionTimeout is a code of version 17 that the library does not name.
const transactionTimeout = "25P04"

const poolerFix = "a pooler seems to stand in between: give databaseUrl the server's own address"

// class is the first two characters of a code (PostgreSQL manual, "PostgreSQL Error Codes").
func class(code string) string { return code[:min(2, len(code))] }
