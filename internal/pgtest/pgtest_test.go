package pgtest_test

import (
	"context"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

func TestDatabaseIsFresh(t *testing.T) {
	for range 2 {
		url := pgtest.Database(t)
		pgtest.Exec(t, url, "create table orders (id int)", "insert into orders values (1); insert into orders values (2)")
		if got := pgtest.Query[int](t, url, "select count(*) from orders"); got != 2 {
			t.Errorf("%d orders, want the 2 of this database", got)
		}
	}
}

func TestSharedClusterReplicatesLogically(t *testing.T) {
	url := pgtest.Database(t)
	if got := pgtest.Query[string](t, url, "show wal_level"); got != "logical" {
		t.Errorf("wal_level is %s", got)
	}
}

// The client under test reads a slot, and comes back at once whenever it is thrown out.
func TestDatabaseIsDroppedUnderAStubbornClient(t *testing.T) {
	const slots = "select count(*) from pg_replication_slots where slot_name = 'stubborn'"
	var url string
	maintenance := pgtest.Database(t)
	t.Run("test with a client", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		ended, reading := make(chan struct{}), make(chan struct{}, 1)
		t.Cleanup(func() { cancel(); <-ended }) // after the drop: cleanups run last to first
		url = pgtest.Database(t)
		pgtest.Exec(t, url, "select pg_create_logical_replication_slot('stubborn', 'pgoutput')", "create publication everything for all tables")
		go func() {
			defer close(ended)
			for ctx.Err() == nil {
				read(ctx, url, reading)
			}
		}()
		<-reading
		if got := pgtest.Query[int](t, maintenance, slots+" and active"); got != 1 {
			t.Errorf("%d active slots before the drop, want 1", got)
		}
	})
	if got := pgtest.Query[int](t, maintenance, slots); got != 0 {
		t.Error("the slot is still there")
	}
	if conn, err := pgx.Connect(t.Context(), url); err == nil {
		t.Error("the database is still there")
		_ = conn.Close(t.Context())
	}
}

// read reads the slot until the connection breaks, and reports once the stream has started.
func read(ctx context.Context, url string, reading chan<- struct{}) {
	conn, err := pgx.Connect(ctx, url+"&replication=database")
	if err != nil {
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	front := conn.PgConn().Frontend()
	front.Send(&pgproto3.Query{String: `START_REPLICATION SLOT stubborn LOGICAL 0/0 (proto_version '1', publication_names 'everything')`})
	if front.Flush() != nil {
		return
	}
	for {
		message, err := front.Receive()
		if err != nil {
			return
		}
		if _, ok := message.(*pgproto3.CopyBothResponse); ok {
			select {
			case reading <- struct{}{}:
			default:
			}
		}
	}
}

func TestClusterIsTheTestsOwn(t *testing.T) {
	c := pgtest.Cluster(t, map[string]string{"wal_level": "replica"})
	if got := pgtest.Query[string](t, c.URL("postgres"), "show wal_level"); got != "replica" {
		t.Errorf("wal_level is %s, want the test's own setting", got)
	}
}

func TestExecFailsTheTestOnAnError(t *testing.T) {
	url := pgtest.Database(t)
	failed := &failing{TB: t}
	done := make(chan struct{})
	go func() { // Fatal ends its goroutine
		defer close(done)
		pgtest.Exec(failed, url, "create table orders (id int)", "insert into order values (1)", "drop table orders")
	}()
	<-done
	if !strings.Contains(failed.why, "insert into order values (1)") {
		t.Errorf("failed with %q, want the statement that is wrong", failed.why)
	}
	pgtest.Exec(t, url, "drop table orders") // still there: nothing runs after an error
}

func TestMainLeavesNothing(t *testing.T) {
	temp, err := os.MkdirTemp("", "reactive-gw-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(temp) })
	if err := os.Chmod(temp, 0o777); err != nil { // the server's account must enter
		t.Fatal(err)
	}
	run := exec.Command(os.Args[0], "-test.run=^TestDatabaseIsFresh$")
	run.Env = append(os.Environ(), "TMPDIR="+temp)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
}

// Connections are used again, and nobody finds what another has left in one, or a dead one.
func TestASessionIsAsGoodAsNew(t *testing.T) {
	url := pgtest.Database(t)
	pgtest.Exec(t, url, "set timezone to 'Asia/Kolkata'", "create temp table cart (id int)", "select pg_advisory_lock(1)", "begin")
	pgtest.Exec(t, url, "set timezone to 'Asia/Kolkata'", "create temp table cart (id int)", "select pg_advisory_lock(1)")
	if got := pgtest.Query[string](t, url, "select current_setting('timezone') || coalesce(to_regclass('cart')::text, '') || pg_try_advisory_lock(1)"); strings.Contains(got, "Kolkata") || !strings.HasSuffix(got, "true") || strings.Contains(got, "cart") {
		t.Errorf("the session has %s", got)
	}
	before := pgtest.Query[int](t, url, "select pg_backend_pid()")
	if again := pgtest.Query[int](t, url, "select pg_backend_pid()"); again != before {
		t.Error("a new session was begun")
	}
	pgtest.Exec(t, pgtest.Database(t), "select pg_terminate_backend(pid, 10000) from pg_stat_activity where pid = "+strconv.Itoa(before))
	if after := pgtest.Query[int](t, url, "select pg_backend_pid()"); after == before {
		t.Error("a session that was ended answers")
	}
}
