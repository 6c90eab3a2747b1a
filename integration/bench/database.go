package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/cluster"
)

// postgresProgram finds a program of the server's version: those of the cluster, where there are several.
func postgresProgram(name string) string {
	for _, dir := range []string{os.Getenv("REACTIVE_TEST_PG_BIN"), "/usr/lib/postgresql/15/bin"} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); dir != "" && err == nil {
			return path
		}
	}
	if path, err := exec.LookPath(name); err == nil {
		return path
	}
	return name
}

// newCluster makes the cluster of one measurement. Nothing in it is to be kept: it does not wait for disks, and neither
// checkpoints nor autovacuum come between two runs.
func newCluster(ctx context.Context) (*cluster.Cluster, error) {
	c, err := cluster.New(ctx, cluster.Options{
		BinDir: filepath.Dir(postgresProgram("postgres")),
		Settings: map[string]string{
			"wal_level": "logical", "max_wal_senders": "40", "max_replication_slots": "40",
			"fsync": "off", "autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "20GB", "shared_buffers": "512MB",
			"shared_preload_libraries": "pg_stat_statements", "jit": "off",
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make a cluster: %w", err)
	}
	return c, nil
}

// schema is a small chat: what is measured are its messages.
const schema = `
create table message (
	id bigint generated always as identity primary key,
	conversation_id bigint not null,
	author_id bigint not null,
	body text not null
)`

// database is a connection to a cluster of its own.
type database struct {
	*pgx.Conn
	url string
	c   *cluster.Cluster
}

// newDatabase makes a cluster with the statements run. The caller ends it with close.
func newDatabase(ctx context.Context, statements ...string) (*database, error) {
	c, err := newCluster(ctx)
	if err != nil {
		return nil, err
	}
	db := &database{url: c.URL("postgres"), c: c}
	if db.Conn, err = pgx.Connect(ctx, db.url); err != nil {
		return nil, errors.Join(fmt.Errorf("connect to the cluster: %w", err), c.Close())
	}
	for _, sql := range statements {
		if _, err := db.Exec(ctx, sql); err != nil {
			db.close()
			return nil, fmt.Errorf("run %.60s: %w", sql, err)
		}
	}
	return db, nil
}

func (db *database) close() {
	_ = db.Conn.Close(context.Background())
	if err := db.c.Close(); err != nil {
		fmt.Println("   end of the cluster:", err)
	}
}

// value is what a query of one value gives.
func value[T any](ctx context.Context, db *database, sql string, args ...any) (v T, err error) {
	if err = db.QueryRow(ctx, sql, args...).Scan(&v); err != nil {
		err = fmt.Errorf("ask %.60s: %w", sql, err)
	}
	return v, err
}
