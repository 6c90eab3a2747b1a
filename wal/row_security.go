package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// RowSecurity says which policies there are on a table, and on those whose rows reading it brings: its partitions, and the tables
// that inherit from it.
type RowSecurity struct {
	// Enabled: the table itself has row level security.
	Enabled bool
	// Active: policies of the table itself would narrow what the gateway's role reads.
	Active bool
	// Parts are the tables below it that have row level security. Policies of theirs do not narrow what is read through this one.
	Parts []TableName
	// Foreign is a foreign table among the partitions; empty is none.
	Foreign string
	// Partitioned: reading the table always reads Parts.
	Partitioned bool
}

// rowSecurity lists each table that has row level security, and each foreign partition, with every table above it.
// row_security_active says what would be so with row_security = on: the role is neither a superuser nor has BYPASSRLS nor owns
// the table, unless that forces its policies on its owner.
const rowSecurity = `
with recursive secured(oid, at) as (
    select c.oid, c.oid from pg_catalog.pg_class c
    where c.relrowsecurity and c.relkind in ('r', 'p') or c.relkind = 'f' and c.relispartition
    union
    select s.oid, i.inhparent from secured s join pg_catalog.pg_inherits i on i.inhrelid = s.at
)
select an.nspname, ac.relname, ac.relkind = 'p', cn.nspname, cc.relname, pg_catalog.row_security_active(s.oid), cc.relkind = 'f'
from secured s
join pg_catalog.pg_class ac on ac.oid = s.at join pg_catalog.pg_namespace an on an.oid = ac.relnamespace
join pg_catalog.pg_class cc on cc.oid = s.oid join pg_catalog.pg_namespace cn on cn.oid = cc.relnamespace
order by s.at <> s.oid, 1, 2, 4, 5`

// readRowSecurity has an entry for each table of which there is something to say.
func readRowSecurity(ctx context.Context, q Querier) (map[TableName]RowSecurity, error) {
	found := map[TableName]RowSecurity{}
	err := each(ctx, q, "read row level security", rowSecurity, nil, func(rows pgx.Rows) error {
		var table, part TableName
		var partitioned, active, foreign bool
		if err := rows.Scan(&table.Schema, &table.Name, &partitioned, &part.Schema, &part.Name, &active, &foreign); err != nil {
			return err
		}
		s := found[table]
		s.Partitioned = partitioned
		switch {
		case foreign && partitioned:
			s.Foreign = part.String()
		case foreign:
		case table == part:
			s.Enabled, s.Active = true, active
		default:
			s.Parts = append(s.Parts, part)
		}
		found[table] = s
		return nil
	})
	return found, err
}

// policyRule is what operators are told of row level security.
const policyRule = "rights are authorize and filterRow, not policies"

// BypassSQL lets a role read what policies would keep from it.
func BypassSQL(role string) string {
	return fmt.Sprintf("ALTER ROLE %s BYPASSRLS; -- as a superuser", quote(role))
}

// Policies says why a table must not be read for its row level security, and what to do; both are empty where it may be. use is
// what the table is for. bypassed: the configuration says that its policies need not hold. below: what is read of it is read
// with the tables that inherit from it.
func (f *Facts) Policies(name TableName, use string, bypassed, below bool) (why, fix string) {
	s := f.RowSecurity[name]
	var secured []string
	if s.Enabled {
		secured = append(secured, name.String())
	}
	if s.Foreign != "" {
		return fmt.Sprintf("%s, and %s, a part of %s, is a foreign table: its changes are not in the log, and reading it would run what its server says", use, s.Foreign, name),
			"detach it, or leave the table out"
	}
	if below || s.Partitioned {
		for _, part := range s.Parts {
			secured = append(secured, part.String())
		}
	}
	switch {
	case len(secured) == 0:
		return "", ""
	case !bypassed:
		return fmt.Sprintf("%s, and %s has row level security: the stream brings rows whatever its policies say, and a query would be narrowed by them for role %s; %s",
				use, strings.Join(secured, ", "), f.Role, policyRule),
			"write rowSecurity: bypassed into the entry, and who may see what into authorize and filterRow; or leave the table out"
	case s.Active:
		return fmt.Sprintf("%s, and policies of %s apply to role %s: with row_security = off, which the gateway sets, every query of it fails; %s", use, name, f.Role, policyRule),
			BypassSQL(f.Role) + "; or make the role the owner of " + name.Quoted()
	}
	return "", ""
}

// PolicyFix is what Policies says to do, as a comment of SQL: it is for somebody to decide, and nothing to be run unread.
func PolicyFix(fix string) string { return "-- " + fix }

// rowSecurity judges a table that is served, or that tells who may see what.
func (j *judge) rowSecurity(t WantedTable) {
	use := "its rows are sent"
	if t.Watched {
		use = "its rows say who may see what"
	}
	if why, fix := j.facts.Policies(t.TableName, use, t.RowSecurityBypassed, t.Watched); why != "" {
		f := j.tableFinding(t, Fail, "has row level security", PolicyFix(fix), "%s", why)
		if strings.HasPrefix(fix, "ALTER ") {
			f.By = bySuperuser
		}
	}
}

// PoliciesApply tells, of a query that failed for want of a privilege, whether policies that apply to the gateway's role are the
// cause: then the server parses it with row_security = on alone. A table that the role may not SELECT it parses with both. The query
// is not planned: nothing of the policies runs.
func PoliciesApply(ctx context.Context, pool *pgxpool.Pool, sql string) (role string, apply bool, err error) {
	parses := map[string]bool{}
	for _, setting := range []string{"on", "off"} {
		err = pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			const set = "select current_user::pg_catalog.text from pg_catalog.set_config('row_security', $1, true)"
			if err := tx.QueryRow(ctx, set, setting).Scan(&role); err != nil {
				return err
			}
			_, refused := tx.Conn().PgConn().Prepare(ctx, "", sql, nil)
			parses[setting] = refused == nil
			return errUndo
		})
		if !errors.Is(err, errUndo) {
			return "", false, fmt.Errorf("ask for policies: %w", err)
		}
	}
	return role, parses["on"] && !parses["off"], nil
}

var errUndo = errors.New("undo")
