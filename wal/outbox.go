package wal

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// OutboxFacts describes the publication mtbreactive_outbox, by which the stream has the rows of the table mtbreactive.outbox.
type OutboxFacts struct {
	Published bool // the publication exists
	Member    bool // it has the table, with all rows and columns
	Others    bool // it has other tables too
	AllTables bool // it is FOR ALL TABLES
	Inserts   bool // it publishes inserts, and nothing else
}

// outboxFacts asks for columns that only versions from 15 on have by way of JSON.
const outboxFacts = `
select p.oid is not null,
       coalesce(pg_catalog.bool_or(r.prrelid = c.oid
           and pg_catalog.to_jsonb(r) ->> 'prqual' is null and pg_catalog.to_jsonb(r) ->> 'prattrs' is null), false),
       coalesce(pg_catalog.bool_or(r.prrelid <> c.oid), false), coalesce(pg_catalog.bool_or(p.puballtables), false),
       coalesce(pg_catalog.bool_and(p.pubinsert and not p.pubupdate and not p.pubdelete and not p.pubtruncate), false)
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
left join pg_catalog.pg_publication p on p.pubname = $3
left join pg_catalog.pg_publication_rel r on r.prpubid = p.oid
where n.nspname = $1 and c.relname = $2 and c.relkind = 'r'
group by p.oid`

// readOutbox returns nil where there is no outbox yet.
func readOutbox(ctx context.Context, q Querier) (*OutboxFacts, error) {
	var o *OutboxFacts
	err := each(ctx, q, "read publication of the outbox", outboxFacts, []any{ownSchema, outboxTable, outboxPublication}, func(rows pgx.Rows) error {
		o = &OutboxFacts{}
		return rows.Scan(&o.Published, &o.Member, &o.Others, &o.AllTables, &o.Inserts)
	})
	return o, err
}

// readForAll reads the publications FOR ALL TABLES, which have the gateway's own tables too.
func readForAll(ctx context.Context, q Querier, unknown string) (names []string, err error) {
	err = each(ctx, q, "read publications for all tables", `
select p.pubname::pg_catalog.text from pg_catalog.pg_publication p where p.puballtables and not `+unknown+` order by p.pubname`, nil, func(rows pgx.Rows) error {
		var name string
		err := rows.Scan(&name)
		names = append(names, name)
		return err
	})
	return names, err
}

// outbox judges how the stream gets what SQL emits. The migrations make the outbox and its publication: without an outbox it
// is for them to say what is missing.
func (j *judge) outbox() {
	const check = "publication " + outboxPublication
	const create = "CREATE PUBLICATION mtbreactive_outbox FOR TABLE mtbreactive.outbox WITH (publish = 'insert');"
	const remake = "ALTER PUBLICATION mtbreactive_outbox SET TABLE mtbreactive.outbox;\nALTER PUBLICATION mtbreactive_outbox SET (publish = 'insert');"
	switch o := j.facts.Outbox; {
	case o == nil:
	case !o.Published:
		j.add(check, Mendable, create,
			"does not exist, so nobody gets what mtbreactive.emit and mtbreactive.set_origin say")
	case o.AllTables:
		j.add(check, Fail, "DROP PUBLICATION mtbreactive_outbox;\n"+create, "is FOR ALL TABLES, so the stream would bring every table of the database")
	case !o.Member:
		j.add(check, Mendable, remake, "lacks mtbreactive.outbox, or some of its rows or columns, so not everybody gets what mtbreactive.emit and mtbreactive.set_origin say")
	case o.Others:
		j.add(check, Mendable, remake, "has other tables than mtbreactive.outbox, which nobody asked for")
	case !o.Inserts:
		j.add(check, Mendable, remake, "publishes other operations than inserts")
	default:
		j.add(check, Good, "", "has mtbreactive.outbox")
	}
	j.forAllTables()
}

// forAllTables warns of other subscribers that get the gateway's own tables, also before there are any. PostgreSQL's own stop
// at a table that they lack.
func (j *judge) forAllTables() {
	for _, name := range j.facts.ForAll {
		if name == j.want.Publication || name == outboxPublication {
			continue
		}
		j.add("publication "+name, Warn, "-- for each subscriber that is a PostgreSQL server: pg_dump --schema-only -n mtbreactive ... | psql ..., or publish a list of tables instead",
			"is FOR ALL TABLES, so its subscribers get the tables of schema mtbreactive too, and a subscription stops at a table that is missing where it is")
	}
}

// publications are those whose changes the stream asks for. The server refuses the name of one that does not exist.
func (s *Source) publications(outbox *OutboxFacts) []string {
	list := []string{s.server.Publication}
	if outbox != nil && s.server.Publication != outboxPublication {
		list = append(list, outboxPublication)
	}
	return list
}
