package app

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/wal"
)

// accessDatabase lets package auth, which knows no driver, ask the database. It is an auth.Database.
type accessDatabase struct{ pool *pgxpool.Pool }

// With implements auth.Database.
func (d accessDatabase) With(ctx context.Context, f func(auth.Connection) error) error {
	return d.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return f(accessConnection{c.Conn().PgConn()}) })
}

// accessConnection is an auth.Connection.
type accessConnection struct{ conn *pgconn.PgConn }

// Describe implements auth.Connection.
func (c accessConnection) Describe(ctx context.Context, sql string) (d auth.Description, err error) {
	told, err := c.conn.Prepare(ctx, "", sql, nil)
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
	found, err := wal.Ask(ctx, c.conn, sql, arguments)
	if err != nil {
		return nil, err
	}
	answers := make([]auth.Answer, len(found))
	for i, a := range found {
		answers[i] = auth.Answer(a)
	}
	return answers, nil
}
