package migrations

import (
	"context"
	_ "embed"
	"fmt"

	"github.com/jackc/pgx/v5"
)

//go:embed inspect/inspect.sql
var inspectSQL string //nolint:gochecknoglobals // as files

// outboxPublication is the only object of ours that is in no schema.
const outboxPublication = "mtbreactive_outbox"

// part is an object of schema mtbreactive, something of a table that could run code, or a right that somebody was granted.
type part struct {
	kind   string // such as column, or grant on relation
	name   string
	parent string // the table that it belongs to
	detail string // its kind, type or definition in words of the catalog; of a grant the privilege
	body   string // of a function
	role   string // the owner, or who was granted the privilege; empty where there is none
	ours   bool   // the role is the gateway's own, a superuser or the database's owner, or there is none
	// replicates and public are of a grant: the role may replicate, and everybody was granted it.
	replicates, public bool
}

// inspection is what is in schema mtbreactive, and who asks.
type inspection struct {
	role  string // the current one
	parts []part
}

// inspect reads the catalog, and nothing of the schema itself: it runs nobody's code.
func inspect(ctx context.Context, tx pgx.Tx) (*inspection, error) {
	if _, err := tx.Exec(ctx, "set local search_path = pg_catalog, pg_temp"); err != nil {
		return nil, fmt.Errorf("inspect schema %s: %w", schema, err)
	}
	found := &inspection{}
	if err := tx.QueryRow(ctx, "select current_user::pg_catalog.text").Scan(&found.role); err != nil {
		return nil, fmt.Errorf("inspect schema %s: %w", schema, err)
	}
	rows, err := tx.Query(ctx, inspectSQL, outboxPublication)
	if err != nil {
		return nil, fmt.Errorf("inspect schema %s: %w", schema, err)
	}
	found.parts, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (p part, err error) {
		return p, row.Scan(&p.kind, &p.name, &p.parent, &p.detail, &p.body, &p.role, &p.ours, &p.replicates, &p.public)
	})
	if err != nil {
		return nil, fmt.Errorf("inspect schema %s: %w", schema, err)
	}
	return found, nil
}
