package wal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Reads lists the tables that a query reads, as its plan shows them: those under views are there, and a partitioned table
// stands for its partitions. What a function reads inside, unless it is inlined, no plan shows. parameters is how many the
// query has.
func Reads(ctx context.Context, pool *pgxpool.Pool, sql string, parameters int) ([]TableName, error) {
	var tables []TableName
	err := pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		// A prepared statement outlives its transaction.
		defer func() { _, _ = c.Exec(context.WithoutCancel(ctx), "DEALLOCATE "+readsStatement) }()
		return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			plan, err := explain(ctx, tx, sql, parameters)
			if err != nil {
				return err
			}
			tables, err = roots(ctx, tx, plan)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("find the tables that a query reads: %w", err)
	}
	return tables, nil
}

const readsStatement = "mtbreactive_reads"

// explain returns the tables of the plan for unknown values. A plan for the NULLs that stand in for them would leave out
// what no NULL can equal.
func explain(ctx context.Context, tx pgx.Tx, sql string, parameters int) ([]TableName, error) {
	nulls := ""
	if parameters > 0 {
		nulls = "(" + strings.TrimSuffix(strings.Repeat("NULL,", parameters), ",") + ")"
	}
	for _, command := range []string{
		"SET LOCAL plan_cache_mode = force_generic_plan", "SET LOCAL enable_partition_pruning = off", "PREPARE " + readsStatement + " AS " + sql,
	} {
		// The extended protocol takes one statement only.
		if _, err := tx.Conn().PgConn().ExecParams(ctx, command, nil, nil, nil, nil).Close(); err != nil {
			return nil, err
		}
	}
	if err := mayPlan(ctx, tx); err != nil {
		return nil, err
	}
	var text string
	if err := tx.QueryRow(ctx, "EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE "+readsStatement+nulls).Scan(&text); err != nil {
		return nil, err
	}
	var plan any
	if err := json.Unmarshal([]byte(text), &plan); err != nil {
		return nil, fmt.Errorf("read the plan: %w", err)
	}
	var tables []TableName
	eachRelation(plan, func(t TableName) {
		if !slices.Contains(tables, t) {
			tables = append(tables, t)
		}
	})
	return tables, nil
}

func eachRelation(plan any, found func(TableName)) {
	switch node := plan.(type) {
	case []any:
		for _, child := range node {
			eachRelation(child, found)
		}
	case map[string]any:
		name, is := node["Relation Name"].(string)
		if schema, ok := node["Schema"].(string); ok && is {
			found(TableName{schema, name})
		}
		for _, child := range node {
			eachRelation(child, found)
		}
	}
}

// roots replaces partitions by the table of which they are parts.
func roots(ctx context.Context, tx pgx.Tx, tables []TableName) ([]TableName, error) {
	var all []TableName
	for _, t := range tables {
		err := each(ctx, tx, "find partitioned table", `
select n.nspname, c.relname
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid = coalesce(pg_catalog.pg_partition_root($1::pg_catalog.regclass), $1::pg_catalog.regclass)`, []any{t.plain()}, func(rows pgx.Rows) error {
			var root TableName
			if err := rows.Scan(&root.Schema, &root.Name); err != nil {
				return err
			}
			if !slices.Contains(all, root) {
				all = append(all, root)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b TableName) int { return strings.Compare(a.String(), b.String()) })
	return all, nil
}

// Names finds the table that a name in a query stands for; without a schema the search path decides. It returns false where
// that is no table, or one that shows some of its rows to some roles only.
func Names(ctx context.Context, pool *pgxpool.Pool, schema, name string) (t TableName, plain bool, err error) {
	quoted := pgx.Identifier{name}.Sanitize()
	if schema != "" {
		quoted = pgx.Identifier{schema, name}.Sanitize()
	}
	err = each(ctx, pool, "find a query's table", `
select n.nspname, c.relname, c.relkind in ('r', 'p') and not c.relrowsecurity
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.oid = pg_catalog.to_regclass($1)`, []any{quoted}, func(rows pgx.Rows) error {
		return rows.Scan(&t.Schema, &t.Name, &plain)
	})
	return t, plain, err
}

// Refers tells whether a column is a foreign key to a column of another table.
func Refers(ctx context.Context, pool *pgxpool.Pool, from TableName, column string, to TableName, key string) (refers bool, err error) {
	err = each(ctx, pool, "find foreign key", `
select exists (
    select from pg_catalog.pg_constraint k
    join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and k.conkey = array[a.attnum]
    join pg_catalog.pg_attribute b on b.attrelid = k.confrelid and k.confkey = array[b.attnum]
    where k.contype = 'f' and k.convalidated and k.conrelid = $1::pg_catalog.regclass and a.attname = $2 and k.confrelid = $3::pg_catalog.regclass and b.attname = $4)`,
		[]any{from.plain(), column, to.plain(), key}, func(rows pgx.Rows) error { return rows.Scan(&refers) })
	return refers, err
}
