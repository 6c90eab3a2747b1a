package app

import (
	"context"
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/migrations"
	"github.com/reactive-gw/reactive-gw/wal"
)

// migrate brings schema mtbreactive up to date or, where setup may not, refuses when it is not.
func migrate(ctx context.Context, s *wal.Server, log *zap.Logger) error {
	states, err := migrations.Status(ctx, s.Pool)
	if err != nil {
		return err
	}
	pending := 0
	for _, m := range states {
		if m.Applied.IsZero() {
			pending++
		}
	}
	if pending == 0 {
		return nil
	}
	if s.Mode != wal.SetupAuto {
		return &wal.SetupError{Findings: []wal.Finding{{
			Check: "schema mtbreactive", Level: wal.Fail, Detail: fmt.Sprintf("%d migrations are pending", pending),
			Fix: "run `reactive-gw migrate up` as a role that may create a schema in this database",
		}}}
	}
	applied, err := migrations.Up(ctx, s.Pool)
	for _, m := range applied {
		log.Info("migrated", zap.String("migration", m.Name))
	}
	return err
}

// migrateUp applies what is pending and says so.
func migrateUp(ctx context.Context, cfg *config.Config, out io.Writer) error {
	pool, err := wal.OpenPool(ctx, cfg.DatabaseURL.Reveal())
	if err != nil {
		return err
	}
	defer pool.Close()
	applied, err := migrations.Up(ctx, pool)
	for _, m := range applied {
		fmt.Fprintf(out, "applied %s\n", m.Name)
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(out, "nothing to apply")
	}
	return err
}

// migrateStatus lists the migrations.
func migrateStatus(ctx context.Context, cfg *config.Config, out io.Writer) error {
	pool, err := wal.OpenPool(ctx, cfg.DatabaseURL.Reveal())
	if err != nil {
		return err
	}
	defer pool.Close()
	states, err := migrations.Status(ctx, pool)
	for _, m := range states {
		state := "pending"
		if !m.Applied.IsZero() {
			state = "applied " + m.Applied.UTC().Format(time.RFC3339)
		}
		fmt.Fprintf(out, "%-24s %s\n", m.Name, state)
	}
	return err
}
