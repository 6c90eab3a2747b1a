package migrations

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Removal is what removes schema mtbreactive.
type Removal struct {
	SQL   []string // in order; one transaction
	Owner string   // of the schema
	// Left are objects in the schema that the migrations did not make. They stay, and so does the schema.
	Left []string
}

// Remove says how the schema is removed; nil where there is none. A schema that is not the gateway's own is a *ForeignError.
func Remove(ctx context.Context, pool *pgxpool.Pool) (*Removal, error) {
	found, want, err := look(ctx, pool)
	if err == nil {
		err = found.judge(want, true) // what is missing need not be removed
	}
	if err != nil {
		return nil, fmt.Errorf("plan removal: %w", err)
	}
	return found.removal(want), nil
}

// removal drops what the migrations made, and nothing that depends on it.
func (i *inspection) removal(want *shape) *Removal {
	if !i.has("schema", schema) && !i.has("publication", outboxPublication) {
		return nil
	}
	r := &Removal{}
	var tables, functions []string
	for _, p := range i.parts {
		switch p.kind {
		case "schema":
			r.Owner = p.role
		case "publication":
			r.SQL = append(r.SQL, "DROP PUBLICATION "+p.name+";")
		case "function":
			if want.functions[p.name] == nil {
				r.Left = append(r.Left, "function "+signature(p.name))
			} else {
				functions = append(functions, "DROP FUNCTION "+signature(p.name)+";")
			}
		case "relation":
			switch want.relations[p.name] {
			case "":
				r.Left = append(r.Left, p.detail+" "+inSchema(p.name))
			case "table":
				tables = append(tables, "DROP TABLE "+inSchema(p.name)+";")
			}
		case "type", "operator":
			r.Left = append(r.Left, p.kind+" "+p.name)
		}
	}
	r.SQL = slices.Concat(r.SQL, functions, tables)
	if len(r.Left) == 0 && i.has("schema", schema) {
		r.SQL = append(r.SQL, "DROP SCHEMA "+schema+";")
	}
	return r
}
