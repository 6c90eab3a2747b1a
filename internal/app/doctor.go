package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
)

// errUnhealthy makes doctor's exit code 1. What is wrong was printed.
var errUnhealthy = errors.New("the database needs mending")

// doctor looks at everything that the gateway depends on in the database, changes nothing, and prints what it found with
// the SQL that mends it.
func doctor(ctx context.Context, cfg *config.Config, out io.Writer) error {
	pool, err := wal.OpenPool(ctx, cfg.DatabaseURL.Reveal(), wal.PoolOptions{})
	if err != nil {
		return err
	}
	defer pool.Close()
	database := &wal.Server{Pool: pool, Slot: cfg.Slot, Publication: cfg.Publication, Mode: wal.SetupCheck, Log: zap.NewNop()}
	facts, err := database.Inspect(ctx)
	if err != nil {
		return err
	}
	path, err := openQueryPath(ctx, cfg)
	if err != nil {
		return err
	}
	defer path.pool.Close()
	tables, err := resolve(ctx, cfg, Functions{}, facts, path, zap.NewNop())
	if err != nil {
		return err
	}
	findings := facts.Findings(tables.wants(cfg))
	access := &access{}
	defer access.close()
	problems, err := access.authorize(ctx, cfg, path)
	if err == nil {
		err = config.NewError(problems...)
	}
	if err != nil {
		return err
	}
	unguarded, err := access.guards(ctx, path.pool, facts, tables, cfg.Publication)
	if err != nil {
		return err
	}
	narrowed, err := access.policies(ctx, cfg, path.pool, facts)
	if err != nil {
		return err
	}
	findings = slices.Concat(findings, tables.findings, unguarded, narrowed)
	if asksQueries(cfg) {
		findings = append(findings, path.finding())
	}
	schema, err := migrationFinding(ctx, database, facts.Role)
	if err != nil {
		return err
	}
	findings = append(findings, schema)
	further, err := tables.ingestFindings(ctx, facts.Role, pool)
	if err != nil {
		return err
	}
	findings = append(findings, further...)
	if schema.Level == wal.Good {
		last, err := resetFinding(ctx, database)
		if err != nil {
			return err
		}
		findings = append(findings, last)
	}
	worst := wal.Good
	for _, f := range findings {
		worst = max(worst, f.Level)
		fmt.Fprintf(out, "%-6s %s: %s\n", label(f.Level), f.Check, f.Detail)
		if f.Fix != "" {
			fmt.Fprintf(out, "       %s\n", strings.ReplaceAll(f.Fix, "\n", "\n       "))
		}
	}
	switch {
	case worst == wal.Fail:
		return errUnhealthy
	case worst == wal.Mendable && cfg.Setup == config.SetupAuto:
		fmt.Fprintf(out, "\nServing with `setup: auto` runs the SQL above itself, if role %s owns the tables and may create in the database.\n", facts.Role)
	case worst == wal.Mendable:
		return errUnhealthy
	}
	return nil
}

// resetFinding tells when clients had to start over last.
func resetFinding(ctx context.Context, s *wal.Server) (wal.Finding, error) {
	f := wal.Finding{Check: "last reset", Detail: "none"}
	stored, err := (&wal.Checkpoints{Pool: s.Pool, Slot: s.Slot}).Load(ctx)
	if err != nil || stored == nil || stored.Reset.Reason == "" {
		return f, err
	}
	r := stored.Reset
	f.Detail = fmt.Sprintf("%s, %s: %s", r.At.UTC().Format(time.RFC3339), r.Reason, r.Detail)
	f.Fix = "-- " + afterReset(r.Reason, s.Slot)
	return f, nil
}

func label(l wal.Level) string {
	return map[wal.Level]string{wal.Good: "ok", wal.Warn: "warn", wal.Mendable: "mend", wal.Fail: "FAIL"}[l]
}
