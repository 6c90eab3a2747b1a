package demo

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
)

//go:embed schema.sql
var schema string

//go:embed seeds.sql
var seeds string

// Setup makes the demo's tables, and fills them if they are new. On a database that has them it changes nothing, so
// that it may run at every start, and several at once.
func Setup(ctx context.Context, conn *pgx.Conn) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		// "if not exists" alone does not keep two from making the same table at once.
		if _, err := tx.Exec(ctx, "select pg_advisory_xact_lock(hashtext('reactive-gw demo'))"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, schema); err != nil {
			return err
		}
		var seeded bool
		if err := tx.QueryRow(ctx, "select exists (select from conversation)").Scan(&seeded); err != nil || seeded {
			return err
		}
		_, err := tx.Exec(ctx, seeds)
		return err
	})
	if err != nil {
		return fmt.Errorf("set up the demo's tables: %w", err)
	}
	return nil
}
