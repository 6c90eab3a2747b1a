package wal

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// A query for names fails as a whole where one of them has no Unicode, and anybody who may create a table may give it such a
// name. So tables with one are left out of what is asked.

// namelessTables lists the tables that cannot be asked about: those of which a name, also one of a partition, a column or a
// type, has no Unicode.
func (d *decoder) namelessTables() string {
	return `
select distinct coalesce(pg_catalog.pg_partition_root(c.oid)::pg_catalog.oid, c.oid)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and c.relpersistence = 'p' and (` + d.unknown("n.nspname::pg_catalog.text") + ` or ` + d.unknown("c.relname::pg_catalog.text") + `
    or exists (
        select from pg_catalog.pg_attribute a
        join pg_catalog.pg_type t on t.oid = a.atttypid
        join pg_catalog.pg_namespace s on s.oid = t.typnamespace
        where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
          and (` + d.unknown("a.attname::pg_catalog.text") + ` or ` + d.unknown("s.nspname::pg_catalog.text || t.typname::pg_catalog.text") + `)))`
}

// nameless runs it. The result is not nil.
func (d *decoder) nameless(ctx context.Context, q Querier) ([]uint32, error) {
	tables := []uint32{}
	if d == nil {
		return tables, nil
	}
	err := each(ctx, q, "list tables whose names have no Unicode", d.namelessTables(), nil, func(rows pgx.Rows) error {
		var oid uint32
		err := rows.Scan(&oid)
		tables = append(tables, oid)
		return err
	})
	return tables, err
}

// published is a condition for pg_publication_tables that leaves out tables with names that have no Unicode.
func (d *decoder) published(version int) string {
	names := "t.schemaname::pg_catalog.text || t.tablename::pg_catalog.text"
	if version >= 150000 {
		names += " || pg_catalog.array_to_string(t.attnames, ' ')"
	}
	return " and not " + d.unknown(names)
}
