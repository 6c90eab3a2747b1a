package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Planning a query can run code, before anything is read: PostgreSQL calculates what is constant in the expressions of a table's
// indexes, of its extended statistics and of its partition key, as the role that asks. The owner of a table can have a function
// of theirs called there, with a constant as its argument, and call it immutable. (Expressions of CHECK constraints are the
// fourth of the kind: pin switches them off.) So no query of ours is planned that reads such a table, unless a role that we trust
// owns the functions: a superuser, the owner of the database, our own role, or a member of that.
//
// CREATE INDEX does not wait for those who read. Who owns a table and makes such an index between this look and the query, a few
// milliseconds later, is not stopped.

// ErrStrangersCode says that reading a table would run what others wrote.
var ErrStrangersCode = errors.New("reading it would run functions of others as the gateway's role")

// strangersCode finds, for the relations that part lists, the functions of strangers in what the planner calculates: one row for
// each function, with what calls it. The functions of operators count. Built-in ones have no entry in pg_depend.
const strangersCode = `
select distinct part.at, pg_catalog.concat('function ', f.oid::pg_catalog.regprocedure, ' of role ', pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(f.proowner)), ' in ', carrier.what),
       pg_catalog.concat('ALTER ROUTINE ', f.oid::pg_catalog.regprocedure, ' OWNER TO ', pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(d.datdba)), ';')
from part
cross join lateral (
    select 'pg_catalog.pg_class'::pg_catalog.regclass, i.indexrelid, pg_catalog.concat('index ', i.indexrelid::pg_catalog.regclass)
    from pg_catalog.pg_index i where i.indrelid = part.oid and (i.indexprs is not null or i.indpred is not null)
    union all
    select 'pg_catalog.pg_statistic_ext'::pg_catalog.regclass, s.oid, pg_catalog.concat('statistics ', pg_catalog.quote_ident(n.nspname), '.', pg_catalog.quote_ident(s.stxname))
    from pg_catalog.pg_statistic_ext s join pg_catalog.pg_namespace n on n.oid = s.stxnamespace where s.stxrelid = part.oid
    union all
    select 'pg_catalog.pg_class'::pg_catalog.regclass, p.partrelid, pg_catalog.concat('the partition key of ', p.partrelid::pg_catalog.regclass)
    from pg_catalog.pg_partitioned_table p where p.partrelid = part.oid and p.partexprs is not null
) carrier(classid, oid, what)
join pg_catalog.pg_depend on pg_depend.classid = carrier.classid and pg_depend.objid = carrier.oid
     and pg_depend.refclassid in ('pg_catalog.pg_proc'::pg_catalog.regclass, 'pg_catalog.pg_operator'::pg_catalog.regclass)
left join pg_catalog.pg_operator o on pg_depend.refclassid = 'pg_catalog.pg_operator'::pg_catalog.regclass and o.oid = pg_depend.refobjid
join pg_catalog.pg_proc f on f.oid = coalesce(o.oprcode::pg_catalog.oid, pg_depend.refobjid)
join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
where f.proowner <> d.datdba
  and pg_catalog.pg_get_userbyid(f.proowner) <> 'pg_database_owner'
  and not pg_catalog.pg_has_role(f.proowner, session_user, 'MEMBER')
  and not pg_catalog.pg_has_role(f.proowner, current_user, 'MEMBER')
order by 1, 2`

// strangersCodeIn asks it of the relations $1 and all below them.
const strangersCodeIn = `
with recursive part(at, oid) as (
    select r.oid, r.oid from pg_catalog.unnest($1::pg_catalog.oid[]) r(oid)
    union
    select part.at, i.inhrelid from part join pg_catalog.pg_inherits i on i.inhparent = part.oid
)` + strangersCode

// strangersCodeAnywhere asks it of all tables.
const strangersCodeAnywhere = `
with recursive part(at, oid) as (
    select c.oid, c.oid from pg_catalog.pg_class c where c.relkind in ('r', 'p', 'm') and c.oid >= 16384
    union
    select part.at, i.inhrelid from part join pg_catalog.pg_inherits i on i.inhparent = part.oid
), found(at, what, fix) as (` + strangersCode + `)
select n.nspname, c.relname, found.what, found.fix
from found join pg_catalog.pg_class c on c.oid = found.at join pg_catalog.pg_namespace n on n.oid = c.relnamespace
order by 1, 2, 3`

// refuseStrangersCode refuses to have a query planned that reads the relations.
func refuseStrangersCode(ctx context.Context, q Querier, relations []uint32) error {
	var found, fixes []string
	err := each(ctx, q, "look for functions of others", strangersCodeIn, []any{relations}, func(rows pgx.Rows) error {
		var at uint32
		var what, fix string
		err := rows.Scan(&at, &what, &fix)
		if len(found) < maxObjects {
			found, fixes = append(found, what), append(fixes, fix)
		}
		return err
	})
	if err == nil && len(found) > 0 {
		err = fmt.Errorf("%w: %s; drop that or, if you have read the functions and trust them, run %s", ErrStrangersCode, strings.Join(found, ", "), strings.Join(fixes, " "))
	}
	return err
}

// lockedByParsing lists the relations that the transaction has locked. A query that was parsed and not planned has locked all
// that it reads, under views too, and of what inherits nothing.
const lockedByParsing = `
select array(select l.relation from pg_catalog.pg_locks l
             where l.locktype = 'relation' and l.pid = pg_catalog.pg_backend_pid() and l.relation >= 16384
               and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database()))`

// mayPlan refuses what the transaction has parsed where planning it would run functions of others.
func mayPlan(ctx context.Context, tx pgx.Tx) error {
	var relations []uint32
	if err := tx.QueryRow(ctx, lockedByParsing).Scan(&relations); err != nil {
		return fmt.Errorf("find what a query reads: %w", err)
	}
	return refuseStrangersCode(ctx, tx, relations)
}

// MayPlan refuses a query that an operator wrote where planning it would run functions of others: ErrStrangersCode.
func MayPlan(ctx context.Context, db Beginner, sql string) error {
	return pgx.BeginTxFunc(ctx, db, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if _, err := tx.Conn().PgConn().Prepare(ctx, "", sql, nil); err != nil {
			return err
		}
		return mayPlan(ctx, tx)
	})
}

// StrangersCode is what reading a table would run, and the SQL that makes it one's own. Nobody should run that unread.
type StrangersCode struct{ What, Fix []string }

func readStrangersCode(ctx context.Context, q Querier) (map[TableName]StrangersCode, error) {
	all := map[TableName]StrangersCode{}
	err := each(ctx, q, "look for functions of others", strangersCodeAnywhere, nil, func(rows pgx.Rows) error {
		var t TableName
		var what, fix string
		err := rows.Scan(&t.Schema, &t.Name, &what, &fix)
		if c := all[t]; len(c.What) < maxObjects {
			all[t] = StrangersCode{append(c.What, what), append(c.Fix, fix)}
		}
		return err
	})
	return all, err
}

// strangersCode judges a table by what reading it would run. The stream reads nothing.
func (j *judge) strangersCode(t WantedTable) {
	c, found := j.facts.StrangersCode[t.TableName]
	if !found {
		return
	}
	level, then := Warn, "changes of it flow, but its snapshots are refused"
	if t.Watched {
		level, then = Fail, "it says who may see what, so nobody could be let in"
	}
	j.tableFinding(t, level, "calls functions of others where it is read",
		"-- drop what calls them or, once you have read them and trust them:\n-- "+strings.Join(c.Fix, "\n-- "),
		"reading it would run as role %s: %s; %s", j.facts.Role, strings.Join(c.What, ", "), then).By = bySuperuser
}
