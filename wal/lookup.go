package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Lookups answers a query for many parameters at once. Its methods may be called from any goroutine.
type Lookups struct {
	Pool *pgxpool.Pool // with the trusted search_path
	// Query has one column, and parameters whose types the server finds out.
	Query string
}

const (
	// maxLookup bounds the values that one answer may have, and maxLookupBytes all that are found at once.
	maxLookup      = 1000
	maxLookupBytes = 32 << 20
	// lookupPause is between two attempts, while a transaction is not visible.
	lookupPause = 2 * time.Millisecond
)

// ErrLookupTooBig says that the answers have more values than anybody needs.
var ErrLookupTooBig = errors.New("the query returns more than 1000 values for one row, or more than 32 MiB for one transaction")

// Find returns the values for each tuple of parameters, in text format and without NULLs. nil in a tuple is NULL. It waits
// until a query shows the transactions with the identifiers in after; seen are those of them that one has shown, also with
// an error.
func (l *Lookups) Find(ctx context.Context, tuples [][][]byte, after []uint32) (values [][]string, seen []uint32, err error) {
	for {
		err = l.Pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
			return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
				var text string
				if err := tx.QueryRow(ctx, "select pg_catalog.pg_current_snapshot()::pg_catalog.text").Scan(&text); err != nil {
					return err
				}
				visibility, err := cdc.ParseVisibility(text)
				if err != nil {
					return err
				}
				if seen = slices.DeleteFunc(slices.Clone(after), func(xid uint32) bool { return !visibility.Shows(xid) }); len(seen) < len(after) {
					return nil
				}
				values, err = l.answers(ctx, tx.Conn().PgConn(), tuples)
				return err
			})
		})
		if err != nil {
			return nil, seen, fmt.Errorf("look up scopes: %w", err)
		}
		if len(seen) == len(after) {
			return values, seen, nil
		}
		if err := sleep(ctx, lookupPause); err != nil {
			return nil, seen, fmt.Errorf("look up scopes: wait for a transaction to become visible: %w", err)
		}
	}
}

// answers asks for all tuples in one round trip.
func (l *Lookups) answers(ctx context.Context, conn *pgconn.PgConn, tuples [][][]byte) (values [][]string, err error) {
	batch := &pgconn.Batch{}
	for _, tuple := range tuples {
		batch.ExecParams(l.Query, tuple, nil, nil, nil)
	}
	results := conn.ExecBatch(ctx, batch)
	defer func() { err = errors.Join(err, results.Close()) }()
	size := 0
	for results.NextResult() {
		var found []string
		reader := results.ResultReader()
		for reader.NextRow() {
			value := reader.Values()[0]
			if size += len(value); len(found) == maxLookup || size > maxLookupBytes {
				return nil, ErrLookupTooBig
			}
			if value != nil {
				found = append(found, string(value))
			}
		}
		if _, err := reader.Close(); err != nil {
			return nil, err
		}
		values = append(values, found)
	}
	return values, nil
}

// QueryInfo is what the server says of a query that it did not run.
type QueryInfo struct {
	// Columns describes the result; only types are known of it, without domains, and of their collations nothing.
	Columns []ColumnInfo
	// Types are those of Columns, as SQL writes them whatever the search_path.
	Types []string
	// Reads are the tables that it reads: see Reads.
	Reads []TableName
}

const describedType = `
select t.typtype::pg_catalog.text, pg_catalog.format_type(t.oid, null), pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname)
from pg_catalog.pg_type t join pg_catalog.pg_namespace n on n.oid = t.typnamespace where t.oid = $1`

// DescribeQuery asks the server about a query.
func DescribeQuery(ctx context.Context, pool *pgxpool.Pool, sql string) (*QueryInfo, error) {
	info := &QueryInfo{}
	parameters := 0
	err := pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		description, err := c.Conn().PgConn().Prepare(ctx, "", sql, nil)
		if err != nil {
			return err
		}
		parameters = len(description.ParamOIDs)
		for _, field := range description.Fields {
			column := ColumnInfo{Name: field.Name, TypeOID: field.DataTypeOID, BaseOID: field.DataTypeOID, Deterministic: true}
			var kind, qualified string
			if err := c.QueryRow(ctx, describedType, field.DataTypeOID).Scan(&kind, &column.TypeName, &qualified); err != nil {
				return err
			}
			column.Kind = kind[0]
			info.Columns, info.Types = append(info.Columns, column), append(info.Types, qualified)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("describe a query: %w", err)
	}
	info.Reads, err = Reads(ctx, pool, sql, parameters)
	return info, err
}
