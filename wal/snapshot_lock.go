package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A snapshot locks its tables before the transaction has its snapshot, and keeps them as the snapshot will show them. TRUNCATE,
// and ALTER TABLE where it rewrites the table, do not heed snapshots: one that commits between the moment and the reading of
// the rows would leave none to be read, although the snapshot does not show it. The locks are those that reading takes anyway.
//
// All of them are taken at once or none. Who holds one table and waits for the next can be in a circle with an application
// that takes them the other way round, such as TRUNCATE ... CASCADE, and PostgreSQL may end the application's statement.
const (
	lockTables = `LOCK TABLE %s IN ACCESS SHARE MODE NOWAIT`
	// lockPause is between two tries, at first; it doubles up to lockPauseMost.
	lockPause     = 5 * time.Millisecond
	lockPauseMost = 200 * time.Millisecond
)

// lockable picks the tables that the role may lock: it may not where it can read some columns only.
const lockable = `
select n.nspname::pg_catalog.text, c.relname::pg_catalog.text
from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) wanted(schema, name)
join pg_catalog.pg_namespace n on n.nspname = wanted.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name and c.relkind in ('r', 'p')
where pg_catalog.has_schema_privilege(n.oid, 'USAGE') and pg_catalog.has_table_privilege(c.oid, 'SELECT')`

// errLocked says that somebody else has a table.
var errLocked = errors.New("another session has a lock on it, as TRUNCATE and ALTER TABLE take it")

// locked calls f in a transaction that has locked the table and, as far as the role may, the other tables that it reads. It
// waits until nobody else has any of them, or ctx ends.
func locked(ctx context.Context, c *pgxpool.Conn, table TableName, others []TableName, f func(pgx.Tx) error) error {
	// Asked outside the transaction, whose first query takes its snapshot.
	tables, all, err := mayLock(ctx, c, table, others)
	if err != nil {
		return err
	}
	for pause := lockPause; ; pause = min(2*pause, lockPauseMost) {
		err := pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			if len(tables) > 0 {
				// With the tables that inherit from them: a partitioned table's rows are in its partitions.
				_, err := tx.Exec(ctx, fmt.Sprintf(lockTables, strings.Join(tables, ", ")))
				if hasCode(err, pgerrcode.LockNotAvailable) {
					return errLocked
				}
				if err != nil {
					return err
				}
			}
			if !all {
				if err := lockByParsing(ctx, tx.Conn().PgConn(), table); err != nil {
					return err
				}
			}
			return f(tx)
		})
		if !errors.Is(err, errLocked) {
			return err
		}
		if ended := sleep(ctx, pause); ended != nil {
			return errors.Join(ended, err)
		}
	}
}

// mayLock returns the quoted tables that the role may lock. all tells whether the first one is among them.
func mayLock(ctx context.Context, c *pgxpool.Conn, table TableName, others []TableName) (tables []string, all bool, err error) {
	schemas, names := []string{table.Schema}, []string{table.Name}
	for _, t := range others {
		schemas, names = append(schemas, t.Schema), append(names, t.Name)
	}
	err = each(ctx, c, "find what may be locked", lockable, []any{schemas, names}, func(rows pgx.Rows) error {
		var t TableName
		if err := rows.Scan(&t.Schema, &t.Name); err != nil {
			return err
		}
		tables, all = append(tables, t.Quoted()), all || t == table
		return nil
	})
	return tables, all, err
}
