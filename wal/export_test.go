package wal

import (
	"context"
	"strings"
	"time"
)

// GatherFor is how long bytes gather that come fast.
const GatherFor = gatherFor

// Gather makes them gather for another time; 0 is not at all.
func (s *Source) Gather(linger time.Duration) { s.linger = linger }

// Record is record.
func (s *Server) Record(ctx context.Context, q recorder, m Made) error { return s.record(ctx, q, m) }

// PublishedOf gives what a publication sends of a table as "column,column filter", empty where that is nothing.
func PublishedOf(ctx context.Context, s *Snapshotter, table string) (string, error) {
	var oid uint32
	if err := s.Pool.QueryRow(ctx, "select $1::pg_catalog.text::pg_catalog.regclass::pg_catalog.oid", table).Scan(&oid); err != nil {
		return "", err
	}
	p, err := readPublished(ctx, s.Pool, s.Publication, s.Version, oid)
	if err != nil || p == nil {
		return "", err
	}
	t, err := s.columns(ctx, s.Pool, &reading{oid: oid, published: p})
	if err != nil {
		return "", err
	}
	var names []string
	for _, c := range t.Columns {
		names = append(names, c.Name)
	}
	return strings.Join(names, ",") + " " + p.filter, nil
}

// Proven is SnapshotQuery.proven.
func Proven(q *SnapshotQuery, values [][]byte, proofs []int) bool { return q.proven(values, proofs) }
