package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/migrations"
	"github.com/reactive-gw/reactive-gw/wal"
)

// setUp makes the database ready for what is wanted, or refuses with all that is missing. Schema mtbreactive comes first: a
// start that fails with it leaves no slot behind, which would hold the log back for nobody.
func setUp(ctx context.Context, s *wal.Server, facts *wal.Facts, want wal.Wanted, log *zap.Logger) error {
	schema, err := migrationFinding(ctx, s, facts.Role)
	if err != nil {
		return err
	}
	refused := s.Refused(facts, want)
	if schema.Level == wal.Fail || schema.Level == wal.Mendable && s.Mode != wal.SetupAuto {
		refused = append(refused, schema)
	}
	if len(refused) > 0 {
		return &wal.SetupError{Findings: refused}
	}
	if schema.Level == wal.Mendable {
		applied, err := migrations.Up(ctx, s.Pool)
		for _, m := range applied {
			log.Info("migrated", zap.String("migration", m.Name))
		}
		if forbidden(err) {
			schema.Detail += fmt.Sprintf(", and this role may not apply them (%v)", err)
			return &wal.SetupError{Findings: append(missing(facts, want), schema)}
		}
		if err != nil {
			return err
		}
	}
	_, err = s.Ensure(ctx, facts, want)
	return err
}

// missing are the findings that an owner would have to mend.
func missing(facts *wal.Facts, want wal.Wanted) []wal.Finding {
	return slices.DeleteFunc(facts.Findings(want), func(f wal.Finding) bool { return f.Level < wal.Mendable })
}

// migrationFinding judges schema mtbreactive as this role sees it. An error is of the connection.
func migrationFinding(ctx context.Context, s *wal.Server, role string) (wal.Finding, error) {
	f := wal.Finding{Check: "schema mtbreactive", Detail: "up to date"}
	role = pgx.Identifier{role}.Sanitize()
	grants := fmt.Sprintf("GRANT USAGE ON SCHEMA mtbreactive TO %s;\n"+
		"GRANT SELECT ON mtbreactive.migration TO %[1]s;\nGRANT SELECT, INSERT, UPDATE ON mtbreactive.checkpoint TO %[1]s;", role)
	states, err := migrations.Status(ctx, s.Pool)
	switch {
	case forbidden(err):
		f.Level, f.Detail, f.Fix = wal.Fail, err.Error(), grants
		return f, nil
	case err != nil:
		return f, err
	}
	var pending []string
	for _, m := range states {
		if m.Applied.IsZero() {
			pending = append(pending, m.Name)
		}
	}
	if len(pending) > 0 {
		f.Level, f.Detail, f.Fix = wal.Mendable, "pending: "+strings.Join(pending, ", "), "-- run `reactive-gw migrate up`"
		return f, nil
	}
	var may bool
	if err := s.Pool.QueryRow(ctx, checkpointGrants).Scan(&may); err != nil {
		return f, fmt.Errorf("read privileges: %w", err)
	}
	if !may {
		f.Level, f.Detail, f.Fix = wal.Fail, fmt.Sprintf("role %s may not keep the checkpoint", role), grants
	}
	return f, nil
}

const checkpointGrants = `
select bool_and(coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('mtbreactive.checkpoint'), p), false))
from unnest(array['SELECT', 'INSERT', 'UPDATE']) p`

func forbidden(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == pgerrcode.InsufficientPrivilege
}

// migrateError says what to do about a role that may not migrate.
func migrateError(err error) error {
	if !forbidden(err) {
		return err
	}
	return fmt.Errorf("%w: run `reactive-gw migrate up` as a role that owns schema mtbreactive, or may create it in this database", err)
}

// migrateUp applies what is pending and says so.
func migrateUp(ctx context.Context, cfg *config.Config, out io.Writer) error {
	pool, err := wal.OpenPool(ctx, cfg.DatabaseURL.Reveal(), wal.PoolOptions{})
	if err != nil {
		return err
	}
	defer pool.Close()
	return applyMigrations(ctx, pool, out)
}

func applyMigrations(ctx context.Context, pool *pgxpool.Pool, out io.Writer) error {
	applied, err := migrations.Up(ctx, pool)
	for _, m := range applied {
		fmt.Fprintf(out, "applied %s\n", m.Name)
	}
	if err == nil && len(applied) == 0 {
		fmt.Fprintln(out, "nothing to apply")
	}
	return migrateError(err)
}

// migrateStatus lists the migrations.
func migrateStatus(ctx context.Context, cfg *config.Config, out io.Writer) error {
	pool, err := wal.OpenPool(ctx, cfg.DatabaseURL.Reveal(), wal.PoolOptions{})
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
