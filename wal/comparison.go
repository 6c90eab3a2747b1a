package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Comparison says how SQL compares a column with a value of which only the text is known, whatever the search_path: by the
// equality of its type's default operator class, as an index does. The zero value is of no column.
type Comparison struct {
	// base is the column's type as SQL writes it, without domains, and oid is its OID.
	base string
	oid  uint32
	// domain: the column's type is a domain over base.
	domain bool
	// builtin: base is of PostgreSQL itself, so that only a superuser can make a cast of it.
	builtin bool
	// operator is OPERATOR(schema.=).
	operator string
}

// ErrIncomparable says that nothing can be compared with a column, or not without running somebody's code.
var ErrIncomparable = errors.New("its values cannot be compared with a text")

// Of gives the expression, which is of the column's type, for the left side of Operator. PostgreSQL finds no operator for a
// domain over an enum. No user can make a cast of a domain to its base type.
func (c *Comparison) Of(expression string) string {
	if c.domain {
		return expression + "::" + c.base
	}
	return expression
}

// Operator is the equality, as OPERATOR(schema.=). A bound parameter of unknown type may stand on its right side.
func (c *Comparison) Operator() string { return c.operator }

// Text gives the expression as text. A cast of a type of a user to text may be a function of that user; the type's output
// function, which concat calls, is none.
func (c *Comparison) Text(expression string) string {
	if c.builtin {
		return "(" + c.Of(expression) + ")::pg_catalog.text"
	}
	return "pg_catalog.concat(" + c.Of(expression) + ")"
}

// comparisons asks how the columns $2 of the table $1 are compared. The default operator class is the one for the type itself,
// for its kind, or for a type of which it is a binary copy (PostgreSQL's GetDefaultOpClass). An enum with an implicit cast
// that is a user's function is left out: for a value of unknown type PostgreSQL may compare by that.
const comparisons = `
with recursive base(name, oid, domain) as (
    select a.attname, a.atttypid, false from pg_catalog.pg_attribute a
    where a.attrelid = $1::pg_catalog.oid and a.attname = any ($2::pg_catalog.text[]::pg_catalog.name[]) and a.attnum > 0 and not a.attisdropped
    union all
    select b.name, t.typbasetype, true from base b join pg_catalog.pg_type t on t.oid = b.oid where t.typtype = 'd'
)
select b.name::pg_catalog.text, b.oid, b.domain, n.nspname = 'pg_catalog', pg_catalog.quote_ident(n.nspname) || '.' || pg_catalog.quote_ident(t.typname),
       'OPERATOR(' || pg_catalog.quote_ident(e.nspname) || '.' || e.oprname::pg_catalog.text || ')'
from base b
join pg_catalog.pg_type t on t.oid = b.oid and t.typtype <> 'd'
join pg_catalog.pg_namespace n on n.oid = t.typnamespace
left join lateral (
    select s.nspname, o.oprname
    from pg_catalog.pg_opclass c
    join pg_catalog.pg_am m on m.oid = c.opcmethod and m.amname in ('btree', 'hash')
    join pg_catalog.pg_amop p on p.amopfamily = c.opcfamily and p.amoplefttype = c.opcintype and p.amoprighttype = c.opcintype
         and p.amopstrategy = case m.amname when 'btree' then 3 else 1 end
    join pg_catalog.pg_operator o on o.oid = p.amopopr
    join pg_catalog.pg_namespace s on s.oid = o.oprnamespace
    join pg_catalog.pg_type i on i.oid = c.opcintype
    where c.opcdefault and (
        c.opcintype = t.oid
        or t.typtype = 'e' and c.opcintype = 'pg_catalog.anyenum'::pg_catalog.regtype
        or n.nspname = 'pg_catalog' and t.typtype = 'r' and c.opcintype = 'pg_catalog.anyrange'::pg_catalog.regtype
        or n.nspname = 'pg_catalog' and t.typtype = 'm' and c.opcintype = 'pg_catalog.anymultirange'::pg_catalog.regtype
        or n.nspname = 'pg_catalog' and t.typinput = 'pg_catalog.array_in'::pg_catalog.regproc and c.opcintype = 'pg_catalog.anyarray'::pg_catalog.regtype
        or exists (select from pg_catalog.pg_cast k
                   where k.castsource = t.oid and k.casttarget = c.opcintype and k.castmethod = 'b' and k.castcontext = 'i'))
    order by c.opcintype = t.oid desc, m.amname = 'btree' desc, i.typispreferred desc
    limit 1
) e on (n.nspname = 'pg_catalog' or t.typtype = 'b' and t.typinput <> 'pg_catalog.array_in'::pg_catalog.regproc or t.typtype = 'e')
   and not (t.typtype = 'e' and exists (
       select from pg_catalog.pg_cast k where k.castsource = t.oid and k.castcontext = 'i' and k.castmethod = 'f'))`

// Comparisons finds out how the columns of a table are compared, in the order of their names in columns.
func Comparisons(ctx context.Context, q Querier, table uint32, columns ...string) ([]Comparison, error) {
	found := make([]Comparison, len(columns))
	err := each(ctx, q, "find how columns are compared", comparisons, []any{table, columns}, func(rows pgx.Rows) error {
		var name string
		var c Comparison
		var operator *string
		if err := rows.Scan(&name, &c.oid, &c.domain, &c.builtin, &c.base, &operator); err != nil {
			return err
		}
		if operator == nil {
			return fmt.Errorf("column %s of type %s: %w", name, c.base, ErrIncomparable)
		}
		c.operator = *operator
		for i := range columns {
			if columns[i] == name {
				found[i] = c
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if i := slices.Index(found, Comparison{}); i >= 0 {
		return nil, &noColumnError{columns[i]}
	}
	return found, nil
}

// noColumnError says that a table has no column of that name, and so nothing to compare. It is an ErrIncomparable.
type noColumnError struct{ column string }

func (e *noColumnError) Error() string { return "there is no column " + e.column }
func (e *noColumnError) Unwrap() error { return ErrIncomparable }

// ErrNotATable says that something else has a table's name.
var ErrNotATable = errors.New("it is no table, or has foreign tables as partitions: reading it would run what its owner wrote")

// identified is what a name stands for, once the table is locked.
const identified = `
select c.oid, c.relkind = 'p', c.relkind in ('r', 'p') and not (c.relkind = 'p' and exists (
    select from pg_catalog.pg_partition_tree(c.oid) p join pg_catalog.pg_class l on l.oid = p.relid where l.relkind = 'f'))
from pg_catalog.pg_class c where c.oid = pg_catalog.to_regclass($1)`

// identify gives the OID of a table that the transaction has locked. The name is looked up as it is now, and not as the
// transaction's snapshot has it; so are the names in the query that follows. Nobody renames, drops or alters a table that
// is locked. The owner of a schema can still rename that, but then has to do it in between, and a view in its place is not
// expanded: see restrict.
func identify(ctx context.Context, tx pgx.Tx, t TableName) (oid uint32, partitioned bool, err error) {
	var plain bool
	switch err := tx.QueryRow(ctx, identified, t.plain()).Scan(&oid, &partitioned, &plain); {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, false, fmt.Errorf("%s: %w", t, ErrNotATable)
	case err != nil:
		return 0, false, fmt.Errorf("identify %s: %w", t, err)
	case !plain:
		return 0, false, fmt.Errorf("%s: %w", t, ErrNotATable)
	}
	if err := refuseStrangersCode(ctx, tx, []uint32{oid}); err != nil {
		return 0, false, fmt.Errorf("%s: %w", t, err)
	}
	return oid, partitioned, nil
}

// lockByParsing keeps a table as it is until the transaction ends, also for a role that may read some of its columns only.
// The statement is never run.
func lockByParsing(ctx context.Context, conn *pgconn.PgConn, t TableName) error {
	_, err := conn.Prepare(ctx, "", "SELECT FROM "+t.Quoted(), nil)
	if hasCode(err, pgerrcode.ObjectNotInPrerequisiteState) { // a view, or a foreign table: see restrict
		return fmt.Errorf("%s: %w: %w", t, ErrNotATable, err)
	}
	return err
}

// TableCheck is what a query of ours takes for granted of a table that others own: that it is one, and how columns of it are
// compared. The owner of a table may put a view in its place, or give a column another type, and code of theirs into either.
type TableCheck struct {
	Table    TableName
	Columns  []string
	Compared []Comparison // of Columns
}

// Beginner begins transactions: a pool or a connection.
type Beginner interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// CheckTable looks at the table for the first time.
func CheckTable(ctx context.Context, db Beginner, table TableName, columns ...string) (*TableCheck, error) {
	c := &TableCheck{Table: table, Columns: columns}
	err := c.locked(ctx, db, func(tx pgx.Tx) (err error) {
		c.Compared, err = c.compared(ctx, tx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("look at table %s: %w", table, err)
	}
	return c, nil
}

// ErrAltered says that a table is not any more what a query takes for granted.
var ErrAltered = errors.New("the table was altered: restart the gateway")

// Within calls f in a transaction in which the table is as it was at first, and stays so.
func (c *TableCheck) Within(ctx context.Context, db Beginner, f func(tx pgx.Tx) error) error {
	return c.locked(ctx, db, func(tx pgx.Tx) error {
		now, err := c.compared(ctx, tx)
		if err != nil {
			return err
		}
		if !slices.Equal(now, c.Compared) {
			return fmt.Errorf("%s: %w", c.Table, ErrAltered)
		}
		return f(tx)
	})
}

func (c *TableCheck) locked(ctx context.Context, db Beginner, f func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, db, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		if err := lockByParsing(ctx, tx.Conn().PgConn(), c.Table); err != nil {
			return err
		}
		if err := restrict(ctx, tx.Conn(), true); err != nil {
			return err
		}
		return f(tx)
	})
}

func (c *TableCheck) compared(ctx context.Context, tx pgx.Tx) ([]Comparison, error) {
	oid, _, err := identify(ctx, tx, c.Table)
	if err != nil {
		return nil, err
	}
	return Comparisons(ctx, tx, oid, c.Columns...)
}
