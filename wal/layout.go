package wal

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Layout is what can change of a table without a word in the stream: which partitions its rows are in and in which files,
// and how the labels of its enums are spelt. ATTACH and DETACH of a partition with rows, TRUNCATE of one under
// publish_via_partition_root, and ALTER TYPE ... RENAME VALUE change what SELECT returns, and send nothing (PostgreSQL
// manual, "Logical Replication", "Restrictions").
type Layout struct {
	partitions string
	labels     map[uint32]string // by the OID of the label
}

// Differs says what is different now, empty where nothing is. A label that was added is no difference: no row has it yet.
func (l Layout) Differs(now Layout) string {
	if l.partitions != now.partitions {
		return "a partition was attached, detached or emptied"
	}
	for oid, label := range l.labels {
		if renamed, ok := now.labels[oid]; ok && renamed != label {
			return "a label of an enum was renamed"
		}
	}
	return ""
}

const partitionsNow = `
select n.nspname, c.relname, string_agg(p.relid::oid::text || ':' || coalesce(pg_catalog.pg_relation_filenode(p.relid), 0), ',' order by p.relid::oid)
from unnest($1::text[], $2::text[]) wanted(schema, name)
join pg_catalog.pg_namespace n on n.nspname = wanted.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name and c.relkind = 'p'
cross join lateral pg_catalog.pg_partition_tree(c.oid) p
where p.isleaf
group by 1, 2`

const labelsNow = `
select distinct n.nspname, c.relname, e.oid, e.enumlabel::text
from unnest($1::text[], $2::text[]) wanted(schema, name)
join pg_catalog.pg_namespace n on n.nspname = wanted.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
join pg_catalog.pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
join pg_catalog.pg_type t on t.oid = a.atttypid
join pg_catalog.pg_enum e on e.enumtypid in (t.oid, t.typelem, t.typbasetype)`

// Layouts reads the layouts of tables. Those that there are not are left out.
func (s *Server) Layouts(ctx context.Context, tables []TableName) (map[TableName]Layout, error) {
	var schemas, names []string
	layouts := map[TableName]Layout{}
	for _, t := range tables {
		schemas, names = append(schemas, t.Schema), append(names, t.Name)
		layouts[t] = Layout{labels: map[uint32]string{}}
	}
	err := each(ctx, s.Pool, "read partitions", partitionsNow, []any{schemas, names}, func(rows pgx.Rows) error {
		var t TableName
		var partitions string
		err := rows.Scan(&t.Schema, &t.Name, &partitions)
		layouts[t] = Layout{partitions: partitions, labels: layouts[t].labels}
		return err
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, s.Pool, "read labels of enums", labelsNow, []any{schemas, names}, func(rows pgx.Rows) error {
		var t TableName
		var oid uint32
		var label string
		err := rows.Scan(&t.Schema, &t.Name, &oid, &label)
		layouts[t].labels[oid] = label
		return err
	})
	if err != nil {
		return nil, err
	}
	return layouts, nil
}
