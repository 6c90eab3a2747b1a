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
// the SQL that mends it. With onlySQL it prints the SQL alone, all of it, as what one may give to psql.
func doctor(ctx context.Context, cfg *config.Config, onlySQL bool, out io.Writer) error {
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
	problems, err := access.authorize(ctx, cfg, tables, path)
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
	room, err := wal.ConnectionFinding(ctx, pool, cfg.DatabasePool)
	if err != nil {
		return err
	}
	findings = append(slices.Concat(findings, tables.findings, unguarded, narrowed), room)
	if asksQueries(cfg) {
		findings = append(findings, path.finding())
	}
	schema, err := migrationFinding(ctx, database, facts)
	if err != nil {
		return err
	}
	findings = wal.WithSchema(findings, schema)
	nudge, err := nudgeFinding(ctx, database, facts.Role)
	if err != nil {
		return err
	}
	findings = append(findings, nudge)
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
	}
	if onlySQL {
		printSQL(out, findings)
	} else {
		printFindings(out, findings)
	}
	switch {
	case worst == wal.Fail:
		return errUnhealthy
	case worst == wal.Mendable && cfg.Setup == config.SetupAuto && onlySQL:
	case worst == wal.Mendable && cfg.Setup == config.SetupAuto:
		fmt.Fprintf(out, "\nServing with `setup: auto` runs the SQL above itself, if role %s owns the tables and may create in the database.\n", facts.Role)
	case worst == wal.Mendable:
		return errUnhealthy
	}
	return nil
}

// oneByOne is how many tables of which the same is to be said doctor prints one by one.
const oneByOne = 10

// printFindings prints them in the order in which they are to be mended, with who may run the SQL.
func printFindings(out io.Writer, findings []wal.Finding) {
	by := ""
	costs := false
	for _, g := range wal.Groups(findings, oneByOne) {
		for i, f := range g.Findings {
			if f.Fix != "" && f.By != "" && f.By != by {
				by = f.By
				fmt.Fprintf(out, "-- as %s:\n", wal.Line(by))
			}
			fmt.Fprintf(out, "%-6s %s: %s\n", label(f.Level), wal.Line(f.Check), wal.Line(f.Detail))
			costs = costs || strings.Contains(f.Fix, "REPLICA IDENTITY FULL")
			for _, text := range []string{f.Fix, f.Or} {
				if text != "" && (text == f.Fix || i == 0) {
					fmt.Fprintf(out, "       %s\n", strings.ReplaceAll(text, "\n", "\n       "))
				}
			}
		}
		if more := g.Summary(); more != "" {
			fmt.Fprintf(out, "%-6s %s\n       -- `reactive-gw doctor --sql` prints the SQL for all of them\n", label(g.More[0].Level), wal.Line(more))
		}
	}
	if costs {
		fmt.Fprintf(out, "%s\n", wal.CostOfFull)
	}
}

// printSQL prints what mends all that keeps something from being served, or an application from writing.
func printSQL(out io.Writer, findings []wal.Finding) {
	fmt.Fprintln(out, "-- In this order: after any of the statements one may stop, and no application is refused what it writes.\n-- A comment is a step too: take it in its place.")
	by := ""
	for _, f := range findings {
		if f.Fix == "" || !f.Needed() {
			continue
		}
		if f.By != by && f.By != "" {
			by = f.By
			fmt.Fprintf(out, "\n-- as %s:\n", wal.Line(by))
		}
		fmt.Fprintln(out, f.Fix)
	}
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
