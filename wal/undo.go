package wal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
)

const (
	// undoLockTimeout is how long a statement may wait for a lock: writers wait behind it.
	undoLockTimeout = "100ms"
	// undoVacuumTimeout is how long to wait for a vacuum, behind which nobody waits: the server cancels it after deadlock_timeout.
	undoVacuumTimeout = "2s"
	undoTries         = 20
	undoPause         = 500 * time.Millisecond
)

// ErrLocked says that other sessions held a table for as long as Undo tried.
var ErrLocked = errors.New("other sessions hold a lock on it: try again later")

// ForgetSlot removes what is kept of the slot in schema mtbreactive, where other gateways go on.
func (s *Server) ForgetSlot(ctx context.Context) error {
	const forget = "with gone as (delete from mtbreactive.setup where kind = 'slot' and name = $1) delete from mtbreactive.checkpoint where slot = $1"
	if _, err := s.Pool.Exec(ctx, forget, s.Slot); err != nil {
		return fmt.Errorf("forget slot: %w", err)
	}
	return nil
}

// Undo runs statements in one transaction, as often as it takes to get the locks in short attempts. table, if not empty, is
// locked first against vacuums.
func (s *Server) Undo(ctx context.Context, table string, statements ...string) error {
	for try := 1; ; try++ {
		err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
			var run []string
			if table != "" {
				run = []string{"SET LOCAL lock_timeout = '" + undoVacuumTimeout + "'", "LOCK TABLE ONLY " + table + " IN SHARE UPDATE EXCLUSIVE MODE"}
			}
			run = append(run, "SET LOCAL lock_timeout = '"+undoLockTimeout+"'")
			run = append(run, statements...)
			for _, sql := range run {
				if _, err := tx.Exec(ctx, sql); err != nil {
					return fmt.Errorf("run %s: %w", sql, err)
				}
			}
			return nil
		})
		switch {
		case hasCode(err, pgerrcode.LockNotAvailable) && try == undoTries:
			return fmt.Errorf("%w (%w)", ErrLocked, err)
		case !hasCode(err, pgerrcode.LockNotAvailable):
			return err
		}
		if err := sleep(ctx, jitter(undoPause)); err != nil {
			return err
		}
	}
}
