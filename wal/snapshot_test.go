package wal_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// TRUNCATE does not heed snapshots: rows that are read after it are none, also in a snapshot from before it.
func TestASnapshotHasTheRowsThatItsMomentShows(t *testing.T) {
	server := newServer(t, database(t, `create table orders (id int primary key, item text)`, `insert into orders values (1, 'bread')`))
	prepare(t, server)
	snapshotter := wal.Snapshotter{Pool: server.Pool, Publication: publication, Version: 150000, Types: values.NewCatalog(values.Options{}), MaxBytes: 1 << 20}

	// What a snapshot asks for between its moment and its rows has to wait for this.
	holder, err := server.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(context.Background()) }()
	if _, err := holder.Exec(t.Context(), `lock table pg_publication in access exclusive mode`); err != nil {
		t.Fatal(err)
	}
	type result struct {
		snapshot *cdc.Snapshot
		err      error
	}
	taken := make(chan result, 1)
	go func() {
		snapshot, err := snapshotter.Snapshot(t.Context(), wal.SnapshotQuery{Table: wal.TableName{Schema: "public", Name: "orders"}, Match: []wal.SnapshotMatch{{Column: "id"}}, Value: "1", Limit: 10})
		taken <- result{snapshot, err}
	}()
	const waiting = `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock' and query like $1`
	eventually(t, "the snapshot waits", func() bool { return query[int](t, server.Pool, waiting, "%pg_publication%") == 1 })

	var truncater uint32
	truncated := make(chan error, 1)
	go func() {
		truncated <- pgx.BeginFunc(t.Context(), server.Pool, func(tx pgx.Tx) error {
			if err := tx.QueryRow(t.Context(), `select pg_current_xact_id()::xid`).Scan(&truncater); err != nil {
				return err
			}
			_, err := tx.Exec(t.Context(), `truncate public.orders`)
			return err
		})
	}()
	eventually(t, "the table is empty, or is kept from it", func() bool {
		return len(truncated) == 1 || query[int](t, server.Pool, waiting, "truncate%") == 1
	})
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := <-taken
	if got.err != nil {
		t.Fatal(got.err)
	}
	if err := <-truncated; err != nil {
		t.Fatal(err)
	}
	if shows := got.snapshot.Visibility.Shows(truncater); shows != (len(got.snapshot.Rows) == 0) {
		t.Errorf("%d rows, and the snapshot shows the truncation: %v", len(got.snapshot.Rows), shows)
	}
}

// A snapshot never holds one table while it waits for the next: in a circle of two PostgreSQL would end a statement, and that
// could be the application's.
func TestASnapshotIsInNobodysCircle(t *testing.T) {
	t.Parallel()
	url := database(t, "create table orders (id int primary key, room int)", "create table line (id int primary key, room int)")
	server := newServer(t, url)
	prepare(t, server)
	snapshotter := &wal.Snapshotter{
		Pool: server.Pool, QueryPool: server.Pool, Publication: publication, Version: 150000, Types: values.NewCatalog(values.Options{}), MaxBytes: 1 << 20,
	}
	app := sessionOf(t, url, "begin", "lock table line in access exclusive mode")
	done := make(chan error, 1)
	go func() {
		_, err := snapshotter.Snapshot(t.Context(), wal.SnapshotQuery{
			Table: wal.TableName{Schema: "public", Name: "orders"}, Match: []wal.SnapshotMatch{{Query: "select room from public.line where id = mtbreactive_row.id", Type: "pg_catalog.int4"}},
			Value: "1", Alias: "mtbreactive_row", Reads: []wal.TableName{{Schema: "public", Name: "line"}}, Limit: 10,
		})
		done <- err
	}()
	tried := func() bool {
		return pgtest.Query[int](t, url, "select count(*) from pg_stat_activity where datname = current_database() and query like 'LOCK TABLE%NOWAIT'") > 0
	}
	for !tried() {
		select {
		case err := <-done:
			t.Fatalf("it did not wait: %v", err)
		default:
		}
	}
	execute(t, app, "lock table orders in access exclusive mode", "rollback")
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}
