package wal

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// SnapshotQuery says which rows of a table to read. The names are the catalog's and are quoted here; Value is bound.
type SnapshotQuery struct {
	Table TableName
	// Match and Value narrow the rows to those of which one of the matches holds. Value is text that each of them can read.
	Match []SnapshotMatch
	Value string
	// Unpublished: the stream has nothing to do with the table, so that all of it is read.
	Unpublished bool
	// Alias is the table's name in the matches' queries; it may be empty where they have none.
	Alias string
	// Exclude names columns that are not read.
	Exclude []string
	OrderBy []SnapshotOrder
	Limit   int
}

// SnapshotMatch holds of the rows whose column has the value or, with Query, of those for which that returns the value: a
// query over the row, which has SnapshotQuery.Alias there.
type SnapshotMatch struct {
	Column string
	Query  string
}

// SnapshotOrder is one column to order by.
type SnapshotOrder struct {
	Column     string
	Descending bool
	NullsFirst bool
}

// Snapshotter reads rows together with what makes them fit the stream. Its methods may be called from any goroutine.
type Snapshotter struct {
	Pool        *pgxpool.Pool
	Publication string
	Version     int // server_version_num
	Types       *values.Catalog
	// MaxBytes bounds the rows of one snapshot.
	MaxBytes int
}

// ErrSnapshotTooBig says that the rows are more than MaxBytes.
var ErrSnapshotTooBig = errors.New("the snapshot is too big: lower its limit")

// ErrExcludedGone says that a column to be excluded is not there. It may have another name now, and what it holds must not
// show under that.
var ErrExcludedGone = errors.New("the excluded column does not exist: mend the configuration and restart")

// lockTable comes before the transaction has its snapshot, and keeps the table as the snapshot will show it. TRUNCATE, and
// ALTER TABLE where it rewrites the table, do not heed snapshots: one that commits between the moment and the reading of the
// rows would leave none to be read, although the snapshot does not show it. The lock is the one that reading takes anyway.
const lockTable = `LOCK TABLE %s IN ACCESS SHARE MODE`

// snapshotMoment is the transaction's first query, and so what takes its snapshot. The position is read after it: every
// commit that the snapshot shows was written to the log before. It has to be the position of inserts: an asynchronous
// commit is visible before it is flushed or even written.
const snapshotMoment = `select pg_catalog.pg_current_snapshot()::text, pg_catalog.pg_current_wal_insert_lsn()::text`

// columnsPublished lists the table's columns in the order of the stream, and tells which of them the stream sends.
// Generated columns are among these only from version 18 on, and only where the publication says so, which attnames knows.
const columnsPublished = `
select a.attname, a.atttypid, exists (
           select from pg_catalog.pg_index i where i.indrelid = a.attrelid and i.indisprimary and a.attnum = any(i.indkey)),
       %s
from pg_catalog.pg_attribute a
join pg_catalog.pg_class c on c.oid = a.attrelid
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2 and a.attnum > 0 and not a.attisdropped
order by a.attnum`

const publishedAnyhow = `$3::text is not null`

const publishedBefore15 = `a.attgenerated = '' and $3::text is not null`

const publishedFrom15 = `(a.attgenerated = '' or current_setting('server_version_num')::int >= 180000) and a.attname = any(
    select unnest(p.attnames) from pg_catalog.pg_publication_tables p
    where p.pubname = $3 and p.schemaname = n.nspname and p.tablename = c.relname)`

// rowsPublished tells which of the rows that SELECT finds the stream brings under the table's name: of an ordinary table
// its own, without those of tables that inherit from it, of a partitioned one those of its partitions, and from version 15
// on those that pass the publication's filter, which the server has written itself.
const rowsPublished = `
select c.relkind = 'p', %s
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = $1 and c.relname = $2`

const filterBefore15 = `left($3::text, 0)`

const filterFrom15 = `coalesce((select p.rowfilter from pg_catalog.pg_publication_tables p
    where p.pubname = $3 and p.schemaname = n.nspname and p.tablename = c.relname), '')`

// Snapshot reads the rows of one moment.
func (s *Snapshotter) Snapshot(ctx context.Context, q SnapshotQuery) (*cdc.Snapshot, error) {
	snapshot := &cdc.Snapshot{}
	err := s.Pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		// Asked outside the transaction, whose first query takes its snapshot.
		may, err := mayLock(ctx, c, q.Table)
		if err != nil {
			return err
		}
		return pgx.BeginTxFunc(ctx, c, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
			if may {
				// With the tables that inherit from it: a partitioned table's rows are in its partitions.
				if _, err := tx.Exec(ctx, fmt.Sprintf(lockTable, q.Table.Quoted())); err != nil {
					return err
				}
			}
			return explained(c.Conn(), q.Table, s.read(ctx, tx, q, snapshot))
		})
	})
	if err != nil {
		return nil, fmt.Errorf("snapshot of %s: %w", q.Table, err)
	}
	return snapshot, nil
}

// Visibility says which transactions a snapshot would show now.
func (s *Snapshotter) Visibility(ctx context.Context) (cdc.Visibility, error) {
	var text string
	if err := s.Pool.QueryRow(ctx, "select pg_catalog.pg_current_snapshot()::text").Scan(&text); err != nil {
		return cdc.Visibility{}, fmt.Errorf("read visibility: %w", err)
	}
	return cdc.ParseVisibility(text)
}

// mayLock is false for a role that may read some columns of the table only. Its snapshots are read without the lock.
func mayLock(ctx context.Context, c *pgxpool.Conn, t TableName) (may bool, err error) {
	err = c.QueryRow(ctx, `
		select coalesce(bool_or(pg_catalog.has_table_privilege(c.oid, 'SELECT')), true)
		from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where n.nspname = $1 and c.relname = $2`, t.Schema, t.Name).Scan(&may)
	return may, err
}

func (s *Snapshotter) read(ctx context.Context, tx pgx.Tx, q SnapshotQuery, snapshot *cdc.Snapshot) error {
	var visibility, upto string
	if err := tx.QueryRow(ctx, snapshotMoment).Scan(&visibility, &upto); err != nil {
		return err
	}
	var err error
	if snapshot.Visibility, err = cdc.ParseVisibility(visibility); err != nil {
		return err
	}
	if snapshot.Upto, err = cdc.ParseLSN(upto); err != nil {
		return err
	}
	if snapshot.Table, err = s.columns(ctx, tx, q); err != nil {
		return err
	}
	partitioned, filter, err := s.rows(ctx, tx, q)
	if err != nil {
		return err
	}
	// The text format for parameter and results, and the parameter's type left to the server: as in the stream, every
	// value is what the type itself prints.
	result := tx.Conn().PgConn().ExecParams(ctx, q.sql(snapshot.Table, partitioned, filter), q.values(), nil, nil, nil)
	size := 0
	for result.NextRow() {
		row, err := packRow(result.Values())
		if err != nil {
			return errors.Join(err, closeResult(result))
		}
		if size += len(row); size > s.MaxBytes {
			return errors.Join(ErrSnapshotTooBig, closeResult(result))
		}
		snapshot.Rows = append(snapshot.Rows, row)
	}
	return closeResult(result)
}

func closeResult(result *pgconn.ResultReader) error {
	_, err := result.Close()
	return err
}

// columns describes the table as the stream does, without the excluded columns.
func (s *Snapshotter) columns(ctx context.Context, tx pgx.Tx, q SnapshotQuery) (*cdc.Table, error) {
	published := publishedFrom15
	switch {
	case q.Unpublished:
		published = publishedAnyhow
	case s.Version < 150000:
		published = publishedBefore15
	}
	t := &cdc.Table{Schema: q.Table.Schema, Name: q.Table.Name}
	var oids []uint32
	excluded := map[string]bool{}
	for _, name := range q.Exclude {
		excluded[name] = true
	}
	err := each(ctx, tx, "list published columns", fmt.Sprintf(columnsPublished, published), []any{q.Table.Schema, q.Table.Name, s.Publication},
		func(rows pgx.Rows) error {
			var c cdc.Column
			var published bool
			if err := rows.Scan(&c.Name, &c.TypeOID, &c.Key, &published); err != nil {
				return err
			}
			switch {
			case excluded[c.Name]:
				delete(excluded, c.Name)
			case published:
				t.Columns, oids = append(t.Columns, c), append(oids, c.TypeOID)
			}
			return nil
		})
	if err != nil {
		return nil, err
	}
	for name := range excluded {
		return nil, fmt.Errorf("column %s: %w", name, ErrExcludedGone)
	}
	if len(t.Columns) == 0 {
		return nil, fmt.Errorf("publication %s has no columns of it", s.Publication)
	}
	if err := s.Types.Load(ctx, tx, oids); err != nil {
		return nil, err
	}
	for i := range t.Columns {
		t.Columns[i].JSON = s.Types.Encoder(t.Columns[i].TypeOID)
	}
	return t, nil
}

// rows reads what rowsPublished says.
func (s *Snapshotter) rows(ctx context.Context, tx pgx.Tx, q SnapshotQuery) (partitioned bool, filter string, err error) {
	published := filterFrom15
	if s.Version < 150000 || q.Unpublished {
		published = filterBefore15
	}
	err = tx.QueryRow(ctx, fmt.Sprintf(rowsPublished, published), q.Table.Schema, q.Table.Name, s.Publication).Scan(&partitioned, &filter)
	if err != nil {
		return false, "", fmt.Errorf("find published rows: %w", err)
	}
	return partitioned, filter, nil
}

// sql is made of quoted names, numbers and the publication's filter alone.
func (q *SnapshotQuery) sql(t *cdc.Table, partitioned bool, filter string) string {
	var columns, order []string
	for _, c := range t.Columns {
		columns = append(columns, quote(c.Name))
	}
	for _, o := range q.OrderBy {
		order = append(order, orderTerm(o))
	}
	for _, c := range t.Columns {
		if c.Key {
			order = append(order, quote(c.Name))
		}
	}
	from := "ONLY " + q.Table.Quoted()
	if partitioned {
		from = q.Table.Quoted()
	}
	if q.Alias != "" {
		from += " AS " + quote(q.Alias)
	}
	sql := fmt.Sprintf("SELECT %s FROM %s WHERE (%s)", strings.Join(columns, ", "), from, q.condition())
	if filter != "" {
		sql += " AND (" + filter + ")"
	}
	if len(order) > 0 {
		sql += " ORDER BY " + strings.Join(order, ", ")
	}
	return fmt.Sprintf("%s LIMIT %d", sql, q.Limit)
}

// condition gives each match a parameter of its own, so that the server finds each one's type where it stands.
func (q *SnapshotQuery) condition() string {
	var terms []string
	for i, m := range q.Match {
		if m.Query != "" {
			terms = append(terms, fmt.Sprintf("$%d IN (%s\n)", i+1, m.Query)) // a comment may end the query
			continue
		}
		terms = append(terms, fmt.Sprintf("%s = $%d", quote(m.Column), i+1))
	}
	return strings.Join(terms, " OR ")
}

// values are those of condition's parameters.
func (q *SnapshotQuery) values() [][]byte {
	values := make([][]byte, len(q.Match))
	for i := range values {
		values[i] = []byte(q.Value)
	}
	return values
}

func orderTerm(o SnapshotOrder) string {
	direction, nulls := "ASC", "LAST"
	if o.Descending {
		direction = "DESC"
	}
	if o.NullsFirst {
		nulls = "FIRST"
	}
	return fmt.Sprintf("%s %s NULLS %s", quote(o.Column), direction, nulls)
}

func packRow(columns [][]byte) (cdc.Row, error) {
	row := make([]cdc.Value, len(columns))
	size := 2
	for i, text := range columns {
		row[i] = cdc.Value{State: cdc.Null}
		if text != nil {
			row[i] = cdc.Value{State: cdc.Text, Text: text}
		}
		size += 5 + len(text)
	}
	return cdc.AppendRow(make([]byte, 0, size), row)
}
