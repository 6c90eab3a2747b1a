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
	oid        uint32                   // 0 where there is no such table
	partitions map[uint32]partitionFile // by the OID of the partition
	labels     map[uint32]string        // by the OID of the label
}

// partitionFile is where a partition's rows are, and how many bytes there are of them, rounded up to pages.
type partitionFile struct{ node, size int64 }

// Differs says what is different now, empty where nothing is. A label that was added is no difference, for no row has it yet,
// nor is a partition that was added or dropped empty, nor one that was written into another file as a whole, as VACUUM FULL
// does, unless that is smaller: then it may have been emptied.
func (l Layout) Differs(now Layout) string {
	if l.oid != 0 && now.oid != 0 && l.oid != now.oid {
		return "another table has its name now"
	}
	for oid, was := range l.partitions {
		is, there := now.partitions[oid]
		switch {
		case !there && was.size > 0:
			return "a partition with rows was detached or dropped"
		case there && is.node != was.node && is.size < was.size:
			return "a partition was emptied, or written anew"
		}
	}
	for oid, is := range now.partitions {
		if _, was := l.partitions[oid]; !was && is.size > 0 {
			return "a partition with rows was attached"
		}
	}
	for oid, label := range l.labels {
		if renamed, ok := now.labels[oid]; ok && renamed != label {
			return "a label of an enum was renamed"
		}
	}
	return ""
}

const tablesNow = `
select n.nspname, c.relname, c.oid
from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) wanted(schema, name)
join pg_catalog.pg_namespace n on n.nspname = wanted.schema
join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name`

const partitionsNow = `
with recursive tree(schema, name, oid) as (
    select n.nspname, c.relname, c.oid
    from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) wanted(schema, name)
    join pg_catalog.pg_namespace n on n.nspname = wanted.schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name and c.relkind = 'p'
    union all
    select t.schema, t.name, i.inhrelid from tree t join pg_catalog.pg_inherits i on i.inhparent = t.oid
)
select t.schema, t.name, t.oid, coalesce(pg_catalog.pg_relation_filenode(t.oid), 0)::pg_catalog.int8,
       coalesce(pg_catalog.pg_relation_size(t.oid), 0)
from tree t join pg_catalog.pg_class c on c.oid = t.oid and c.relkind <> 'p'`

const labelsNow = `
select distinct n.nspname, c.relname, e.oid,
       pg_catalog.encode(pg_catalog.convert_to(e.enumlabel::pg_catalog.text, pg_catalog.getdatabaseencoding()::pg_catalog.text), 'hex')
from rows from (pg_catalog.unnest($1::pg_catalog.text[]), pg_catalog.unnest($2::pg_catalog.text[])) wanted(schema, name)
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
		layouts[t] = Layout{partitions: map[uint32]partitionFile{}, labels: map[uint32]string{}}
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	err := each(ctx, s.Pool, "read tables", tablesNow, []any{schemas, names}, func(rows pgx.Rows) error {
		var t TableName
		var oid uint32
		err := rows.Scan(&t.Schema, &t.Name, &oid)
		layout := layouts[t]
		layout.oid = oid
		layouts[t] = layout
		return err
	})
	if err != nil {
		return nil, err
	}
	err = each(ctx, s.Pool, "read partitions", partitionsNow, []any{schemas, names}, func(rows pgx.Rows) error {
		var t TableName
		var oid uint32
		var file partitionFile
		err := rows.Scan(&t.Schema, &t.Name, &oid, &file.node, &file.size)
		layouts[t].partitions[oid] = file
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
