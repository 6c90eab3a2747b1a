package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/migrations"
	"github.com/reactive-gw/reactive-gw/wal"
)

// errUnhealthy makes doctor's exit code 1. What is wrong was printed.
var errUnhealthy = errors.New("the database needs mending")

// doctor looks at everything that the gateway depends on in the database, changes nothing, and prints what it found with
// the SQL that mends it.
func doctor(ctx context.Context, cfg *config.Config, out io.Writer) error {
	pool, err := wal.OpenPool(ctx, cfg.DatabaseURL.Reveal())
	if err != nil {
		return err
	}
	defer pool.Close()
	database := &wal.Server{Pool: pool, Slot: cfg.Slot, Publication: cfg.Publication, Mode: wal.SetupCheck, Log: zap.NewNop()}
	facts, err := database.Inspect(ctx)
	if err != nil {
		return err
	}
	tables, err := resolve(cfg, facts, zap.NewNop())
	if err != nil {
		return err
	}
	findings := facts.Findings(wal.Wanted{Slot: cfg.Slot, Publication: cfg.Publication, Tables: tables.wanted})
	findings = append(findings, migrationFinding(ctx, database))
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
		fmt.Fprintln(out, "\nServing with `setup: auto` runs the SQL above itself.")
	case worst == wal.Mendable:
		return errUnhealthy
	}
	return nil
}

func migrationFinding(ctx context.Context, s *wal.Server) wal.Finding {
	f := wal.Finding{Check: "schema mtbreactive", Detail: "up to date"}
	states, err := migrations.Status(ctx, s.Pool)
	if err != nil {
		f.Level, f.Detail = wal.Fail, err.Error()
		return f
	}
	var pending []string
	for _, m := range states {
		if m.Applied.IsZero() {
			pending = append(pending, m.Name)
		}
	}
	if len(pending) > 0 {
		f.Level, f.Detail, f.Fix = wal.Mendable, "pending: "+strings.Join(pending, ", "), "-- run `reactive-gw migrate up`"
	}
	return f
}

func label(l wal.Level) string {
	return map[wal.Level]string{wal.Good: "ok", wal.Warn: "warn", wal.Mendable: "mend", wal.Fail: "FAIL"}[l]
}
