package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Path is the search_path that the gateway's role has by the settings of the server, the database, the role and the URL, parted
// by who may create in its schemas. Queries that operators wrote are run with the trusted part of it.
type Path struct {
	// Trusted are, in order, the schemas in which nobody creates but superusers, the database's owner and the gateway's role.
	Trusted []string
	// Untrusted are the others.
	Untrusted []UntrustedSchema
}

// UntrustedSchema is a schema in which others may create, or have created, what a query could be made to run.
type UntrustedSchema struct {
	Name   string
	quoted string // as SQL has it: so are all other names here
	// Owner is the role that owns it, where that is one of the others.
	Owner string
	// Creators are those who may create there; PUBLIC is everybody.
	Creators []string
	// Objects are operators of others in it, and functions of others that have the name of a built-in one.
	Objects []string
}

// Why says what is wrong with it.
func (s *UntrustedSchema) Why() string {
	var reasons []string
	if s.Owner != "" {
		reasons = append(reasons, "role "+s.Owner+" owns it")
	}
	if len(s.Creators) > 0 {
		reasons = append(reasons, strings.Join(s.Creators, ", ")+" may create in it")
	}
	if len(s.Objects) > 0 {
		reasons = append(reasons, "it has "+strings.Join(s.Objects, ", "))
	}
	return fmt.Sprintf("schema %s of the role's search_path is not searched, for %s", s.quoted, strings.Join(reasons, "; "))
}

// Fix is the SQL that makes it trusted.
func (s *UntrustedSchema) Fix() string {
	var statements []string
	if s.Owner != "" {
		statements = append(statements, fmt.Sprintf("ALTER SCHEMA %s OWNER TO pg_database_owner", s.quoted))
	}
	for _, creator := range s.Creators {
		statements = append(statements, fmt.Sprintf("REVOKE CREATE ON SCHEMA %s FROM %s", s.quoted, creator))
	}
	if len(s.Objects) > 0 {
		statements = append(statements, "drop "+strings.Join(s.Objects, ", ")+", or make a superuser their owner")
	}
	return strings.Join(statements, "; ")
}

// currentSchemas lists the schemas of the path that exist and that the role may use. The session is not pinned yet, so that
// only names with their schema may stand here, and no operator.
const currentSchemas = `SELECT pg_catalog.unnest(pg_catalog.current_schemas(false))`

// ReadPath asks for the role's path on a connection without ours.
func ReadPath(ctx context.Context, url string) (*Path, error) {
	config, err := connConfig(url)
	if err != nil {
		return nil, err
	}
	unpin(&config.Config, "search_path")
	given, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err)
	}
	for name, value := range given.RuntimeParams {
		if strings.EqualFold(name, "search_path") {
			config.RuntimeParams[name] = value
		}
	}
	config.ValidateConnect = nil // it may ask by names without their schema
	conn, err := pgconn.ConnectConfig(ctx, &config.Config)
	if err != nil {
		return nil, fmt.Errorf("connect to read the role's search_path: %w", err)
	}
	defer closeBriefly(ctx, conn)
	result := conn.ExecParams(ctx, currentSchemas, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, fmt.Errorf("read the role's search_path: %w", result.Err)
	}
	var schemas []string
	for _, row := range result.Rows {
		if name := string(row[0]); name != "pg_catalog" && !strings.HasPrefix(name, "pg_temp") {
			schemas = append(schemas, name)
		}
	}
	if err := conn.ExecParams(ctx, "SET search_path = pg_catalog, pg_temp", nil, nil, nil, nil).Read().Err; err != nil {
		return nil, fmt.Errorf("pin the search_path: %w", err)
	}
	return judgePath(ctx, conn, schemas)
}

// strangers lists, for each of the schemas in $1, the roles that own it or may create in it, and the objects in it that may be
// taken for built-in ones, of all but superusers, the owner of the database and our own role. pg_database_owner has no
// member but that owner.
const strangers = `
with trusted(oid) as (
    select r.oid from pg_catalog.pg_roles r where r.rolsuper or r.rolname operator(pg_catalog.=) any (array[current_user, session_user])
    union all select d.datdba from pg_catalog.pg_database d where d.datname operator(pg_catalog.=) pg_catalog.current_database()
    union all select r.oid from pg_catalog.pg_roles r where r.rolname operator(pg_catalog.=) 'pg_database_owner'
), schema as (
    select n.oid, n.nspname, n.nspowner, n.nspacl from pg_catalog.pg_namespace n
    where n.nspname operator(pg_catalog.=) any ($1::pg_catalog.text[]::pg_catalog.name[])
), found(schema, kind, role, object) as (
    select s.nspname, 'owner', s.nspowner, '' from schema s
    union all
    select s.nspname, 'creator', a.grantee, ''
    from schema s, pg_catalog.aclexplode(coalesce(s.nspacl, pg_catalog.acldefault('n', s.nspowner))) a
    where a.privilege_type operator(pg_catalog.=) 'CREATE' and a.grantee operator(pg_catalog.<>) s.nspowner
    union all
    select s.nspname, 'object', o.oprowner, pg_catalog.concat('operator ', o.oid::pg_catalog.regoperator)
    from schema s join pg_catalog.pg_operator o on o.oprnamespace operator(pg_catalog.=) s.oid
    union all
    select s.nspname, 'object', p.proowner, pg_catalog.concat('function ', p.oid::pg_catalog.regprocedure)
    from schema s join pg_catalog.pg_proc p on p.pronamespace operator(pg_catalog.=) s.oid
    where exists (select from pg_catalog.pg_proc b
                  where b.proname operator(pg_catalog.=) p.proname and b.pronamespace operator(pg_catalog.=) 11)
)
select f.schema::pg_catalog.text, f.kind, coalesce(pg_catalog.quote_ident(r.rolname), 'PUBLIC'), f.object,
       pg_catalog.quote_ident(f.schema)
from found f left join pg_catalog.pg_roles r on r.oid operator(pg_catalog.=) f.role
where f.role operator(pg_catalog.<>) all (select t.oid from trusted t)
order by f.schema, f.kind, 3, f.object`

// maxObjects bounds how many objects a message names.
const maxObjects = 5

func judgePath(ctx context.Context, conn *pgconn.PgConn, schemas []string) (*Path, error) {
	result := conn.ExecParams(ctx, strangers, [][]byte{arrayText(schemas)}, nil, nil, nil).Read()
	if result.Err != nil {
		return nil, fmt.Errorf("read who may create in the schemas of the search_path: %w", result.Err)
	}
	untrusted := map[string]*UntrustedSchema{}
	for _, row := range result.Rows {
		name, role := string(row[0]), string(row[2])
		s := untrusted[name]
		if s == nil {
			s = &UntrustedSchema{Name: name, quoted: string(row[4])}
			untrusted[name] = s
		}
		switch string(row[1]) {
		case "owner":
			s.Owner = role
		case "creator":
			s.Creators = append(s.Creators, role)
		case "object":
			if len(s.Objects) < maxObjects {
				s.Objects = append(s.Objects, string(row[3])+" of role "+role)
			}
		}
	}
	path := &Path{}
	for _, name := range schemas {
		if s := untrusted[name]; s != nil {
			path.Untrusted = append(path.Untrusted, *s)
		} else if !slices.Contains(path.Trusted, name) {
			path.Trusted = append(path.Trusted, name)
		}
	}
	return path, nil
}

// arrayText writes a list as PostgreSQL reads an array of text.
func arrayText(list []string) []byte {
	quoted := make([]string, len(list))
	for i, s := range list {
		quoted[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
	}
	return []byte("{" + strings.Join(quoted, ",") + "}")
}

// ErrUntrusted says that others may create by now in a schema of a session's path. A restart leaves it out.
var ErrUntrusted = errors.New("others may create in a schema of the search_path for operators' queries by now")

// checkTrusted refuses a session whose path is not to be trusted any more: it was judged when the gateway started.
func checkTrusted(ctx context.Context, c *pgx.Conn, trusted []string) error {
	path, err := judgePath(ctx, c.PgConn(), trusted)
	if err != nil {
		return err
	}
	for _, s := range path.Untrusted {
		return fmt.Errorf("%w: %s: %s", ErrUntrusted, s.Why(), s.Fix())
	}
	return nil
}

// Why says for each schema that is left out why it is; it is empty where none is.
func (p *Path) Why() string {
	var reasons []string
	for i := range p.Untrusted {
		reasons = append(reasons, p.Untrusted[i].Why())
	}
	return strings.Join(reasons, "; ")
}

// Remedy says what to do about a query that needs what is left out. example is a name with its schema.
func (p *Path) Remedy(example, schema string) string {
	var fixes []string
	for i := range p.Untrusted {
		fixes = append(fixes, p.Untrusted[i].Fix()+";")
	}
	return fmt.Sprintf("write names with their schema, such as %s, and operators of its types as OPERATOR(%s.=); or run %s",
		example, schema, strings.Join(fixes, " "))
}

// Missed is something in a schema that is left out without which a query may mean something else.
type Missed struct {
	Name   string // in the query, of a column or a type
	Detail string
	Schema string // as SQL has it
}

// missed finds, among what the names $2 may stand for, base types in the schemas $1, and columns whose types are there or have
// their equality there. The columns are those of the tables $3.$4 and of all relations that the names may stand for. Other
// types are compared by operators of pg_catalog whatever the path is: enums, domains over built-in types, composites, ranges.
const missed = `
with recursive relation(oid) as (
    select c.oid
    from rows from (pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[])) wanted(schema, name)
    join pg_catalog.pg_namespace n on n.nspname = wanted.schema
    join pg_catalog.pg_class c on c.relnamespace = n.oid and c.relname = wanted.name
    union
    select c.oid from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    where c.relname = any ($2::pg_catalog.text[]::pg_catalog.name[]) and c.relkind in ('r', 'p', 'v', 'm', 'f')
      and (n.nspname = any ($2::pg_catalog.text[]::pg_catalog.name[]) or n.nspname = any (pg_catalog.current_schemas(false)))
), suspect(name, detail, type) as (
    select a.attname, pg_catalog.concat('column ', a.attname, ' of ', a.attrelid::pg_catalog.regclass), a.atttypid
    from relation r join pg_catalog.pg_attribute a on a.attrelid = r.oid
    where a.attname = any ($2::pg_catalog.text[]::pg_catalog.name[]) and a.attnum > 0 and not a.attisdropped
    union all
    select t.typname, 'a value in it', t.oid from pg_catalog.pg_type t
    where t.typname = any ($2::pg_catalog.text[]::pg_catalog.name[])
    union all
    select s.name, s.detail, case t.typtype when 'd' then t.typbasetype else t.typelem end
    from suspect s join pg_catalog.pg_type t on t.oid = s.type
    where t.typtype = 'd' or t.typinput = 'pg_catalog.array_in'::pg_catalog.regproc
)
select distinct s.name::pg_catalog.text, pg_catalog.concat(s.detail, ' is of type ', n.nspname, '.', t.typname),
       pg_catalog.quote_ident(coalesce(e.nspname, n.nspname))
from suspect s
join pg_catalog.pg_type t on t.oid = s.type and t.typtype = 'b' and t.typinput <> 'pg_catalog.array_in'::pg_catalog.regproc
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
left join lateral (
    select o.nspname from pg_catalog.pg_opclass c
    join pg_catalog.pg_amop p on p.amopfamily = c.opcfamily and p.amoplefttype = c.opcintype and p.amoprighttype = c.opcintype
    join pg_catalog.pg_operator q on q.oid = p.amopopr
    join pg_catalog.pg_namespace o on o.oid = q.oprnamespace
    where c.opcdefault and c.opcintype = t.oid and o.nspname = any ($1::pg_catalog.text[]::pg_catalog.name[])
    limit 1) e on true
where e.nspname is not null or n.nspname = any ($1::pg_catalog.text[]::pg_catalog.name[])
order by 1, 2`

// Missed finds what a query with the names, which reads the tables, may mean otherwise for want of the untrusted schemas. Leaving
// a schema out can change the meaning of = without an error: a column of type citext is then compared as text is.
func (p *Path) Missed(ctx context.Context, q Querier, reads []TableName, names []string) ([]Missed, error) {
	var schemas, readSchemas, readNames []string
	for _, s := range p.Untrusted {
		schemas = append(schemas, s.Name)
	}
	if len(schemas) == 0 {
		return nil, nil
	}
	for _, t := range reads {
		readSchemas, readNames = append(readSchemas, t.Schema), append(readNames, t.Name)
	}
	var found []Missed
	err := each(ctx, q, "find types in untrusted schemas", missed, []any{schemas, names, readSchemas, readNames}, func(rows pgx.Rows) error {
		var m Missed
		err := rows.Scan(&m.Name, &m.Detail, &m.Schema)
		found = append(found, m)
		return err
	})
	return found, err
}

// Example gives a relation of an untrusted schema that one of the names stands for, with its schema, else one that there need
// not be.
func (p *Path) Example(ctx context.Context, q Querier, names []string) (name, schema string, err error) {
	var schemas []string
	for _, s := range p.Untrusted {
		schemas = append(schemas, s.Name)
	}
	schema = p.Untrusted[0].quoted
	name = schema + ".member"
	err = each(ctx, q, "look for a name in untrusted schemas", `
select pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(c.relname), pg_catalog.quote_ident(n.nspname)
from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = any ($1::pg_catalog.text[]::pg_catalog.name[]) and c.relname = any ($2::pg_catalog.text[]::pg_catalog.name[])
  and c.relkind in ('r', 'p', 'v', 'm', 'f')
order by 1 limit 1`, []any{schemas, names}, func(rows pgx.Rows) error { return rows.Scan(&name, &schema) })
	return name, schema, err
}
