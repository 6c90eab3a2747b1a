package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
)

// errLater says that a table could not be prepared for a reason that passes by itself.
var errLater = errors.New("others hold locks on the table")

// slowTries is how often a turn is tried again at once that took too long for another reason than a lock.
const slowTries = 3

// bounds limits how long the statements of a transaction wait for locks, and take.
func bounds(lockTimeout, takes time.Duration) string {
	return fmt.Sprintf("%s; SET LOCAL statement_timeout = '%s'; ", lockWait(lockTimeout), milliseconds(takes))
}

// lockWait limits how long the statements of a transaction wait for locks.
func lockWait(d time.Duration) string { return "SET LOCAL lock_timeout = '" + milliseconds(d) + "'" }

// keepOffVacuum takes the lock of a table, quoted, that conflicts with VACUUM and DDL alone.
func keepOffVacuum(table string) string {
	return "LOCK TABLE ONLY " + table + " IN SHARE UPDATE EXCLUSIVE MODE"
}

func milliseconds(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

// prepareTable runs a table's plan, each turn in a transaction. It returns errLater where locks are in the way, a *SetupError
// for what this role may not do, and otherwise an error of the connection.
func (s *Server) prepareTable(ctx context.Context, p tablePlan, patient bool, level func(string, ...zap.Field)) error {
	for _, t := range p.turns {
		err := s.runTurn(ctx, t, patient)
		for range slowTries { // nobody was in the way: the server is slow
			if !hasCode(err, pgerrcode.QueryCanceled) {
				break
			}
			err = s.runTurn(ctx, t, patient)
		}
		if hasCode(err, pgerrcode.DuplicateObject) { // another gateway has added it
			if t.steps = slices.DeleteFunc(slices.Clone(t.steps), func(f Finding) bool { return f.adds }); len(t.steps) == 0 {
				continue
			}
			err = s.runTurn(ctx, t, patient)
		}
		switch {
		case err == nil:
			for _, f := range t.steps {
				level("setup: "+f.Check, zap.String("because", f.Detail), zap.String("sql", f.Fix))
			}
		case hasCode(err, pgerrcode.LockNotAvailable), hasCode(err, pgerrcode.QueryCanceled), hasCode(err, pgerrcode.DeadlockDetected):
			return errLater
		case Temporary(err):
			return err
		default:
			return refusal(t.steps[0], err)
		}
	}
	return nil
}

// runTurn alters one relation. It first takes the lock that conflicts with VACUUM and DDL alone, for which it may wait. What
// then holds up others is one message with its COMMIT: however slow we or the network are, it is over at once.
func (s *Server) runTurn(ctx context.Context, t turn, patient bool) error {
	first := alterTimeout
	if patient {
		first = vacuumTimeout
	}
	return s.Pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		tx, err := c.Begin(ctx)
		if err != nil {
			return err
		}
		committed := false
		defer func() {
			if !committed {
				ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
				defer cancel()
				_ = tx.Rollback(ctx)
			}
		}()
		if _, err := tx.Exec(ctx, bounds(first, first+time.Second)+keepOffVacuum(t.leaf.Quoted())); err != nil {
			return err
		}
		var sql strings.Builder
		sql.WriteString(bounds(alterTimeout, alterTakes))
		for i, f := range t.steps {
			made := Made{Kind: MadePublicationTable, Name: t.leaf.plain()}
			if f.leaf != nil {
				made.Kind, made.Before = MadeIdentity, f.leaf.before()
			}
			if err := s.record(ctx, tx, made); err != nil {
				return err
			}
			if i > 0 {
				sql.WriteString(bounds(enterTimeout, enterTakes))
			}
			sql.WriteString(f.Fix + " ")
		}
		sql.WriteString("COMMIT")
		if _, err := c.Conn().PgConn().Exec(ctx, sql.String()).ReadAll(); err != nil {
			return err
		}
		committed = true
		return nil
	})
}

// before is the identity in words of SQL.
func (l *LeafInfo) before() string {
	switch {
	case l.Identity == 'd':
		return "DEFAULT"
	case l.Identity == 'i' && l.Index != "":
		return "INDEX " + quote(l.Index)
	}
	return "NOTHING"
}
