package wal

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
)

// published is what a publication sends of a table under the table's own name.
type published struct {
	// all: it is none of the stream, and every column is read.
	all bool
	// columns are the numbers of those that it lists; nil is all.
	columns []int16
	// generated: without a list, stored generated columns are among them.
	generated bool
	// filter is the row filter, as the server has written it for this session's search_path; empty is none.
	filter string
}

// sends tells whether a column is sent. generated is pg_attribute.attgenerated: what is virtual never is.
func (p *published) sends(number int16, generated string) bool {
	if p.all {
		return true
	}
	if p.columns != nil {
		return slices.Contains(p.columns, number)
	}
	return generated == "" || generated == string(StoredGenerated) && p.generated
}

// publishedBefore15 and publishedFrom15 say what the publication $2 sends of the table $1: nothing where they have no row. They
// ask the catalog for the one table: pg_publication_tables would list all tables of the publication, and all columns of each.
// What they say is what pgoutput does (get_rel_sync_entry). A partitioned table is sent under its own name only with
// publish_via_partition_root, and a partition not under its own where one of its ancestors is published so. FOR ALL TABLES,
// and the publication of a schema, go before the column list and the row filter of an entry for the table.
const publishedBefore15 = `
select null::pg_catalog.int2[], false, ''
from pg_catalog.pg_publication p, pg_catalog.pg_class c
where p.pubname = $2 and c.oid = $1 and c.relkind in ('r', 'p') and c.relpersistence = 'p'
  and (c.relkind = 'r' or p.pubviaroot)
  and case
      when p.puballtables then not (p.pubviaroot and c.relispartition)
      when c.relispartition and exists (
          select from pg_catalog.pg_partition_ancestors(c.oid) a join pg_catalog.pg_publication_rel r on r.prrelid = a.relid
          where r.prpubid = p.oid and a.relid <> c.oid) then not p.pubviaroot
      else exists (select from pg_catalog.pg_publication_rel r where r.prpubid = p.oid and r.prrelid = c.oid)
      end`

const publishedFrom15 = `
select case when whole.published then null else r.prattrs::pg_catalog.int2[] end,
       coalesce(pg_catalog.to_jsonb(p) ->> 'pubgencols', 'n') = 's',
       case when whole.published then '' else coalesce(pg_catalog.pg_get_expr(r.prqual, r.prrelid), '') end
from pg_catalog.pg_publication p
cross join pg_catalog.pg_class c
left join pg_catalog.pg_publication_rel r on r.prpubid = p.oid and r.prrelid = c.oid
cross join lateral (
    select p.puballtables or exists (
        select from pg_catalog.pg_publication_namespace s where s.pnpubid = p.oid and s.pnnspid = c.relnamespace)) whole(published)
where p.pubname = $2 and c.oid = $1 and c.relkind in ('r', 'p') and c.relpersistence = 'p'
  and (c.relkind = 'r' or p.pubviaroot)
  and case
      when c.relispartition and (p.puballtables or exists (
          select from pg_catalog.pg_partition_ancestors(c.oid) a
          join pg_catalog.pg_class up on up.oid = a.relid
          where a.relid <> c.oid and (
              exists (select from pg_catalog.pg_publication_rel ur where ur.prpubid = p.oid and ur.prrelid = up.oid)
              or exists (select from pg_catalog.pg_publication_namespace us where us.pnpubid = p.oid and us.pnnspid = up.relnamespace))))
      then not p.pubviaroot
      else whole.published or r.oid is not null
      end`

// readPublished returns nil where the publication sends nothing of the table under its name.
func readPublished(ctx context.Context, q Querier, publication string, version int, table uint32) (*published, error) {
	sql := publishedFrom15
	if version < 150000 {
		sql = publishedBefore15
	}
	var p *published
	err := each(ctx, q, "find what is published of a table", sql, []any{table, publication}, func(rows pgx.Rows) error {
		p = &published{}
		return rows.Scan(&p.columns, &p.generated, &p.filter)
	})
	return p, err
}

// tableColumnsNow lists a table's columns in the order of the stream.
const tableColumnsNow = `
select a.attname, a.attnum, a.atttypid, a.attgenerated::pg_catalog.text, coalesce(a.attnum = any (i.indkey), false)
from pg_catalog.pg_attribute a
left join pg_catalog.pg_index i on i.indrelid = a.attrelid and i.indisprimary
where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped
order by a.attnum`

var errUnpublishedTable = errors.New("the publication sends nothing of it")
