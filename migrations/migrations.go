// Package migrations holds the gateway's own objects in the served database, all in schema mtbreactive, as numbered SQL
// files, and applies them. It must not know what the objects are used for.
package migrations

import (
	"context"
	"embed"
	"fmt"
	"path"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/database"
	"github.com/pressly/goose/v3/lock"
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
// start together wait for each other.
func Up(ctx context.Context, pool *pgxpool.Pool) ([]State, error) {
	if err := ensureSchema(ctx, pool); err != nil {
		return nil, fmt.Errorf("migrate: %w", err)
	}
	var applied []State
	err := withProvider(pool, func(p *goose.Provider) error {
		results, err := p.Up(ctx)
		for _, r := range results {
			applied = append(applied, State{Version: r.Source.Version, Name: path.Base(r.Source.Path), Applied: time.Now()})
		}
		return err
	})
	if err != nil {
		return applied, fmt.Errorf("migrate: %w", err)
	}
	return applied, nil
}

// Status lists every migration in order. It changes nothing.
func Status(ctx context.Context, pool *pgxpool.Pool) ([]State, error) {
	var exists bool
	if err := pool.QueryRow(ctx, "select to_regclass($1) is not null", versionTable).Scan(&exists); err != nil {
		return nil, fmt.Errorf("migration status: %w", err)
	}
	var states []State
	err := withProvider(pool, func(p *goose.Provider) error {
		if !exists {
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
		return nil, fmt.Errorf("migration status: %w", err)
	}
	return states, nil
}

func withProvider(pool *pgxpool.Pool, f func(*goose.Provider) error) error {
	store, err := database.NewStore(database.DialectPostgres, versionTable)
	if err != nil {
		return err
	}
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()
	provider, err := goose.NewProvider("", db, files, goose.WithStore(store), goose.WithSessionLocker(locker),
		goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	return f(provider)
}

// ensureSchema looks before it creates: CREATE SCHEMA IF NOT EXISTS asks for the privilege also where the schema exists.
func ensureSchema(ctx context.Context, pool *pgxpool.Pool) error {
	var exists bool
	if err := pool.QueryRow(ctx, "select exists (select from pg_catalog.pg_namespace where nspname = $1)", schema).Scan(&exists); err != nil {
		return err
	}
	if exists {
		return nil
	}
	_, err := pool.Exec(ctx, "create schema if not exists "+schema)
	return err
}
