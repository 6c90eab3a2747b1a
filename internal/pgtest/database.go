package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// Database gives the URL of a new, empty database in the shared cluster, which only this test uses. With the test the
// database is dropped, and its replication slots and sessions with it, whatever the test has left running.
func Database(t testing.TB) (url string) {
	t.Helper()
	c, err := shared.get()
	if err != nil {
		t.Fatal(err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	maintenance := c.URL("postgres")
	url = c.URL(name)
	create(t, maintenance, name)
	shared.sessions.keep(url)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		shared.sessions.end(ctx, url)
		err := connected(ctx, maintenance, func(ctx context.Context, conn *pgx.Conn) error { return drop(ctx, conn, name) })
		if err != nil {
			t.Errorf("drop database %s: %v", name, err)
		}
	})
	return url
}

// create makes the database by copying files where the server can (15 and later): by way of the log, which is how servers do
// it unless told, it takes twice as long.
func create(t testing.TB, maintenance, name string) {
	t.Helper()
	sql := "create database " + name
	if Major(t) >= 15 {
		sql += " strategy file_copy"
	}
	Exec(t, maintenance, sql)
}

// drop drops the database with its sessions and slots. It locks the door first, since a client under test may connect
// again as fast as its sessions are ended. One that was already inside the door may still take a slot in between: then
// the server says that an object is in use, and all is done again.
func drop(ctx context.Context, conn *pgx.Conn, name string) error {
	database := pgx.Identifier{name}.Sanitize()
	if _, err := conn.Exec(ctx, "alter database "+database+" allow_connections false"); err != nil {
		return err
	}
	for {
		err := empty(ctx, conn, name)
		if err == nil {
			_, err = conn.Exec(ctx, "drop database "+database+" with (force)")
		}
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != pgerrcode.ObjectInUse {
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%w: %w", ctx.Err(), err)
		}
	}
}

// empty ends the sessions in the database, walsenders included, waits until they are gone, and drops the slots.
func empty(ctx context.Context, conn *pgx.Conn, database string) error {
	const wait = 10_000 // milliseconds
	_, err := conn.Exec(ctx, "select pg_terminate_backend(pid, $2) from pg_stat_activity where datname = $1", database, wait)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = $1", database)
	return err
}
