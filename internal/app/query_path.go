package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
)

// queryPath is where queries that operators wrote look names up.
type queryPath struct {
	*wal.Path
	pool *pgxpool.Pool // with the trusted part
}

// openQueryPath reads the role's path. The caller closes the pool.
func openQueryPath(ctx context.Context, cfg *config.Config) (*queryPath, error) {
	path, err := wal.ReadPath(ctx, cfg.DatabaseURL.Reveal())
	if err != nil {
		return nil, err
	}
	pool, err := wal.OpenPool(ctx, cfg.DatabaseURL.Reveal(), wal.PoolOptions{
		Path: path.Trusted, Views: true, MaxConns: int32(cfg.DatabasePool), MaxRowBytes: cfg.MaxRowBytes,
	})
	if err != nil {
		return nil, err
	}
	return &queryPath{path, pool}, nil
}

// written is a query of an operator.
type written interface {
	// Names are the identifiers in it.
	Names() []string
	// Bare tells whether the path decides what a value of the column or type of that name is compared by.
	Bare(name string) bool
}

// explain says of an error of a query what the path or policies have to do with it; both are empty where that is nothing.
func (p *queryPath) explain(ctx context.Context, query written, sql string, cause error) (detail, fix string, err error) {
	var refused *pgconn.PgError
	switch {
	case !errors.As(cause, &refused):
		return "", "", nil
	case refused.Code == pgerrcode.InsufficientPrivilege:
		return p.narrowed(ctx, sql)
	case len(p.Untrusted) == 0 || query == nil:
		return "", "", nil
	}
	missing := []string{pgerrcode.UndefinedTable, pgerrcode.UndefinedFunction, pgerrcode.UndefinedObject, pgerrcode.InvalidSchemaName}
	if !slices.Contains(missing, refused.Code) {
		return "", "", nil
	}
	name, schema, err := p.Example(ctx, p.pool, query.Names())
	return p.Why(), p.Remedy(name, schema), err
}

// narrowed says of a query that may not be run whether policies are the cause.
func (p *queryPath) narrowed(ctx context.Context, sql string) (detail, fix string, err error) {
	role, apply, err := wal.PoliciesApply(ctx, p.pool, sql)
	if err != nil || !apply {
		return "", "", err
	}
	return fmt.Sprintf("policies of a table that it reads apply to role %s, and the gateway sets row_security = off: rights are authorize and filterRow, not policies", role),
		"write rowSecurity: bypassed into the entry, and run " + wal.BypassSQL(role), nil
}

// misread says what a query that can be run may mean otherwise for want of the schemas that are left out; both are empty where
// that is nothing.
func (p *queryPath) misread(ctx context.Context, query written, reads []wal.TableName) (detail, fix string, err error) {
	found, err := p.Missed(ctx, p.pool, reads, query.Names())
	if err != nil {
		return "", "", err
	}
	found = slices.DeleteFunc(found, func(m wal.Missed) bool { return !query.Bare(m.Name) })
	if len(found) == 0 {
		return "", "", nil
	}
	var details []string
	for _, m := range found {
		details = append(details, m.Detail)
	}
	name, _, err := p.Example(ctx, p.pool, query.Names())
	return fmt.Sprintf("it would be compared by other operators than it was written for: %s, and %s", strings.Join(details, ", "), p.Why()),
		p.Remedy(name, found[0].Schema), err
}

// finding tells doctor's reader which path the queries have.
func (p *queryPath) finding() wal.Finding {
	f := wal.Finding{
		Check: "search_path of authorize.sql and resolveScopes.sql", Detail: strings.Join(append([]string{"pg_catalog"}, p.Trusted...), ", "),
	}
	if why := p.Why(); why != "" {
		f.Detail += "; " + why
	}
	return f
}

// asksQueries tells whether the configuration has queries that operators wrote.
func asksQueries(cfg *config.Config) bool {
	return slices.ContainsFunc(cfg.Reactive, func(entry config.Reactive) bool {
		return entry.Authorize != nil && entry.Authorize.SQL != "" ||
			slices.ContainsFunc(entry.ResolveScopes, func(s config.ScopeSource) bool { return s.SQL != "" })
	})
}
