package wal

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"go.uber.org/zap"
)

// MadeKind is a kind of object that setup makes or alters.
type MadeKind string

// The kinds.
const (
	MadeSlot             MadeKind = "slot"
	MadePublication      MadeKind = "publication"
	MadePublicationTable MadeKind = "publication table" // added to a publication that was there
	MadeIdentity         MadeKind = "replica identity"
)

// Made is something that setup made or altered. It is kept in the table mtbreactive.setup, by which `reactive-gw uninstall`
// undoes it.
type Made struct {
	Kind MadeKind
	Name string // of a table: as TableInfo.Quoted gives it; of a slot or publication: as it is configured
	// Before is the replica identity that the table had: DEFAULT, NOTHING or INDEX "name", the name quoted. It is empty for
	// other kinds.
	Before string
}

// recorder is a connection, a pool or a transaction.
type recorder interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// record remembers what setup made. An earlier entry stays: it says how the object was before. Where the table is
// missing, or this role may not write it, a warning says so and nothing fails.
//
// It belongs into the transaction that makes the object, where there is one.
func (s *Server) record(ctx context.Context, q recorder, m Made) error {
	var may bool
	err := q.QueryRow(ctx, `
		select coalesce(pg_catalog.bool_and(pg_catalog.has_schema_privilege(n.oid, 'USAGE') and pg_catalog.has_table_privilege(c.oid, 'INSERT')), false)
		from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
		where n.nspname = 'mtbreactive' and c.relname = 'setup'`).Scan(&may)
	if err != nil {
		return fmt.Errorf("remember what setup made: %w", err)
	}
	if !may {
		s.Log.Warn("setup: cannot remember this for uninstall, for there is no table mtbreactive.setup that this role may write",
			zap.String("kind", string(m.Kind)), zap.String("name", m.Name))
		return nil
	}
	if err := refuseForeignTable(ctx, q, setupTable); err != nil {
		return fmt.Errorf("remember what setup made: %w", err)
	}
	publication := ""
	if m.Kind == MadePublicationTable {
		publication = s.Publication
	}
	_, err = q.Exec(ctx, `insert into mtbreactive.setup (kind, name, publication, before) values ($1, $2, $3, $4) on conflict do nothing`,
		string(m.Kind), m.Name, publication, m.Before)
	if err != nil {
		return fmt.Errorf("remember what setup made: %w", err)
	}
	return nil
}
