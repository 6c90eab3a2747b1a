package wal

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	// Match and Value narrow the rows to those of which one of the matches holds. Value is the text that PostgreSQL prints for
	// a value of each of them.
	Match []SnapshotMatch
	Value string
	// Unpublished: the stream has nothing to do with the table, so that all of it is read.
	Unpublished bool
	// Alias is the table's name in the matches' queries; it may be empty where they have none.
	Alias string
	// Reads are the tables that the matches' queries read.
	Reads []TableName
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
	// Type is that of what Query returns, as SQL writes it: QueryInfo has it.
	Type string
}

// cast takes a domain off: PostgreSQL finds no operator for one over an enum.
func (m *SnapshotMatch) cast() string {
	if m.Type == "" {
		return ""
	}
	return "::" + m.Type
}

// SnapshotOrder is one column to order by.
type SnapshotOrder struct {
	Column     string
	Descending bool
	NullsFirst bool
}

// Snapshotter reads rows together with what makes them fit the stream. Its methods may be called from any goroutine.
type Snapshotter struct {
	Pool *pgxpool.Pool
	// QueryPool is for snapshots whose matches have a query: its sessions have the trusted search_path.
	QueryPool   *pgxpool.Pool
	Publication string
	Version     int // server_version_num
	Types       *values.Catalog
	// MaxBytes bounds the rows of one snapshot.
	MaxBytes int
}

// ErrSnapshotTooBig says that the rows are more than MaxBytes.
var ErrSnapshotTooBig = errors.New("the snapshot is too big: lower its limit")

// ErrOtherScope says that the server returned a row that does not have the value that was asked for. Nobody is shown it.
var ErrOtherScope = errors.New("the server returned a row of another scope")

// ErrExcludedGone says that a column to be excluded is not there. It may have another name now, and what it holds must not
// show under that.
var ErrExcludedGone = errors.New("the excluded column does not exist: mend the configuration and restart")

// snapshotMoment is the transaction's first query, and so what takes its snapshot. The position is read after it: every
// commit that the snapshot shows was written to the log before. It has to be the position of inserts: an asynchronous
// commit is visible before it is flushed or even written.
const snapshotMoment = `select pg_catalog.pg_current_snapshot()::pg_catalog.text, pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text`

// Snapshot reads the rows of one moment.
func (s *Snapshotter) Snapshot(ctx context.Context, q SnapshotQuery) (*cdc.Snapshot, error) {
	pool := s.Pool
	if q.asks() {
		pool = s.QueryPool
	}
	snapshot := &cdc.Snapshot{}
	err := pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error {
		return locked(ctx, c, q.Table, q.Reads, func(tx pgx.Tx) error {
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
	if err := s.Pool.QueryRow(ctx, "select pg_catalog.pg_current_snapshot()::pg_catalog.text").Scan(&text); err != nil {
		return cdc.Visibility{}, fmt.Errorf("read visibility: %w", err)
	}
	return cdc.ParseVisibility(text)
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
	reading := &reading{SnapshotQuery: q}
	if reading.oid, reading.partitioned, err = identify(ctx, tx, q.Table); err != nil {
		return err
	}
	if reading.published, err = s.published(ctx, tx, reading); err != nil {
		return err
	}
	if snapshot.Table, err = s.columns(ctx, tx, reading); err != nil {
		return err
	}
	if reading.compared, err = Comparisons(ctx, tx, reading.oid, reading.plain()...); err != nil {
		return err
	}
	sql, proofs := reading.sql(snapshot.Table)
	// The text format for parameter and results, and the parameter's type left to the server: as in the stream, every
	// value is what the type itself prints.
	result := tx.Conn().PgConn().ExecParams(ctx, sql, q.values(), nil, nil, nil)
	size := 0
	for result.NextRow() {
		values := result.Values()
		if !q.proven(values, proofs) {
			return errors.Join(ErrOtherScope, closeResult(result))
		}
		row, err := packRow(values[:len(snapshot.Table.Columns)])
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

// reading is a query with what the server says of its table, which is locked.
type reading struct {
	SnapshotQuery
	oid         uint32
	partitioned bool
	published   *published
	compared    []Comparison // of plain
}

// asks tells whether one of the matches is an operator's query.
func (q *SnapshotQuery) asks() bool {
	return slices.ContainsFunc(q.Match, func(m SnapshotMatch) bool { return m.Query != "" })
}

// plain are the columns that are compared with the value.
func (q *SnapshotQuery) plain() []string {
	var columns []string
	for _, m := range q.Match {
		if m.Query == "" {
			columns = append(columns, m.Column)
		}
	}
	return columns
}

// published says what the stream brings of the table.
func (s *Snapshotter) published(ctx context.Context, tx pgx.Tx, r *reading) (*published, error) {
	if r.Unpublished {
		return &published{all: true}, nil
	}
	p, err := readPublished(ctx, tx, s.Publication, s.Version, r.oid)
	if err == nil && p == nil {
		err = fmt.Errorf("publication %s: %w", s.Publication, errUnpublishedTable)
	}
	return p, err
}

// columns describes the table as the stream does, without the excluded columns.
func (s *Snapshotter) columns(ctx context.Context, q Querier, r *reading) (*cdc.Table, error) {
	t := &cdc.Table{Schema: r.Table.Schema, Name: r.Table.Name}
	var oids []uint32
	excluded := map[string]bool{}
	for _, name := range r.Exclude {
		excluded[name] = true
	}
	err := each(ctx, q, "list published columns", tableColumnsNow, []any{r.oid}, func(rows pgx.Rows) error {
		var c cdc.Column
		var number int16
		var generated string
		if err := rows.Scan(&c.Name, &number, &c.TypeOID, &generated, &c.Key); err != nil {
			return err
		}
		switch {
		case excluded[c.Name]:
			delete(excluded, c.Name)
		case r.published.sends(number, generated):
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
		return nil, fmt.Errorf("publication %s: %w", s.Publication, errUnpublishedTable)
	}
	if err := s.Types.Load(ctx, q, oids); err != nil {
		return nil, err
	}
	for i := range t.Columns {
		t.Columns[i].JSON = s.Types.Encoder(t.Columns[i].TypeOID)
	}
	return t, nil
}

// sql is made of quoted names, numbers, the publication's filter and operators' queries alone. Behind the table's columns it
// may select those that proofs are about: the places of the columns that are compared, none where a query may have found a row.
func (r *reading) sql(t *cdc.Table) (sql string, proofs []int) {
	var columns, order []string
	for _, c := range t.Columns {
		columns = append(columns, quote(c.Name))
	}
	if !r.asks() {
		for _, name := range r.plain() {
			at := t.Column(name)
			if at < 0 {
				at, columns = len(columns), append(columns, quote(name))
			}
			proofs = append(proofs, at)
		}
	}
	for _, o := range r.OrderBy {
		order = append(order, orderTerm(o))
	}
	for _, c := range t.Columns {
		if c.Key {
			order = append(order, quote(c.Name))
		}
	}
	// Of an ordinary table the stream brings its own rows, without those of tables that inherit from it, of a partitioned one
	// those of its partitions.
	from := "ONLY " + r.Table.Quoted()
	if r.partitioned {
		from = r.Table.Quoted()
	}
	if r.Alias != "" {
		from += " AS " + quote(r.Alias)
	}
	sql = fmt.Sprintf("SELECT %s FROM %s WHERE (%s)", strings.Join(columns, ", "), from, r.condition())
	if r.published.filter != "" {
		sql += " AND (" + r.published.filter + ")"
	}
	if len(order) > 0 {
		sql += " ORDER BY " + strings.Join(order, ", ")
	}
	return fmt.Sprintf("%s LIMIT %d", sql, r.Limit), proofs
}

// condition gives each match a parameter of its own, so that the server finds each one's type where it stands.
func (r *reading) condition() string {
	var terms []string
	plain := 0
	for i, m := range r.Match {
		if m.Query != "" {
			// The type of what the query returns is one of PostgreSQL's own, or an enum. A comment may end the query.
			terms = append(terms, fmt.Sprintf("$%d OPERATOR(pg_catalog.=) ANY (SELECT found.value%s FROM (%s\n) AS found(value))", i+1, m.cast(), m.Query))
			continue
		}
		c := &r.compared[plain]
		plain++
		terms = append(terms, fmt.Sprintf("%s %s $%d", c.Of(quote(m.Column)), c.Operator(), i+1))
	}
	return strings.Join(terms, " OR ")
}

// proven tells whether a row has the value in one of the columns. That the server compared them should be enough.
func (q *SnapshotQuery) proven(values [][]byte, proofs []int) bool {
	return len(proofs) == 0 || slices.ContainsFunc(proofs, func(at int) bool { return values[at] != nil && string(values[at]) == q.Value })
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
