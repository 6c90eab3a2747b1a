package migrations

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

//go:embed inspect/version_table.sql
var versionTableSQL string //nolint:gochecknoglobals // as files

// lockTimeout bounds each wait for a lock. Another try follows, and the holder of the lock is said meanwhile.
const lockTimeout = "2s"

// migrator applies migrations on connections of its own, of which it knows the server's processes.
//
// Only one applies them at a time: it holds the table of the versions in a mode that only a role may take that may also write
// the table. An advisory lock would be anybody's.
type migrator struct {
	pool    *pgxpool.Pool
	want    *shape
	applied []State

	mu   sync.Mutex
	pids []uint32 // of the connections
}

func newMigrator(ctx context.Context, pool *pgxpool.Pool) (*migrator, error) {
	want, err := expected()
	if err != nil {
		return nil, err
	}
	m := &migrator{want: want}
	config := pool.Config()
	config.MaxConns, config.MinConns, config.MinIdleConns = 3, 0, 0
	parameters := config.ConnConfig.RuntimeParams
	parameters["search_path"], parameters["lock_timeout"], parameters["idle_in_transaction_session_timeout"] = "pg_catalog, pg_temp", lockTimeout, "0"
	before := config.AfterConnect
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		m.mu.Lock()
		m.pids = append(m.pids, c.PgConn().PID())
		m.mu.Unlock()
		if before != nil {
			return before(ctx, c)
		}
		return nil
	}
	m.pool, err = pgxpool.NewWithConfig(ctx, config)
	return m, err
}

func (m *migrator) close() { m.pool.Close() }

// try applies the pending migrations, unless a lock is in the way.
func (m *migrator) try(ctx context.Context) error {
	found, err := m.prepare(ctx)
	if err != nil {
		return err
	}
	switch states, err := found.status(ctx, m.want, m.pool); {
	case err != nil:
		return err
	case !pending(states):
		return nil
	}
	return pgx.BeginFunc(ctx, m.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "lock table mtbreactive.migration in share update exclusive mode"); err != nil {
			return fmt.Errorf("lock %s: %w", versionTable, err)
		}
		// Another gateway may have been at it.
		before, err := m.inspect(ctx, tx, true)
		if err != nil {
			return err
		}
		if err := m.up(ctx); err != nil {
			return err
		}
		after, err := inspect(ctx, tx)
		if err != nil {
			return err
		}
		if err := m.revoke(ctx, tx, before, after); err != nil {
			return err
		}
		_, err = m.inspect(ctx, tx, false)
		return err
	})
}

// prepare makes the schema and the table of versions where they are missing. A schema that somebody makes at the same moment is
// theirs: the error says that it exists, and the next try judges it.
func (m *migrator) prepare(ctx context.Context) (found *inspection, err error) {
	err = pgx.BeginFunc(ctx, m.pool, func(tx pgx.Tx) error {
		if found, err = m.inspect(ctx, tx, true); err != nil {
			return err
		}
		if !found.has("schema", schema) {
			if found, err = m.make(ctx, tx, found, "create schema "+schema); err != nil {
				return err
			}
		}
		if !found.has("relation", "migration") {
			found, err = m.make(ctx, tx, found, versionTableSQL)
		}
		return err
	})
	return found, err
}

// make runs what makes the schema or the table of versions, and judges the result.
func (m *migrator) make(ctx context.Context, tx pgx.Tx, before *inspection, sql string) (*inspection, error) {
	// The simple protocol: there may be more than one statement.
	if _, err := tx.Conn().PgConn().Exec(ctx, sql).ReadAll(); err != nil {
		return nil, &racedError{fmt.Errorf("make schema %s: %w", schema, err)}
	}
	after, err := inspect(ctx, tx)
	if err != nil {
		return nil, err
	}
	if err := m.revoke(ctx, tx, before, after); err != nil {
		return nil, err
	}
	return m.inspect(ctx, tx, true)
}

// racedError is of the making of the schema, which somebody else may do at the same moment.
type racedError struct{ error }

func (e *racedError) Unwrap() error { return e.error }

func (m *migrator) inspect(ctx context.Context, tx pgx.Tx, pending bool) (*inspection, error) {
	found, err := inspect(ctx, tx)
	if err != nil {
		return nil, err
	}
	return found, found.judge(m.want, pending)
}

// up has the library apply what is pending.
func (m *migrator) up(ctx context.Context) error {
	return withProvider(m.pool, func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		if partial := (*goose.PartialError)(nil); errors.As(err, &partial) {
			results = partial.Applied
		}
		for _, r := range results {
			m.applied = append(m.applied, State{Version: r.Source.Version, Name: path.Base(r.Source.Path), Applied: time.Now()})
		}
		return err
	})
}

// revoke takes back what default privileges have granted on a schema and on tables that are new.
func (m *migrator) revoke(ctx context.Context, tx pgx.Tx, before, after *inspection) error {
	for _, p := range after.parts {
		kind, granted := strings.CutPrefix(p.kind, "grant on ")
		if !granted || p.ours || before.has(kind, p.name) || !after.has(kind, p.name) {
			continue
		}
		role, object := "PUBLIC", "table "+inSchema(p.name)
		if !p.public {
			role = quote(p.role)
		}
		if kind == "schema" {
			object = "schema " + schema
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("revoke all on %s from %s cascade", object, role)); err != nil {
			return fmt.Errorf("take default privileges back: %w", err)
		}
	}
	return nil
}

func (i *inspection) has(kind, name string) bool {
	return slices.ContainsFunc(i.parts, func(p part) bool { return p.kind == kind && p.name == name })
}
