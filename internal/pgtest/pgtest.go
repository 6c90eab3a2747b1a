// Package pgtest gives tests a real PostgreSQL (14 or later): one cluster for the whole test binary, with a fresh
// database for each test that asks, and clusters of their own for tests that stop or crash the server.
//
//	func TestMain(m *testing.M) { pgtest.Main(m) }
//
//	func TestOrders(t *testing.T) {
//		url := pgtest.Database(t)
//		pgtest.Exec(t, url, "create table orders (id int primary key)")
//		...
//	}
//
// The programs of the folder REACTIVE_TEST_PG_BIN are used, else those found on the machine, else they are fetched.
//
// The package must not know what is tested: no schemas, no publications, none of our packages but cluster.
package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/internal/cluster"
)

// shared is the test binary's cluster. It has to be a package variable: testing hands nothing from TestMain to tests.
var shared sharedCluster //nolint:gochecknoglobals // see above

// sharedCluster is a cluster that starts when it is first asked for. It is safe for concurrent use.
type sharedCluster struct {
	mu       sync.Mutex
	cluster  *cluster.Cluster
	major    int
	failed   error
	sessions sessions
}

func (s *sharedCluster) get() (*cluster.Cluster, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil && s.failed == nil {
		// Not the context of the test that happens to be first: the cluster serves those after it as well.
		s.cluster, s.failed = start(context.Background(), map[string]string{
			"wal_level":             "logical",
			"max_replication_slots": "100",
			"max_wal_senders":       "100",
			"max_connections":       "300",
			"fsync":                 "off",
			"autovacuum":            "off", // no database lives long enough
		})
		if s.failed == nil {
			s.sessions.keep(s.cluster.URL("postgres"))
			s.major, s.failed = majorOf(context.Background(), s.cluster.URL("postgres"))
		}
	}
	return s.cluster, s.failed
}

func majorOf(ctx context.Context, url string) (major int, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	err = connected(ctx, url, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, "select current_setting('server_version_num')::int / 10000").Scan(&major)
	})
	return major, err
}

func (s *sharedCluster) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cluster == nil {
		return nil
	}
	err := s.cluster.Close()
	s.cluster = nil
	return err
}

// Main runs the tests and ends the shared cluster. It is to be all that TestMain does, and does not return. m is the
// *testing.M, or what runs it between preparations of its own. A test binary that dies on its way, by a panic or a timeout, leaves no server either: the cluster's guard sees to that.
func Main(m interface{ Run() int }) {
	code := m.Run()
	if err := shared.close(); err != nil {
		fmt.Fprintln(os.Stderr, "close the tests' cluster:", err)
		code = 1
	}
	os.Exit(code)
}

// Cluster starts a cluster of the test's own, with the given settings, and ends it with the test. Without settings it
// has PostgreSQL's defaults.
func Cluster(t testing.TB, settings map[string]string) *cluster.Cluster {
	t.Helper()
	c, err := start(t.Context(), settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the server's log:\n%s", c.Log())
		}
		if err := c.Close(); err != nil {
			t.Errorf("close the test's cluster: %v", err)
		}
	})
	return c
}

// Major gives the major version of the servers that the tests use, such as 18.
func Major(t testing.TB) int {
	t.Helper()
	if _, err := shared.get(); err != nil {
		t.Fatal(err)
	}
	return shared.major
}

// Exec runs each of the statements at url, every one in a transaction of its own, and fails the test on an error. One
// that holds several statements, separated by semicolons, runs as one transaction. It may be called in cleanups too.
func Exec(t testing.TB, url string, sql ...string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := connected(ctx, url, func(ctx context.Context, conn *pgx.Conn) error {
		for _, statement := range sql {
			// The simple protocol, which takes several statements at once.
			if _, err := conn.PgConn().Exec(ctx, statement).ReadAll(); err != nil {
				return fmt.Errorf("%s: %w", statement, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Query reads one value at url, and fails the test on an error. It may be called in cleanups too.
func Query[T any](t testing.TB, url, sql string, args ...any) (value T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	err := connected(ctx, url, func(ctx context.Context, conn *pgx.Conn) error {
		return conn.QueryRow(ctx, sql, args...).Scan(&value)
	})
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

// CloseIdleSessions closes the connections that are kept for the next Exec or Query. Whoever looks for goroutines that are left
// calls it before: pgx reads in one of its own where a write took long, and that one may wait for the next answer.
func CloseIdleSessions() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	shared.sessions.endIdle(ctx)
}

// start starts a cluster. What it logs, such as a fetch that takes its time, goes to stderr.
func start(ctx context.Context, settings map[string]string) (*cluster.Cluster, error) {
	log, err := zap.NewDevelopment()
	if err != nil {
		return nil, fmt.Errorf("make a logger: %w", err)
	}
	c, err := cluster.New(ctx, cluster.Options{
		BinDir:   os.Getenv("REACTIVE_TEST_PG_BIN"),
		Settings: settings,
		Fetch:    &cluster.Fetch{},
		Log:      log,
	})
	if err != nil {
		return nil, fmt.Errorf("make a cluster for the tests: %w", err)
	}
	return c, nil
}

// connected runs do with a connection to url, which is as good as new.
func connected(ctx context.Context, url string, do func(context.Context, *pgx.Conn) error) (err error) {
	conn := shared.sessions.take(ctx, url)
	if conn == nil {
		config, err := pgx.ParseConfig(url)
		if err != nil {
			return err
		}
		config.DefaultQueryExecMode = pgx.QueryExecModeExec // nothing is prepared that would have to be remembered
		if conn, err = pgx.ConnectConfig(ctx, config); err != nil {
			return err
		}
	}
	if err = do(ctx, conn); err == nil && shared.sessions.give(ctx, url, conn) {
		return nil
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return errors.Join(err, conn.Close(closing))
}
