package wal

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// othersForbid lists the relations whose updates and deletions the server would refuse with REPLICA IDENTITY FULL because of
// a publication other than $1: with a column list, or, where $2 is set, without the stored generated columns. It follows
// pub_contains_invalid_column of the server. With publish_via_partition_root the entry of an ancestor decides.
const othersForbid = `
select c.oid, p.pubname, pg_catalog.pg_get_userbyid(p.pubowner),
       coalesce((select r.prrelid from pg_catalog.pg_publication_rel r
                 where r.prpubid = p.oid and r.prattrs is not null
                   and (r.prrelid = c.oid or p.pubviaroot and r.prrelid in (select a.relid from pg_catalog.pg_partition_ancestors(c.oid) a))
                 limit 1)::pg_catalog.regclass::pg_catalog.text, '')
from pg_catalog.pg_publication p
cross join pg_catalog.pg_class c
where p.pubname <> $1 and (p.pubupdate or p.pubdelete) and c.relkind in ('r', 'p') and c.relpersistence = 'p'
  and c.oid >= 16384 and (
      exists (select from pg_catalog.pg_publication_rel r
              where r.prpubid = p.oid and r.prattrs is not null
                and (r.prrelid = c.oid or p.pubviaroot and r.prrelid in (select a.relid from pg_catalog.pg_partition_ancestors(c.oid) a)))
      or $2 and coalesce(pg_catalog.to_jsonb(p) ->> 'pubgencols', 'n') <> 's'
         and exists (select from pg_catalog.pg_attribute a where a.attrelid = c.oid and a.attgenerated = 's' and not a.attisdropped)
         and (p.puballtables or exists (
             select from (select c.oid as relid union all select a.relid::pg_catalog.oid from pg_catalog.pg_partition_ancestors(c.oid) a) up
             join pg_catalog.pg_class u on u.oid = up.relid
             where exists (select from pg_catalog.pg_publication_rel r where r.prpubid = p.oid and r.prrelid = u.oid)
                or exists (select from pg_catalog.pg_publication_namespace s where s.pnpubid = p.oid and s.pnnspid = u.relnamespace))))`

// forbids is why a relation must not have REPLICA IDENTITY FULL.
type forbids struct {
	publication, owner string
	list               string // the table that has a column list; empty where generated columns are the reason
}

// readOthers reads, by relation, which publications of others forbid REPLICA IDENTITY FULL.
func readOthers(ctx context.Context, q Querier, publication string, version int, unknown string) (map[uint32]forbids, error) {
	others := map[uint32]forbids{}
	if version < columnListVersion {
		return others, nil
	}
	err := each(ctx, q, "read publications of others", othersForbid+" and not "+unknown, []any{publication, version >= generatedVersion},
		func(rows pgx.Rows) error {
			var oid uint32
			var f forbids
			err := rows.Scan(&oid, &f.publication, &f.owner, &f.list)
			others[oid] = f
			return err
		})
	return others, err
}
