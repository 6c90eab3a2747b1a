package app

import (
	"cmp"
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
func setUp(ctx context.Context, s *wal.Server, facts *wal.Facts, want wal.Wanted, log *zap.Logger, tell func(migrations.Wait)) error {
	schema, err := migrationFinding(ctx, s, facts)
	if err != nil {
		return err
	}
	refused := s.Refused(facts, want)
	if schema.Level == wal.Fail || schema.Level == wal.Mendable && (s.Mode != wal.SetupAuto || len(refused) > 0) {
		refused = wal.WithSchema(refused, schema)
	}
	if len(refused) > 0 {
		return &wal.SetupError{Findings: refused}
	}
	if schema.Level == wal.Mendable {
		applied, err := migrations.Up(ctx, s.Pool, tell)
		for _, m := range applied {
			log.Info("migrated", zap.String("migration", m.Name))
		}
		if forbidden(err) {
			schema.Detail += fmt.Sprintf(", and this role may not apply them (%v)", err)
			return &wal.SetupError{Findings: wal.WithSchema(missing(facts, want), schema)}
		}
		if foreign := (*migrations.ForeignError)(nil); errors.As(err, &foreign) {
			return &wal.SetupError{Findings: []wal.Finding{foreignFinding(foreign)}}
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
func migrationFinding(ctx context.Context, s *wal.Server, facts *wal.Facts) (wal.Finding, error) {
	owner := cmp.Or(facts.Creator, facts.Role) // who may create the schema
	if err := s.Pool.QueryRow(ctx, schemaOwner).Scan(&owner); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return wal.Finding{}, fmt.Errorf("read who owns schema mtbreactive: %w", err)
	}
	f := wal.Finding{Check: schemaCheck, Detail: "up to date", By: "role " + owner}
	role := wal.Quote(facts.Role)
	grants := fmt.Sprintf("GRANT USAGE ON SCHEMA mtbreactive TO %s;\nGRANT SELECT ON mtbreactive.migration TO %[1]s;\n"+
		"GRANT SELECT, INSERT, UPDATE ON mtbreactive.checkpoint TO %[1]s;\nGRANT SELECT, INSERT ON mtbreactive.setup TO %[1]s;", role)
	states, err := migrations.Status(ctx, s.Pool)
	foreign := (*migrations.ForeignError)(nil)
	switch {
	case errors.As(err, &foreign):
		return foreignFinding(foreign), nil
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

const schemaOwner = `select pg_catalog.pg_get_userbyid(nspowner)::pg_catalog.text from pg_catalog.pg_namespace where nspname = 'mtbreactive'`

const checkpointGrants = `
select pg_catalog.bool_and(coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('mtbreactive.checkpoint'), p), false))
from pg_catalog.unnest(array['SELECT', 'INSERT', 'UPDATE']) p`

const mayNudge = `
select pg_catalog.bool_or(pg_catalog.has_function_privilege(p.oid, 'EXECUTE')), pg_catalog.max(pg_catalog.oidvectortypes(p.proargtypes))
from pg_catalog.pg_proc p
where p.pronamespace = 'pg_catalog'::pg_catalog.regnamespace and p.proname = 'pg_logical_emit_message' and p.proargtypes[2] = 'text'::pg_catalog.regtype`

// nudgeFinding judges whether this role may write what makes the stream move on: see wal.Server.Nudge.
func nudgeFinding(ctx context.Context, s *wal.Server, role string) (wal.Finding, error) {
	f := wal.Finding{Check: "pg_logical_emit_message", Detail: "makes the stream move on for waitFor"}
	var may bool
	var arguments string
	if err := s.Pool.QueryRow(ctx, mayNudge).Scan(&may, &arguments); err != nil {
		return f, fmt.Errorf("read privileges: %w", err)
	}
	if !may {
		f.Level, f.By, f.Detail = wal.Warn, "a superuser", fmt.Sprintf("role %s may not call it: waitFor may be answered late while nobody writes", role)
		f.Fix = fmt.Sprintf("GRANT EXECUTE ON FUNCTION pg_catalog.pg_logical_emit_message(%s) TO %s;", arguments, wal.Quote(role))
	}
	return f, nil
}

func forbidden(err error) bool {
	var refused *pgconn.PgError
	return errors.As(err, &refused) && refused.Code == pgerrcode.InsufficientPrivilege
}

const schemaCheck = "schema mtbreactive"

// foreignFinding refuses a schema that is not the gateway's own. Nothing of it was used. The SQL drops what may be a gateway's of
// another role, so it is in comments: doctor's output may go to psql unread.
func foreignFinding(err *migrations.ForeignError) wal.Finding {
	return wal.Finding{
		Check: schemaCheck, Level: wal.Fail, Detail: "is not the gateway's own: " + err.Detail(), Fix: "-- " + strings.ReplaceAll(err.Fix(), "\n", "\n-- "),
	}
}

// migrateError adds the remedy to an error of a role that may not migrate, and of a schema that is not ours.
func migrateError(err error) error {
	if foreign := (*migrations.ForeignError)(nil); errors.As(err, &foreign) {
		return fmt.Errorf("%w\n%s", err, foreign.Fix())
	}
	if !forbidden(err) {
		return err
	}
	return fmt.Errorf("%w: run `reactive-gw migrate up` as a role that owns schema mtbreactive, if there is one, and that may create in this database (GRANT CREATE ON DATABASE ...)", err)
}

// migrationsWait tells operators what migrations wait for.
func (s *Service) migrationsWait(w migrations.Wait) {
	s.waitsFor.Store(&wal.Verdict{What: w.String(), Do: w.SQL()})
	s.log.Warn("the start waits for a lock that another session holds", zap.Stringer("waiting", w), zap.String("do", w.SQL()))
}

// migrateUp applies what is pending and says so.
func migrateUp(ctx context.Context, cfg *config.Config, out, warnings io.Writer) error {
	pool, err := wal.OpenPool(ctx, cfg.DatabaseURL.Reveal(), wal.PoolOptions{})
	if err != nil {
		return err
	}
	defer pool.Close()
	return applyMigrations(ctx, pool, out, warnings)
}

// applyMigrations says into warnings what it waits for.
func applyMigrations(ctx context.Context, pool *pgxpool.Pool, out, warnings io.Writer) error {
	applied, err := migrations.Up(ctx, pool, func(w migrations.Wait) { fmt.Fprintf(warnings, "%s\n  %s\n", w, w.SQL()) })
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
	return migrateError(err)
}
