package wal

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// Querier is what the catalog queries need of a connection or pool.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// TableName names a table as the catalog spells it.
type TableName struct {
	Schema, Name string
}

func (n TableName) String() string { return n.Schema + "." + n.Name }

// Quoted gives the name for SQL.
func (n TableName) Quoted() string { return pgx.Identifier{n.Schema, n.Name}.Sanitize() }

// TableInfo is what the catalog says of an ordinary or partitioned table.
type TableInfo struct {
	TableName
	OID         uint32
	Partitioned bool
	Extension   bool // belongs to an extension
	Columns     []ColumnInfo
	PrimaryKey  []string
	ForeignKeys []string // columns that are part of any foreign key
	// Leaves are the relations that hold the rows and so decide what a before image holds: the table itself, or the
	// partitions of a partitioned one.
	Leaves []LeafInfo
}

// ColumnInfo is one column of a table.
type ColumnInfo struct {
	Name    string
	TypeOID uint32
	// BaseOID is the type under the domains; the same as TypeOID for any other type.
	BaseOID uint32
	// Kind is pg_type.typtype of the base type: 'b' base, 'e' enum, 'c' composite, 'r' range, 'm' multirange.
	Kind     byte
	TypeName string
	// Deterministic: equality of values is equality of their bytes, as far as the collation goes.
	Deterministic bool
}

// LeafInfo is a relation that holds rows.
type LeafInfo struct {
	TableName
	Identity byte     // pg_class.relreplident: d, n, f or i
	Columns  []string // of the replica identity index, for d and i
}

// Column returns the named column, or nil.
func (t *TableInfo) Column(name string) *ColumnInfo {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return &t.Columns[i]
		}
	}
	return nil
}

// Covers tells whether the before images of all changes hold every one of the columns.
func (l *LeafInfo) Covers(columns []string) bool {
	if l.Identity == 'f' {
		return true
	}
	return !slices.ContainsFunc(columns, func(c string) bool { return !slices.Contains(l.Columns, c) })
}

const userTables = `
select c.oid, n.nspname, c.relname, c.relkind = 'p',
       exists (select from pg_catalog.pg_depend d
               where d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid and d.deptype = 'e')
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where c.relkind in ('r', 'p') and not c.relispartition and c.relpersistence = 'p'
  and n.nspname !~ '^pg_' and n.nspname not in ('information_schema', 'mtbreactive')
order by 2, 3`

const tableColumns = `
with recursive base(oid, base) as (
    select t.oid, t.oid from pg_catalog.pg_type t where t.typtype <> 'd'
    union all
    select t.oid, b.base from pg_catalog.pg_type t join base b on b.oid = t.typbasetype where t.typtype = 'd'
)
select a.attrelid, a.attname, a.atttypid, b.base, t.typtype::text, pg_catalog.format_type(a.atttypid, a.atttypmod),
       coalesce(l.collisdeterministic, true)
from pg_catalog.pg_attribute a
join base b on b.oid = a.atttypid
join pg_catalog.pg_type t on t.oid = b.base
left join pg_catalog.pg_collation l on l.oid = a.attcollation
where a.attrelid = any($1) and a.attnum > 0 and not a.attisdropped
order by a.attrelid, a.attnum`

const primaryKeys = `
select i.indrelid, a.attname
from pg_catalog.pg_index i
join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any(i.indkey)
where i.indrelid = any($1) and i.indisprimary
order by i.indrelid, array_position(i.indkey::int2[], a.attnum)`

const foreignKeys = `
select distinct k.conrelid, a.attname, a.attnum
from pg_catalog.pg_constraint k
join pg_catalog.pg_attribute a on a.attrelid = k.conrelid and a.attnum = any(k.conkey)
where k.conrelid = any($1) and k.contype = 'f'
order by k.conrelid, a.attnum`

const leaves = `
select root.oid, n.nspname, c.relname, c.relreplident::text,
       coalesce((select array_agg(a.attname::text)
                 from pg_catalog.pg_index i
                 join pg_catalog.pg_attribute a on a.attrelid = i.indrelid and a.attnum = any((i.indkey::int2[])[0:i.indnkeyatts - 1])
                 where i.indrelid = c.oid
                   and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident else false end), '{}')
from unnest($1::oid[]) root(oid)
cross join lateral (
    select root.oid where exists (select from pg_catalog.pg_class r where r.oid = root.oid and r.relkind = 'r')
    union all
    select p.relid::oid from pg_catalog.pg_partition_tree(root.oid) p where p.isleaf and p.relid::oid <> root.oid
) leaf(oid)
join pg_catalog.pg_class c on c.oid = leaf.oid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by 1, 2, 3`

// loadTables reads every user table of the database, in the order of their names.
func loadTables(ctx context.Context, q Querier) ([]*TableInfo, error) {
	var tables []*TableInfo
	var oids []uint32
	byOID := map[uint32]*TableInfo{}
	err := each(ctx, q, "list tables", userTables, nil, func(rows pgx.Rows) error {
		t := &TableInfo{}
		if err := rows.Scan(&t.OID, &t.Schema, &t.Name, &t.Partitioned, &t.Extension); err != nil {
			return err
		}
		tables, oids, byOID[t.OID] = append(tables, t), append(oids, t.OID), t
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, q, "list columns", tableColumns, []any{oids}, func(rows pgx.Rows) error {
		var table uint32
		var kind string
		var c ColumnInfo
		if err := rows.Scan(&table, &c.Name, &c.TypeOID, &c.BaseOID, &kind, &c.TypeName, &c.Deterministic); err != nil {
			return err
		}
		c.Kind = kind[0]
		byOID[table].Columns = append(byOID[table].Columns, c)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = eachName(ctx, q, "list primary keys", primaryKeys, oids, func(table uint32, column string) {
		byOID[table].PrimaryKey = append(byOID[table].PrimaryKey, column)
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, q, "list foreign keys", foreignKeys, []any{oids}, func(rows pgx.Rows) error {
		var table uint32
		var column string
		if err := rows.Scan(&table, &column, nil); err != nil {
			return err
		}
		byOID[table].ForeignKeys = append(byOID[table].ForeignKeys, column)
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, q, "list replica identities", leaves, []any{oids}, func(rows pgx.Rows) error {
		var table uint32
		var identity string
		var l LeafInfo
		if err := rows.Scan(&table, &l.Schema, &l.Name, &identity, &l.Columns); err != nil {
			return err
		}
		l.Identity = identity[0]
		byOID[table].Leaves = append(byOID[table].Leaves, l)
		return nil
	})
	return tables, err
}

// loadPrimaryKeys returns the primary-key columns of one table, none where it has none or is gone.
func loadPrimaryKey(ctx context.Context, q Querier, table uint32) ([]string, error) {
	var columns []string
	err := eachName(ctx, q, "read primary key", primaryKeys, []uint32{table}, func(_ uint32, column string) {
		columns = append(columns, column)
	})
	return columns, err
}

func eachName(ctx context.Context, q Querier, what, sql string, oids []uint32, f func(table uint32, column string)) error {
	return each(ctx, q, what, sql, []any{oids}, func(rows pgx.Rows) error {
		var table uint32
		var column string
		if err := rows.Scan(&table, &column); err != nil {
			return err
		}
		f(table, column)
		return nil
	})
}

func each(ctx context.Context, q Querier, what, sql string, args []any, f func(pgx.Rows) error) error {
	rows, err := q.Query(ctx, sql, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := f(rows); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
