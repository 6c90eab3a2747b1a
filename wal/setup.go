package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// SetupMode says whether the gateway may change the database.
type SetupMode string

// The modes.
const (
	SetupAuto  SetupMode = "auto"  // create and alter what is missing
	SetupCheck SetupMode = "check" // only verify, and refuse with the SQL to run
)

// Server is the PostgreSQL primary with the slot and publication that a gateway uses. Its methods may be called from
// any goroutine.
type Server struct {
	Pool        *pgxpool.Pool
	Slot        string
	Publication string
	Mode        SetupMode
	Log         *zap.Logger
	// Report hears how far each wanted table is whenever that changes; nil where nobody listens. It must not wait.
	Report func(TableState)

	remade     remade
	prepared   preparation
	replicates atomic.Bool // the role may, which was tried
}

// remade remembers, from the set-up to the stream that follows, why the slot was recreated.
type remade struct {
	mu  sync.Mutex
	why Reset
}

func (r *remade) set(why Reset) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.why.Reason == "" { // otherwise the cause came first
		r.why = why
	}
}

// lost notes that the slot had to be made again, for what a finding says.
func (r *remade) lost(f Finding) {
	r.set(Reset{Reason: cdc.ResetSlotLost, Detail: "the slot had to be recreated: it " + f.Detail})
}

func (r *remade) get() Reset {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.why
}

func (r *remade) forget() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.why = Reset{}
}

const (
	// slotLockTimeout bounds a try to make the slot, which waits for transactions and holds up nobody.
	slotLockTimeout = 2 * time.Second
	dropPoll        = 50 * time.Millisecond
	// inspectTimeout bounds the look at the whole catalog, in which locks of others may be in the way.
	inspectTimeout = 30 * time.Second
)

// Inspect reads the facts that setup is judged by.
func (s *Server) Inspect(ctx context.Context) (*Facts, error) {
	ctx, cancel := context.WithTimeout(ctx, inspectTimeout)
	defer cancel()
	var facts *Facts
	err := s.Pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		var err error
		facts, err = readFacts(ctx, backend{c.Conn()}, s.Slot, s.Publication)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("inspect server: %w", err)
	}
	if !facts.Replication {
		s.tryReplication(ctx, facts)
	}
	return facts, nil
}

// SlotFacts reads the slot alone; nil where there is none.
func (s *Server) SlotFacts(ctx context.Context) (*SlotFacts, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	return readSlot(ctx, s.Pool, s.Slot)
}

type backend struct{ *pgx.Conn }

func (b backend) BackendPID() uint32 { return b.PgConn().PID() }

// Candidates are the tables to serve where the configuration names none: those of the publication or, where there is
// none yet, every table that has a primary key and belongs to no extension.
func (f *Facts) Candidates() []*TableInfo {
	var tables []*TableInfo
	for _, t := range f.Tables {
		published := f.Publication == nil || f.Publication.AllTables || f.Publication.Includes(t) || slices.Contains(f.Publication.Waiting, t.TableName)
		if published && !t.Extension && len(t.PrimaryKey) > 0 {
			tables = append(tables, t)
		}
	}
	return tables
}

// among brings the wanted tables up to date with the catalog. Those that are gone since are left out.
func (w Wanted) among(f *Facts) (now Wanted, gone []string) {
	now = w
	now.Tables = nil
	for _, t := range w.Tables {
		info := f.Table(t.TableName)
		if info == nil {
			gone = append(gone, t.String())
			continue
		}
		t.TableInfo = info
		now.Tables = append(now.Tables, t)
	}
	return now, gone
}

// Ensure makes the server ready for what is wanted: with SetupAuto it runs what is missing, in the order of the findings and
// each logged. With SetupCheck, and for what this role may not mend, it returns a *SetupError. A table that others hold locks
// on is no error: it is tried once, and Prepare goes on with it. slotMade tells that the slot is new: nothing before it was
// captured.
func (s *Server) Ensure(ctx context.Context, facts *Facts, want Wanted) (slotMade bool, err error) {
	findings := facts.Findings(want)
	if refused := s.refused(findings); len(refused) > 0 {
		return false, &SetupError{Findings: refused}
	}
	for i, f := range findings {
		if f.Level != Mendable || f.phase != phasePublication {
			continue
		}
		if err := s.mendPublication(ctx, f, facts, want); err != nil {
			return false, withRest(err, findings[i+1:])
		}
	}
	if err := s.prepareAll(ctx, facts, want, findings); err != nil {
		return false, withRest(err, findings)
	}
	for _, f := range findings {
		if f.Level != Mendable || f.phase != phaseSlot {
			continue
		}
		if err := s.mendSlot(ctx, f); err != nil {
			return false, err
		}
		slotMade = true
		s.remade.lost(f)
	}
	return slotMade, s.settle(ctx, slotMade)
}

// Refused are the findings that Ensure refuses to start with, before it runs anything.
func (s *Server) Refused(facts *Facts, want Wanted) []Finding { return s.refused(facts.Findings(want)) }

// refused gives, where there is a reason, all that is to be mended: who has to run some of it may as well run all.
func (s *Server) refused(findings []Finding) []Finding {
	least := Fail
	if s.Mode != SetupAuto {
		least = Mendable
	}
	if !slices.ContainsFunc(findings, func(f Finding) bool { return f.Level >= least }) {
		return nil
	}
	return toMend(findings)
}

func toMend(findings []Finding) []Finding {
	return slices.DeleteFunc(slices.Clone(findings), func(f Finding) bool { return f.Level < Mendable })
}

// withRest adds to a refusal what else is to be mended.
func withRest(err error, rest []Finding) error {
	if refused := (*SetupError)(nil); errors.As(err, &refused) {
		first := refused.Findings[0]
		refused.Findings = append(refused.Findings, slices.DeleteFunc(toMend(rest), func(f Finding) bool { return f.Check == first.Check && f.Fix == first.Fix })...)
	}
	return err
}

// mendPublication makes the publication or sets its options.
func (s *Server) mendPublication(ctx context.Context, f Finding, facts *Facts, want Wanted) error {
	err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, bounds(alterTimeout, time.Second)); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, f.Fix); err != nil {
			return err
		}
		if facts.Publication != nil {
			return nil
		}
		if waiting := facts.waiting(want); len(waiting) > 0 {
			if _, err := tx.Exec(ctx, waitingSQL(s.Publication, waiting)); err != nil {
				return err
			}
		}
		return s.record(ctx, tx, Made{Kind: MadePublication, Name: s.Publication})
	})
	switch {
	case err == nil:
		s.Log.Info("setup: "+f.Check, zap.String("because", f.Detail), zap.String("sql", f.Fix))
		return nil
	case hasCode(err, pgerrcode.DuplicateObject):
		return nil // another gateway was faster
	case Temporary(err):
		return fmt.Errorf("run %s: %w", f.Fix, err)
	}
	return refusal(f, err)
}

// refusal is of a finding that the server does not let this role mend.
func refusal(f Finding, err error) error {
	f.Detail = fmt.Sprintf("%s, and this role cannot mend it (%v): run as an owner of the tables", f.Detail, rootCause(err))
	return &SetupError{Findings: []Finding{f}}
}

// mendSlot runs a finding's SQL. A slot waits for every transaction that writes at the moment, however long: that is no
// failure, so it is tried until ctx ends.
func (s *Server) mendSlot(ctx context.Context, f Finding) error {
	for {
		err := s.exec(ctx, f.Fix)
		switch {
		case err == nil:
			s.Log.Info("setup: "+f.Check, zap.String("because", f.Detail), zap.String("sql", f.Fix))
			return s.record(ctx, s.Pool, Made{Kind: MadeSlot, Name: s.Slot})
		case hasCode(err, pgerrcode.LockNotAvailable):
			s.Log.Warn("setup waits for other transactions to end", zap.String("check", f.Check), zap.String("sql", f.Fix))
		case hasCode(err, pgerrcode.DuplicateObject):
			return nil // another gateway was faster
		case hasCode(err, pgerrcode.UndefinedObject):
			// Dropped by the try before, which then had to wait: the next inspection finds no slot, and makes it.
			s.remade.lost(f)
			return interruption{err}
		case Temporary(err):
			return err
		default:
			return refusal(f, err)
		}
		if err := sleep(ctx, time.Second); err != nil {
			return err
		}
	}
}

// dropSlot drops the slot. The server refuses while the connection that used it, and was closed a moment ago, is ending.
func (s *Server) dropSlot(ctx context.Context) error {
	deadline := time.Now().Add(farewell)
	for {
		err := s.exec(ctx, dropSlotSQL(s.Slot))
		switch {
		case hasCode(err, pgerrcode.UndefinedObject):
			return nil // somebody was faster
		case !hasCode(err, pgerrcode.ObjectInUse) || time.Now().After(deadline):
			return err
		}
		if err := sleep(ctx, dropPoll); err != nil {
			return err
		}
	}
}

// Nudge writes a little to the log, so that the stream moves on: behind what was written last and is not flushed, or to
// where the next record begins. It belongs to no table, and reaches nobody.
func (s *Server) Nudge(ctx context.Context) error {
	_, err := s.Pool.Exec(ctx, "select pg_catalog.pg_logical_emit_message(true, 'mtbreactive.nudge', '') where not pg_catalog.pg_is_in_recovery()")
	if err != nil {
		return fmt.Errorf("nudge the stream: %w", err)
	}
	return nil
}

// stopping tells whether the server refuses connections because it shuts down.
func (s *Server) stopping(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, wedged/2)
	defer cancel()
	return hasCode(s.Pool.Ping(ctx), pgerrcode.CannotConnectNow)
}

// exec runs SQL of the slot, which may be more than one statement, outside a transaction of ours.
func (s *Server) exec(ctx context.Context, sql string) error {
	err := s.Pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		if _, err := c.Exec(ctx, "SELECT pg_catalog.set_config('lock_timeout', $1, false)", milliseconds(slotLockTimeout)); err != nil {
			return err
		}
		defer func() { _, _ = c.Exec(context.WithoutCancel(ctx), "RESET lock_timeout") }()
		_, err := c.Conn().PgConn().Exec(ctx, sql).ReadAll()
		return err
	})
	if err != nil {
		return fmt.Errorf("run %s: %w", sql, err)
	}
	return nil
}

// execWithin runs a statement that waits for locks no longer than alterTimeout.
func (s *Server) execWithin(ctx context.Context, sql string) error {
	return pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, bounds(alterTimeout, time.Second)+sql)
		return err
	})
}

// rootCause is the innermost error, for a message that has named the operation itself.
func rootCause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// sleep waits for d or for the end of ctx, whose error it returns.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
