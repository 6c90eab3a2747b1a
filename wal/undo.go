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
	undoTries = 20
	undoPause = 500 * time.Millisecond
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
				run = []string{lockWait(vacuumTimeout), keepOffVacuum(table)}
			}
			run = append(run, lockWait(alterTimeout))
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
