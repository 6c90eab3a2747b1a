package migrations

import (
	"context"
	_ "embed"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed template/notify_trigger.sql
var notifyTrigger string //nolint:gochecknoglobals // as files

// triggerLockTimeout bounds the wait for the table's lock: whoever wants to write waits behind it.
const triggerLockTimeout = "5s"

// NotifyTriggerSQL is what InstallNotifyTrigger runs. The names are the catalog's, and are quoted here.
func NotifyTriggerSQL(schema, table, channel string) string {
	return strings.NewReplacer(
		"{{.Table}}", pgx.Identifier{schema, table}.Sanitize(),
		"{{.Channel}}", "'"+strings.ReplaceAll(channel, "'", "''")+"'",
	).Replace(notifyTrigger)
}

// InstallNotifyTrigger makes the table notify on the channel, in place of a trigger of the same kind that it may have.
func InstallNotifyTrigger(ctx context.Context, pool *pgxpool.Pool, schema, table, channel string) error {
	err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "set local lock_timeout = '"+triggerLockTimeout+"'"); err != nil {
			return err
		}
		// The simple protocol: there is more than one statement.
		_, err := tx.Conn().PgConn().Exec(ctx, NotifyTriggerSQL(schema, table, channel)).ReadAll()
		return err
	})
	if err != nil {
		return fmt.Errorf("install notify trigger: %w", err)
	}
	return nil
}
