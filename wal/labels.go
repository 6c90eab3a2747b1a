package wal

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// EnumLabels lists the labels of an enum, in its order.
func EnumLabels(ctx context.Context, q Querier, oid uint32) (labels []string, err error) {
	err = each(ctx, q, "read the labels of an enum", `
select e.enumlabel::pg_catalog.text from pg_catalog.pg_enum e where e.enumtypid = $1 order by e.enumsortorder`, []any{oid}, func(rows pgx.Rows) error {
		var label string
		err := rows.Scan(&label)
		labels = append(labels, label)
		return err
	})
	return labels, err
}
