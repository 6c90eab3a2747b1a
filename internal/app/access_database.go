package app

import (
	"context"
	"errors"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/wal"
)

// accessDatabase lets package auth, which knows no driver, ask the database. It is an auth.Database. Where a query is of ours
// and about one table of others, table is what it takes for granted of that; otherwise it is nil.
type accessDatabase struct {
	pool  *pgxpool.Pool
	table *wal.TableCheck
}

// With implements auth.Database.
func (d accessDatabase) With(ctx context.Context, f func(auth.Connection) error) error {
	return d.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return f(accessConnection{c.Conn(), d.table}) })
}

// accessConnection is an auth.Connection.
type accessConnection struct {
	conn  *pgx.Conn
	table *wal.TableCheck
}

// Describe implements auth.Connection.
func (c accessConnection) Describe(ctx context.Context, sql string) (d auth.Description, err error) {
	told, err := c.conn.PgConn().Prepare(ctx, "", sql, nil)
	if err != nil {
		return d, err
	}
	d.Parameters = told.ParamOIDs
	if told.Fields != nil {
		d.Columns = []uint32{}
	}
	for _, field := range told.Fields {
		d.Columns = append(d.Columns, field.DataTypeOID)
	}
	return d, nil
}

// Ask implements auth.Connection.
func (c accessConnection) Ask(ctx context.Context, sql string, arguments [][]*string) ([]auth.Answer, error) {
	if c.table == nil {
		return ask(ctx, c.conn.PgConn(), sql, arguments)
	}
	answers, err := c.within(ctx, sql, arguments)
	if err != nil || len(arguments) == 1 || !slices.ContainsFunc(answers, failed) {
		return answers, err
	}
	// In a transaction the first error is that of all which come behind it.
	for i := range answers {
		if !failed(answers[i]) {
			continue
		}
		alone, err := c.within(ctx, sql, arguments[i:i+1])
		if err != nil {
			return nil, err
		}
		answers[i] = alone[0]
	}
	return answers, nil
}

// within asks while the table is what it was.
func (c accessConnection) within(ctx context.Context, sql string, arguments [][]*string) (answers []auth.Answer, err error) {
	err = c.table.Within(ctx, c.conn, func(tx pgx.Tx) error {
		answers, err = ask(ctx, tx.Conn().PgConn(), sql, arguments)
		return err
	})
	if errors.Is(err, pgx.ErrTxCommitRollback) && slices.ContainsFunc(answers, failed) {
		err = nil // an answer's error has ended the transaction, and says more
	}
	return answers, err
}

func failed(a auth.Answer) bool { return a.Err != nil }

func ask(ctx context.Context, conn *pgconn.PgConn, sql string, arguments [][]*string) ([]auth.Answer, error) {
	found, err := wal.Ask(ctx, conn, sql, arguments)
	if err != nil {
		return nil, err
	}
	answers := make([]auth.Answer, len(found))
	for i, a := range found {
		answers[i] = auth.Answer(a)
	}
	return answers, nil
}
