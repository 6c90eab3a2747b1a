package cluster

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgproto3"
)

func TestServerComesBackOnItsPortAndData(t *testing.T) {
	c := newCluster(t, Options{})
	address := c.URL("postgres")
	execute(t, c, "create table orders (id int primary key)")

	ways := []struct {
		name string
		do   func(context.Context) error
	}{
		{"restart", c.Restart},
		{"stop", c.Stop},
		{"immediate", c.Immediate},
		{"kill", func(context.Context) error { return c.Kill() }},
		{"stop twice", func(ctx context.Context) error { return errors.Join(c.Stop(ctx), c.Stop(ctx)) }},
	}
	for i, way := range ways {
		execute(t, c, "insert into orders values ($1)", i)
		check(t, way.name, way.do(t.Context()))
		check(t, "start after "+way.name, c.Start(t.Context()))
		if got := query[int](t, c, "select count(*) from orders"); got != i+1 {
			t.Errorf("after %s: %d orders, want %d", way.name, got, i+1)
		}
	}
	if got := c.URL("postgres"); got != address {
		t.Errorf("the URL became %s, was %s", got, address)
	}
}

func TestStopEndsTheServer(t *testing.T) {
	c := newCluster(t, Options{})
	check(t, "stop", c.Stop(t.Context()))
	if err := portFree(c.port); err != nil {
		t.Errorf("the port of a stopped server: %v", err)
	}
}

// A walsender waits in a fast shutdown until its client has confirmed all WAL. This client never does.
func TestStopGivesUpOnAClientThatConfirmsNothing(t *testing.T) {
	c := newCluster(t, Options{Settings: map[string]string{"wal_level": "logical"}})
	execute(t, c, "create table orders (id int)")
	execute(t, c, "create publication orders for table orders")
	execute(t, c, "select pg_create_logical_replication_slot('orders', 'pgoutput')")

	sender, err := pgx.Connect(t.Context(), c.URL("postgres")+"&replication=database")
	check(t, "connect", err)
	defer func() { _ = sender.PgConn().Close(context.Background()) }() // broken by then
	front := sender.PgConn().Frontend()
	front.Send(&pgproto3.Query{String: `START_REPLICATION SLOT orders LOGICAL 0/0 (proto_version '1', publication_names 'orders')`})
	check(t, "start replication", front.Flush())
	execute(t, c, "insert into orders values (1)")
	for row := false; !row; { // until the walsender has sent what will not be confirmed
		message, err := front.Receive()
		check(t, "receive", err)
		data, ok := message.(*pgproto3.CopyData)
		row = ok && len(data.Data) > 25 && data.Data[0] == 'w' && data.Data[25] == 'I'
	}

	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := c.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Stop with a client that confirms nothing: %v, want the deadline's error", err)
	}
	if err := portFree(c.port); err != nil {
		t.Errorf("the port of a server that was shut down the hard way: %v", err)
	}
}

func TestFolderIsKept(t *testing.T) {
	dir := filepath.Join(sharedFolder(t), "made", "by", "New")
	first := newCluster(t, Options{Dir: dir})
	execute(t, first, "create table orders (id int)")
	check(t, "close", first.Close())
	second := newCluster(t, Options{Dir: dir})
	if got := query[int](t, second, "select count(*) from orders"); got != 0 {
		t.Errorf("%d orders in the reused folder, want the empty table", got)
	}
}

func TestHalfMadeFolderIsMadeAnew(t *testing.T) {
	dir := sharedFolder(t)
	check(t, "leave half a cluster", os.Mkdir(filepath.Join(dir, "data.new"), 0o700))
	check(t, "leave half a cluster", os.WriteFile(filepath.Join(dir, "data.new", "PG_VERSION"), []byte("15\n"), 0o600))
	owner, err := serverAccount()
	check(t, "account", err)
	check(t, "close to others", os.Chmod(dir, 0o700))
	made, err := openFolder(dir, owner)
	check(t, "open", err)
	check(t, "own", made.own("."))
	check(t, "close", made.close())
	if got := query[int](t, newCluster(t, Options{Dir: dir}), "select 1"); got != 1 {
		t.Errorf("select 1 gives %d", got)
	}
}

func TestSettings(t *testing.T) {
	const odd = `it's a \ and a # and "two" words`
	c := newCluster(t, Options{Settings: map[string]string{"work_mem": "3MB", "shop.motto": odd}})
	if got := query[string](t, c, "show work_mem"); got != "3MB" {
		t.Errorf("work_mem is %s, want 3MB", got)
	}
	if got := query[string](t, c, "show shop.motto"); got != odd {
		t.Errorf("shop.motto is %s, want %s", got, odd)
	}
	execute(t, c, "alter system set work_mem = '5MB'")
	check(t, "restart", c.Restart(t.Context()))
	if got := query[string](t, c, "show work_mem"); got != "5MB" {
		t.Errorf("work_mem is %s after ALTER SYSTEM and a restart, want 5MB", got)
	}
}

func TestSettingThatWouldBreakTheFileIsRefused(t *testing.T) {
	for _, settings := range []map[string]string{
		{"work_mem": "3MB\nfsync = off"},
		{"work_mem = 3MB # ": "1"},
		{"": "1"},
	} {
		if _, err := configFile(settings); err == nil {
			t.Errorf("%q was accepted", settings)
		}
	}
}

func TestFailedStartTellsWhyAndLeavesNothing(t *testing.T) {
	temp := sharedFolder(t)
	t.Setenv("TMPDIR", temp)
	_, err := New(t.Context(), Options{BinDir: binDir(), Settings: map[string]string{"shared_buffers": "plenty"}})
	var failed *ServerError
	if !errors.As(err, &failed) {
		t.Fatalf("New: %v, want a ServerError", err)
	}
	if !strings.Contains(failed.Log, `"shared_buffers": "plenty"`) {
		t.Errorf("the log that the error has does not name the bad setting:\n%s", failed.Log)
	}
	expectEmpty(t, temp)
}

func TestEndedContextLeavesNothing(t *testing.T) {
	programs, temp := wrappedPrograms(t), sharedFolder(t)
	t.Setenv("TMPDIR", temp)
	begun := filepath.Join(programs, "begun")
	script := "#!/bin/sh\n[ \"$1\" = --version ] && exec echo 'initdb (PostgreSQL) 18.1'\ntouch " + begun + "\nexec sleep 1000\n"
	check(t, "write", os.WriteFile(filepath.Join(programs, "initdb"), []byte(script), 0o755))

	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() {
		_, err := New(ctx, Options{BinDir: programs})
		ended <- err
	}()
	waitUntil(t, "initdb runs", func(context.Context) bool {
		_, err := os.Stat(begun)
		return err == nil
	})
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("New: %v, want the ended context's error", err)
	}
	expectEmpty(t, temp)
}

func TestCloseRemovesTheFolder(t *testing.T) {
	temp := sharedFolder(t)
	t.Setenv("TMPDIR", temp)
	c := newCluster(t, Options{})
	check(t, "close", c.Close())
	expectEmpty(t, temp)
	check(t, "close again", c.Close())
}

// Another server answers on the port, and ours ends because the port is taken: that must not pass for ready.
func TestServerOnTheSamePortIsNotOurs(t *testing.T) {
	other, c := newCluster(t, Options{}), newCluster(t, Options{})
	check(t, "stop", c.Stop(t.Context()))
	c.port = other.port
	var failed *ServerError
	if err := c.Start(t.Context()); !errors.As(err, &failed) {
		t.Errorf("start on a taken port: %v, want a ServerError", err)
	}
}

func TestTakenPortIsReplaced(t *testing.T) {
	c := newCluster(t, Options{})
	check(t, "stop", c.Stop(t.Context()))
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, "listen", err)
	defer func() { _ = taken.Close() }()

	free := c.port
	choices := []int{taken.Addr().(*net.TCPAddr).Port, free}
	err = c.startOn(t.Context(), func() (int, error) {
		choice := choices[0]
		choices = choices[1:]
		return choice, nil
	})
	check(t, "start", err)
	if !strings.Contains(c.URL("postgres"), ":"+strconv.Itoa(free)+"/") {
		t.Errorf("the URL is %s, want the second port chosen, %d", c.URL("postgres"), free)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var log tail
	log.mark()
	if got := log.sinceMark(); got != "" {
		t.Errorf("an empty log gives %q", got)
	}
	for i := range 200_000 {
		_, _ = log.Write([]byte("line " + strconv.Itoa(i) + "\n"))
	}
	if got := log.String(); len(got) < tailLimit || len(got) > 2*tailLimit || !strings.HasSuffix(got, "line 199999\n") {
		t.Errorf("%d bytes kept, that end with %q", len(got), got[len(got)-20:])
	}
	log.mark()
	_, _ = log.Write([]byte("the last"))
	if got := log.sinceMark(); got != "the last" {
		t.Errorf("since the mark %q, want what was written after it", got)
	}
}

// newCluster makes a cluster with the tests' programs, and closes it with the test.
func newCluster(t *testing.T, opts Options) *Cluster {
	t.Helper()
	if opts.BinDir == "" {
		opts.BinDir = binDir()
	}
	c, err := New(t.Context(), opts)
	check(t, "make a cluster", err)
	t.Cleanup(func() { check(t, "close", c.Close()) })
	return c
}

func binDir() string { return os.Getenv("REACTIVE_TEST_PG_BIN") }

// sharedFolder is a temporary folder that the server's account may enter, unlike t.TempDir's.
func sharedFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "reactive-gw-test-")
	check(t, "make folder", err)
	check(t, "open folder", os.Chmod(dir, 0o777))
	t.Cleanup(func() { check(t, "remove folder", os.RemoveAll(dir)) })
	return dir
}

func expectEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	check(t, "read folder", err)
	if len(left) > 0 {
		t.Errorf("left behind in %s: %v", dir, left)
	}
}

func query[T any](t *testing.T, c *Cluster, sql string) (value T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.URL("postgres"))
	check(t, "connect", err)
	defer func() { check(t, "close connection", conn.Close(context.Background())) }()
	check(t, sql, conn.QueryRow(t.Context(), sql).Scan(&value))
	return value
}

func execute(t *testing.T, c *Cluster, sql string, args ...any) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), c.URL("postgres"))
	check(t, "connect", err)
	defer func() { check(t, "close connection", conn.Close(context.Background())) }()
	_, err = conn.Exec(t.Context(), sql, args...)
	check(t, sql, err)
}

func check(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

func TestPasswordKeepsOthersOutAndIsKept(t *testing.T) {
	dir := filepath.Join(sharedFolder(t), "kept")
	first := newCluster(t, Options{Dir: dir, Password: true})
	own, err := url.Parse(first.URL("postgres"))
	check(t, "parse", err)
	if password, _ := own.User.Password(); len(password) < 20 {
		t.Errorf("the password is %q", password)
	}
	execute(t, first, "create table orders (id int)")
	others := *own
	others.User = url.User(superuser)
	if conn, err := pgx.Connect(t.Context(), others.String()); err == nil {
		_ = conn.Close(t.Context())
		t.Error("the superuser gets in without a password")
	}
	check(t, "close", first.Close())
	second := newCluster(t, Options{Dir: dir, Password: true})
	if got := query[int](t, second, "select count(*) from orders"); got != 0 {
		t.Errorf("%d orders in the reused folder, want the empty table", got)
	}
}
