package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/migrations"
	"github.com/reactive-gw/reactive-gw/wal"
)

// errIncomplete makes the exit code of uninstall 1. What was not removed was printed.
var errIncomplete = errors.New("not everything was removed: see above")

// uninstall lists what setup made in the database. With yes it removes that.
func uninstall(ctx context.Context, cfg *config.Config, yes bool, out io.Writer) error {
	pool, err := wal.OpenPool(ctx, cfg.DatabaseURL.Reveal(), wal.PoolOptions{})
	if err != nil {
		return err
	}
	defer pool.Close()
	database := &wal.Server{Pool: pool, Slot: cfg.Slot, Publication: cfg.Publication, Mode: wal.SetupCheck, Log: zap.NewNop()}
	schema, err := migrations.Remove(ctx, pool) // refuses a schema that is not ours before anything of it is read
	if err != nil {
		return migrateError(err)
	}
	remains, err := database.Remains(ctx)
	if forbidden(err) {
		return fmt.Errorf("%w: run uninstall as the owner of schema mtbreactive, or as a superuser", err)
	}
	if err != nil {
		return err
	}
	if slot := remains.Slot; slot != nil && slot.Active {
		return fmt.Errorf("a gateway uses slot %s (process %d of the server): stop it first; who it is: SELECT * FROM pg_stat_replication WHERE pid = %[2]d",
			cfg.Slot, slot.ActivePID)
	}
	removals := remains.Removals(cfg.Slot, cfg.Publication)
	if schema != nil && len(remains.Others) == 0 {
		removals = append(removals, ownSchema(schema)...)
	}
	u := &uninstaller{database: database, remains: remains, out: out}
	if len(removals) == 0 {
		fmt.Fprintln(out, "there is nothing to remove")
		return nil
	}
	for _, one := range removals {
		if err := u.take(ctx, one, yes); err != nil {
			return err
		}
	}
	return u.end(ctx, yes)
}

const schemaRemoved = "schema mtbreactive, and publication mtbreactive_outbox"

// ownSchema removes the schema, which remembers the rest and so goes last.
func ownSchema(schema *migrations.Removal) []wal.Removal {
	one := wal.Removal{What: schemaRemoved, SQL: strings.Join(schema.SQL, "\n"), Owner: schema.Owner}
	if len(schema.Left) == 0 {
		return []wal.Removal{one}
	}
	return []wal.Removal{one, {
		What: "schema mtbreactive itself", Left: "it has objects that the gateway did not make: " + strings.Join(schema.Left, ", "),
		Advice: "DROP SCHEMA mtbreactive; -- when it is empty",
	}}
}

type uninstaller struct {
	database *wal.Server
	remains  *wal.Remains
	out      io.Writer
	failed   []string // statements
}

// take lists one thing or, with yes, removes it. The error is of the connection.
func (u *uninstaller) take(ctx context.Context, one wal.Removal, yes bool) error {
	if one.Left != "" {
		fmt.Fprintf(u.out, "left   %s: %s\n", wal.Line(one.What), wal.Line(one.Left))
		u.print(one.Advice)
		return nil
	}
	may := one.Owner == "" || u.remains.Roles[one.Owner]
	whose := ""
	if !may {
		whose = fmt.Sprintf(", by role %s or a superuser: role %s may not", one.Owner, u.remains.Role)
	}
	if !yes {
		fmt.Fprintf(u.out, "remove %s%s\n", wal.Line(one.What), whose)
		u.print(one.SQL)
		return nil
	}
	if one.What == schemaRemoved && len(u.failed) > 0 {
		fmt.Fprintf(u.out, "left   %s: it remembers what was not removed\n", wal.Line(one.What))
		return nil
	}
	var err error
	if may {
		err = u.database.Undo(ctx, one.Table, strings.Split(one.SQL, "\n")...)
	}
	refused := (*pgconn.PgError)(nil)
	switch {
	case !may:
		fmt.Fprintf(u.out, "FAIL   %s%s\n", wal.Line(one.What), whose)
	case err == nil:
		fmt.Fprintf(u.out, "removed %s\n", wal.Line(one.What))
	case errors.Is(err, wal.ErrLocked), errors.As(err, &refused):
		fmt.Fprintf(u.out, "FAIL   %s: %v\n", wal.Line(one.What), err)
	default:
		return err
	}
	u.print(one.SQL)
	if !may || err != nil {
		u.failed = append(u.failed, one.SQL)
	}
	return nil
}

// end says how to go on. Where other gateways stay, only the slot's rows in the schema go.
func (u *uninstaller) end(ctx context.Context, yes bool) error {
	switch {
	case !yes:
		fmt.Fprintln(u.out, "\nNothing was changed. `reactive-gw uninstall --yes` runs the SQL above.")
		return nil
	case len(u.failed) > 0:
		fmt.Fprintf(u.out, "\nNot removed yet, for a role that may:\n       %s\nThen run uninstall again.\n", strings.ReplaceAll(strings.Join(u.failed, "\n"), "\n", "\n       "))
		return errIncomplete
	case len(u.remains.Others) > 0:
		return u.database.ForgetSlot(ctx)
	}
	return nil
}

func (u *uninstaller) print(sql string) {
	if sql != "" {
		fmt.Fprintf(u.out, "       %s\n", strings.ReplaceAll(sql, "\n", "\n       "))
	}
}
