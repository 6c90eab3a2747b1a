package migrations

import (
	"context"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// UpTo applies the migrations up to a version, as an earlier release did.
func UpTo(ctx context.Context, pool *pgxpool.Pool, version int64) error {
	m, err := newMigrator(ctx, pool)
	if err != nil {
		return err
	}
	defer m.close()
	if _, err := m.prepare(ctx); err != nil {
		return err
	}
	return withProvider(m.pool, func(p *goose.Provider) error {
		_, err := p.UpTo(ctx, version)
		return err
	})
}
