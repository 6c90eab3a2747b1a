package app

import (
	"context"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/wal"
)

// snapshots lets the hub, which knows no database, read views from it.
type snapshots struct {
	*wal.Snapshotter
	matches     snapshotMatches
	unpublished map[wal.TableName]bool
}

// snapshotMatches says how a snapshot finds the rows of the scopes that are no columns.
type snapshotMatches map[scopeName]snapshotMatch

// snapshotMatch is in the terms of wal.SnapshotQuery.
type snapshotMatch struct {
	match []wal.SnapshotMatch
	alias string
	reads []wal.TableName
}

type scopeName struct{ channel, column string }

// Snapshot implements fanout.Snapshots.
func (s snapshots) Snapshot(ctx context.Context, v fanout.View) (*cdc.Snapshot, error) {
	table := wal.TableName{Schema: v.Schema, Name: v.Table}
	q := wal.SnapshotQuery{
		Table: table, Unpublished: s.unpublished[table], Value: v.Value,
		Exclude: v.Exclude, Limit: v.Limit,
	}
	if m, ok := s.matches[scopeName{v.Channel, v.Column}]; ok {
		q.Match, q.Alias, q.Reads = m.match, m.alias, m.reads
	} else {
		q.Match = []wal.SnapshotMatch{{Column: v.Column}}
	}
	for _, o := range v.OrderBy {
		q.OrderBy = append(q.OrderBy, wal.SnapshotOrder(o))
	}
	return s.Snapshotter.Snapshot(ctx, q)
}
