// Package migrations holds the gateway's own objects in the served database, all in schema mtbreactive, as numbered SQL
// files, and applies them. It must not know what the objects are used for.
//
// Before anything of the schema is used, the catalog is asked whether the schema and all in it are the gateway's own: see judge.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"path"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
)

//go:embed *.sql
var files embed.FS //nolint:gochecknoglobals // embedding needs a package variable; nothing writes to it

const (
	schema       = "mtbreactive"
	versionTable = schema + ".migration"
)

// State tells of one migration whether it is in the database.
type State struct {
	Version int64
	Name    string    // of its file
	Applied time.Time // zero while it is pending
}

// Up applies what is pending, each migration in a transaction of its own, and returns what it applied. Gateways that
// start together wait for each other, and for other sessions that hold a lock; each tell is told of such a wait every few
// seconds, from another goroutine. A schema that is not the gateway's own is a *ForeignError.
func Up(ctx context.Context, pool *pgxpool.Pool, tell ...func(Wait)) ([]State, error) {
	m, err := newMigrator(ctx, pool)
	if err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	defer m.close()
	defer m.watch(ctx, pool, tell)()
	for {
		err := m.try(ctx)
		if err == nil {
			return m.applied, nil
		}
		if !passes(err) || sleep(ctx, retryAfter) != nil {
			return m.applied, fmt.Errorf("migrate: %w", err)
		}
	}
}

// retryAfter is how long a try waits after one that met somebody else's lock, or somebody who was faster.
const retryAfter = 200 * time.Millisecond

// passes tells whether another try may find what was in the way gone, or done by another gateway.
func passes(err error) bool {
	var refused *pgconn.PgError
	if !errors.As(err, &refused) {
		return false
	}
	switch refused.Code {
	case pgerrcode.LockNotAvailable, pgerrcode.DeadlockDetected:
		return true
	case pgerrcode.DuplicateSchema, pgerrcode.DuplicateTable, pgerrcode.UniqueViolation: // the last one of the catalog
		return errors.As(err, new(*racedError))
	}
	return false
}

// Status lists every migration in order. It changes nothing. A schema that is not the gateway's own is a *ForeignError.
func Status(ctx context.Context, pool *pgxpool.Pool) ([]State, error) {
	found, want, err := look(ctx, pool)
	var states []State
	if err == nil {
		states, err = found.status(ctx, want, pool)
	}
	if err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	return states, nil
}

// look inspects the schema, and says what it ought to be.
func look(ctx context.Context, pool *pgxpool.Pool) (found *inspection, want *shape, err error) {
	if want, err = expected(); err != nil {
		return nil, nil, err
	}
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		found, err = inspect(ctx, tx)
		return err
	})
	return found, want, err
}

// status judges what was found, before it asks the schema which migrations were applied, and more strictly after.
func (i *inspection) status(ctx context.Context, want *shape, pool *pgxpool.Pool) ([]State, error) {
	if err := i.judge(want, true); err != nil {
		return nil, err
	}
	var states []State
	err := withProvider(pool, func(p *goose.Provider) error {
		if !i.has("relation", "migration") {
			for _, s := range p.ListSources() {
				states = append(states, State{Version: s.Version, Name: path.Base(s.Path)})
			}
			return nil
		}
		list, err := p.Status(ctx)
		for _, s := range list {
			states = append(states, State{Version: s.Source.Version, Name: path.Base(s.Source.Path), Applied: s.AppliedAt})
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	// Looked at again: another gateway may have applied some since.
	var now *inspection
	err = pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		now, err = inspect(ctx, tx)
		return err
	})
	if err != nil {
		return nil, err
	}
	return states, now.judge(want, pending(states))
}

func pending(states []State) bool {
	for _, s := range states {
		if s.Applied.IsZero() {
			return true
		}
	}
	return false
}

func withProvider(pool *pgxpool.Pool, f func(*goose.Provider) error) error {
	store, err := database.NewStore(database.DialectPostgres, versionTable)
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	provider, err := goose.NewProvider("", db, files, goose.WithStore(store), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	return f(provider)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
