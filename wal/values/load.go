package values

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Querier is what [Catalog.Load] needs of a connection: *pgx.Conn, *pgxpool.Pool and pgx.Tx have it.
type Querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// typesQuery reads the types of $1 and all that they are made of. An array (kind A) is what array_in reads: int2vector
// and point have elements as well, but a text form of their own.
const typesQuery = `
with recursive wanted(oid) as (
	select pg_catalog.unnest($1::pg_catalog.oid[])
	union
	select part.oid
	from wanted
	join pg_catalog.pg_type t on t.oid = wanted.oid
	cross join lateral (
		select t.typelem where t.typinput = 'pg_catalog.array_in'::pg_catalog.regproc
		union all
		select t.typbasetype where t.typtype = 'd'
		union all
		select a.atttypid from pg_catalog.pg_attribute a
		where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
	) part(oid)
)
select t.oid,
	t.typname::pg_catalog.text,
	case when t.typinput = 'pg_catalog.array_in'::pg_catalog.regproc then 'A' else t.typtype end,
	case when t.typtype = 'd' then t.typbasetype else t.typelem end,
	coalesce(element.typdelim, ','),
	attributes.names,
	attributes.types
from wanted
join pg_catalog.pg_type t on t.oid = wanted.oid
left join pg_catalog.pg_type element on element.oid = t.typelem
cross join lateral (
	select pg_catalog.array_agg(a.attname::pg_catalog.text order by a.attnum), pg_catalog.array_agg(a.atttypid order by a.attnum)
	from pg_catalog.pg_attribute a
	where a.attrelid = t.typrelid and a.attnum > 0 and not a.attisdropped
) attributes(names, types)`

// Load reads with one query those types among oids, and among all that they are made of, which the catalog does not
// hold yet; if there are none, it asks nothing. A type that the database no longer has stays unknown, for the WAL may
// well be older than a DROP TYPE.
func (c *Catalog) Load(ctx context.Context, db Querier, oids []uint32) error {
	missing := c.missing(oids)
	if len(missing) == 0 {
		return nil
	}
	rows, err := db.Query(ctx, typesQuery, missing)
	if err != nil {
		return fmt.Errorf("load types: %w", err)
	}
	types, err := pgx.CollectRows(rows, scanType)
	if err != nil {
		return fmt.Errorf("load types: %w", err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range types {
		c.types[t.OID] = t
	}
	return nil
}

// missing returns the unknown types among oids and all that they are made of, each once.
func (c *Catalog) missing(oids []uint32) []uint32 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var missing []uint32
	seen := make(map[uint32]bool)
	var visit func(oid uint32)
	visit = func(oid uint32) {
		if seen[oid] {
			return
		}
		seen[oid] = true
		t, ok := c.types[oid]
		if !ok {
			missing = append(missing, oid)
			return
		}
		if t.Elem != 0 {
			visit(t.Elem)
		}
		for _, attr := range t.Attrs {
			visit(attr.TypeOID)
		}
	}
	for _, oid := range oids {
		visit(oid)
	}
	return missing
}

// scanType reads one row of typesQuery.
func scanType(row pgx.CollectableRow) (Type, error) {
	var (
		t            Type
		kind, delim  byte
		elem         uint32
		attrNames    []string
		attrTypeOIDs []uint32
	)
	if err := row.Scan(&t.OID, &t.Name, &kind, &elem, &delim, &attrNames, &attrTypeOIDs); err != nil {
		return Type{}, err
	}
	switch kind {
	case 'A':
		t.Kind, t.Elem, t.Delim = Array, elem, delim
	case 'd':
		t.Kind, t.Elem = Domain, elem
	case 'c':
		t.Kind = Composite
	case 'e':
		t.Kind = Enum
	case 'r':
		t.Kind = Range
	case 'm':
		t.Kind = Multirange
	default:
		t.Kind = Base
	}
	for i, name := range attrNames {
		t.Attrs = append(t.Attrs, Attr{Name: name, TypeOID: attrTypeOIDs[i]})
	}
	return t, nil
}
