package migrations_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/migrations"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func open(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func up(t *testing.T, pool *pgxpool.Pool, tell ...func(migrations.Wait)) {
	t.Helper()
	if _, err := migrations.Up(t.Context(), pool, tell...); err != nil {
		t.Fatal(err)
	}
}

// role makes a role that lives as long as the test.
func role(t *testing.T, url, kind, attributes string) (name, as string) {
	t.Helper()
	name = kind + "_" + pgtest.Query[string](t, url, "select current_database()")
	pgtest.Exec(t, url, "create role "+name+" login "+attributes)
	t.Cleanup(func() { pgtest.Exec(t, url, "drop owned by "+name+" cascade; drop role "+name) })
	return name, strings.Replace(url, "postgres@", name+"@", 1)
}

// Each migration is applied once, however many gateways start together.
func TestGatewaysThatStartTogetherMigrateOnce(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	var starting sync.WaitGroup
	var mu sync.Mutex
	var applied []string
	for range 4 {
		pool := open(t, url)
		starting.Go(func() {
			states, err := migrations.Up(t.Context(), pool)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for _, s := range states {
				applied = append(applied, s.Name)
			}
		})
	}
	starting.Wait()
	if len(applied) != 5 {
		t.Errorf("applied %v, want each once", applied)
	}
	states, err := migrations.Status(t.Context(), open(t, url))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range states {
		if s.Applied.IsZero() {
			t.Errorf("%s is pending", s.Name)
		}
	}
}

// The lock that the library takes is anybody's. Ours is not.
func TestS3AnAdvisoryLockHoldsUpNothing(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	_, as := role(t, url, "mallory", "")
	mallory, err := pgx.Connect(t.Context(), as)
	if err != nil {
		t.Fatal(err)
	}
	defer mallory.Close(context.WithoutCancel(t.Context()))
	if _, err := mallory.Exec(t.Context(), "select pg_advisory_lock(4097083626), pg_advisory_lock_shared(1), pg_advisory_lock(0)"); err != nil {
		t.Fatal(err)
	}
	up(t, open(t, url), func(w migrations.Wait) { t.Error(w) })
}

// No role without rights can take the lock that only one migrator has.
func TestS3NobodyElseTakesTheLockOfMigrations(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	up(t, open(t, url))
	name, as := role(t, url, "mallory", "")
	pgtest.Exec(t, url, "grant usage on schema mtbreactive to "+name, "grant select on mtbreactive.migration to "+name)
	for _, mode := range []string{"row exclusive", "share update exclusive", "share", "access exclusive"} {
		if err := try(t, as, "begin; lock table mtbreactive.migration in "+mode+" mode"); err == nil {
			t.Errorf("%s may lock it in %s mode", name, mode)
		}
	}
}

func try(t *testing.T, url, sql string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	_, err = conn.Exec(t.Context(), sql)
	return err
}

// Whatever migrations wait for is said, with who holds it and the SQL, and they go on when it is over.
func TestS3WhatMigrationsWaitForIsSaid(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		version int64  // of the schema before
		hold    string // in an open transaction
		grant   string // to the role that holds it; otherwise a superuser does
		what    string
	}{
		"a schema of that name that is being made": {0, "create schema mtbreactive", "create on database %[1]s", "the end of a transaction that makes or alters the same object"},
		"a lock on the table of versions":          {3, "lock table mtbreactive.migration", "", "a lock on mtbreactive.migration"},
		"a lock on a table to be altered":          {2, "select from mtbreactive.checkpoint", "", "a lock on mtbreactive.checkpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := pgtest.Database(t)
			pool := open(t, url)
			if c.version > 0 {
				if err := migrations.UpTo(t.Context(), pool, c.version); err != nil {
					t.Fatal(err)
				}
			}
			as := url
			if c.grant != "" {
				var holder string
				holder, as = role(t, url, "holder", "")
				pgtest.Exec(t, url, fmt.Sprintf("grant "+c.grant+" to %[2]s", pgtest.Query[string](t, url, "select current_database()"), holder))
			}
			holder, err := pgx.Connect(t.Context(), as+"&application_name=nightly")
			if err != nil {
				t.Fatal(err)
			}
			defer holder.Close(context.WithoutCancel(t.Context()))
			if _, err := holder.Exec(t.Context(), "begin; "+c.hold); err != nil {
				t.Fatal(err)
			}
			told := make(chan migrations.Wait, 100)
			done := make(chan error, 1)
			go func() {
				_, err := migrations.Up(t.Context(), pool, func(w migrations.Wait) { told <- w })
				done <- err
			}()
			select {
			case w := <-told:
				if w.PID != int32(holder.PgConn().PID()) || w.Application != "nightly" || w.For != c.what || !strings.Contains(w.SQL(), fmt.Sprintf("pg_terminate_backend(%d)", w.PID)) {
					t.Errorf("%s: %s", w, w.SQL())
				}
			case err := <-done:
				t.Fatalf("migrations waited for nobody: %v", err)
			case <-time.After(30 * time.Second):
				t.Fatal("nothing was said")
			}
			if _, err := holder.Exec(t.Context(), "rollback"); err != nil {
				t.Fatal(err)
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
}

// Somebody makes the schema in between. Nothing of theirs is used.
func TestS2ASchemaThatIsMadeMeanwhileIsJudged(t *testing.T) {
	t.Parallel()
	url := pgtest.Database(t)
	name, as := role(t, url, "mallory", "")
	pgtest.Exec(t, url, "grant create on database "+pgtest.Query[string](t, url, "select current_database()")+" to "+name)
	mallory, err := pgx.Connect(t.Context(), as)
	if err != nil {
		t.Fatal(err)
	}
	defer mallory.Close(context.WithoutCancel(t.Context()))
	if _, err := mallory.Exec(t.Context(), "begin; create schema mtbreactive; create table mtbreactive.migration (id int, version_id bigint, is_applied bool, tstamp timestamp)"); err != nil {
		t.Fatal(err)
	}
	waits, done := make(chan migrations.Wait, 100), make(chan error, 1)
	go func() {
		_, err := migrations.Up(t.Context(), open(t, url), func(w migrations.Wait) { waits <- w })
		done <- err
	}()
	<-waits
	if _, err := mallory.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	err = <-done
	var foreign *migrations.ForeignError
	if !errors.As(err, &foreign) || !strings.Contains(foreign.Detail(), "schema mtbreactive belongs to role "+name) {
		t.Errorf("error %v", err)
	}
}
