package app

import (
	"context"
	"fmt"
	"io"
	"slices"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/migrations"
	"github.com/reactive-gw/reactive-gw/wal"
)

// notifyTriggerOn makes a table send its changes by NOTIFY. With show it only prints the SQL.
func notifyTriggerOn(ctx context.Context, cfg *config.Config, name string, show bool, out, warnings io.Writer) error {
	table, err := config.ParseTableName(name)
	if err != nil {
		return usage("table %v", err)
	}
	channel := config.DefaultNotifyChannel
	if cfg.Ingest != nil && cfg.Ingest.Notify != nil {
		channel = cfg.Ingest.Notify.Channel
	}
	if show {
		fmt.Fprintf(out, "%s", migrations.NotifyTriggerSQL(table.Schema, table.Name, channel))
		return nil
	}
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
	if err := mayNotify(cfg, facts, wal.TableName(table)); err != nil {
		return err
	}
	schema, err := migrationFinding(ctx, database, facts)
	if err != nil {
		return err
	}
	if schema.Level == wal.Fail {
		return &wal.SetupError{Findings: []wal.Finding{schema}}
	}
	if schema.Level == wal.Mendable { // the trigger's function may be among what is pending
		if err := applyMigrations(ctx, pool, out, warnings); err != nil {
			return err
		}
	}
	if err := migrations.InstallNotifyTrigger(ctx, pool, table.Schema, table.Name, channel); err != nil {
		if forbidden(err) {
			return fmt.Errorf("%w: run it as the owner of %s, with USAGE on schema mtbreactive", err, table)
		}
		return err
	}
	fmt.Fprintf(out, "%s now notifies channel %s of its changes\n", table, channel)
	return nil
}

// mayNotify refuses what is no table, and one whose changes come from the log.
func mayNotify(cfg *config.Config, facts *wal.Facts, name wal.TableName) error {
	at := slices.IndexFunc(facts.Tables, func(t *wal.TableInfo) bool { return t.TableName == name })
	if at < 0 {
		var names []string
		for _, t := range facts.Tables {
			names = append(names, t.String())
		}
		return usage("there is no table %s: %s", name, insteadOf(name.String(), names))
	}
	if p := facts.Publication; p != nil && (p.AllTables || p.Tables[name]) {
		return fmt.Errorf("table %s is in publication %s, so its changes come from the log already: first %s",
			name, cfg.Publication, unpublishFix(cfg.Publication, name, p))
	}
	return nil
}
