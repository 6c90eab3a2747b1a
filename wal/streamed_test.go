package wal_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// eager is a database whose server streams whatever is bigger than the least that it can be told, in WAL that nobody else is
// to see.
func eager(t testing.TB, schema ...string) (url string) {
	t.Helper()
	url = database(t, append(schema, "create table unpublished (id int)")...)
	alterDatabase(t, url, "logical_decoding_work_mem = ''64kB''")
	return url
}

// fill makes the server's memory for the open transaction overflow, so that what was done before is sent.
const fill = "insert into unpublished select i from generate_series(1, 2000) i;"

// session is one connection to the database. It belongs to the test.
type session struct {
	t    testing.TB
	conn *pgx.Conn
}

func connect(t testing.TB, url string) *session {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return &session{t, conn}
}

func (s *session) exec(sql ...string) {
	s.t.Helper()
	for _, statement := range sql {
		if _, err := s.conn.PgConn().Exec(s.t.Context(), statement).ReadAll(); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}

// streamed waits until the source has what the session has written so far, and the given number of transactions in progress.
func (g *gateway) streamed(t testing.TB, inProgress int) {
	t.Helper()
	var end cdc.LSN
	if text := query[string](t, g.server.Pool, "select pg_current_wal_insert_lsn()::text"); text != "" {
		var err error
		if end, err = cdc.ParseLSN(text); err != nil {
			t.Fatal(err)
		}
	}
	// Something has to follow, or the server keeps the end of it to itself.
	pgtest.Exec(t, g.server.Pool.Config().ConnString(), "select pg_logical_emit_message(false, 'go', 'on')", "checkpoint")
	eventually(t, fmt.Sprintf("%d transactions are in progress", inProgress), func() bool {
		stats := g.source.Stats()
		return stats.InProgress == inProgress && stats.ServerEnd >= end
	})
}

// Of transactions in progress nothing is delivered, those that commit meanwhile are, and each comes whole, in the order of the
// commits, without what was rolled back.
func TestP54StreamedTransactionsAreDeliveredAtTheirCommit(t *testing.T) {
	t.Parallel()
	url := eager(t, orders)
	g := start(t, url)
	one, two, lost := connect(t, url), connect(t, url), connect(t, url)
	one.exec("begin", "insert into orders values (1, 'one')", fill)
	two.exec("begin", "insert into orders values (11, 'two')", fill)
	lost.exec("begin", "insert into orders values (21, 'lost')", fill)
	one.exec("savepoint a", "insert into orders values (2, 'gone')", fill, "savepoint b", "insert into orders values (3, 'gone')", fill)
	g.streamed(t, 3)
	pgtest.Exec(t, url, "insert into orders values (31, 'quick')")
	g.expect(t, "insert orders 31,quick")
	one.exec("rollback to a", "insert into orders values (4, 'one')", fill, "savepoint c", "insert into orders values (5, 'one')", fill, "release c")
	two.exec("update orders set item = 'changed' where id = 11", fill)
	lost.exec("rollback")
	g.streamed(t, 2)
	two.exec("commit")
	one.exec("insert into orders values (6, 'one')", "commit")
	g.expect(t, "insert orders 31,quick", "insert orders 11,two", "update orders 11,two -> 11,changed",
		"insert orders 1,one", "insert orders 4,one", "insert orders 5,one", "insert orders 6,one")
	if want := []int{1, 2, 4}; !slices.Equal(g.sizes, want) {
		t.Errorf("transactions of %v changes, want %v", g.sizes, want)
	}
	const retained = "select pg_wal_lsn_diff(pg_current_wal_lsn(), confirmed_flush_lsn)::bigint from pg_replication_slots where slot_name = $1"
	eventually(t, "the server may drop its log", func() bool { return query[int64](t, g.server.Pool, retained, g.server.Slot) < 1<<20 })
}

// A subtransaction's changes come with the identifier of the transaction that a snapshot knows, not their own.
func TestP24SubtransactionsAreTheTransactions(t *testing.T) {
	t.Parallel()
	url := eager(t, orders)
	g := start(t, url)
	s := connect(t, url)
	var xids []uint32
	for _, more := range []string{"", fill} { // the second is streamed
		s.exec("delete from orders")
		s.exec("begin", "savepoint a", "insert into orders values (1, 'a')", "savepoint b", "insert into orders values (2, 'b')")
		if more != "" {
			s.exec(more)
		}
		xids = append(xids, uint32(query[int64](t, g.server.Pool, "select backend_xid::text::bigint from pg_stat_activity where pid = $1", s.conn.PgConn().PID())))
		s.exec("commit")
	}
	g.await(t, func(lines []string) bool { return len(without(lines, "delete")) == 4 })
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, xid := range xids {
		if !slices.Contains(g.xids, xid) {
			t.Errorf("no transaction %d among %v", xid, g.xids)
		}
	}
}

// What a subtransaction did to a table is forgotten with it, also while its transaction goes on and others change the table.
func TestP34AlterTableInARolledBackSubtransaction(t *testing.T) {
	t.Parallel()
	url := eager(t, orders)
	g := start(t, url)
	s := connect(t, url)
	s.exec("begin", "insert into orders values (1, 'one')", fill, "savepoint a",
		"alter table orders add price int", "insert into orders values (2, 'gone', 5)", fill)
	g.streamed(t, 1)
	s.exec("rollback to a")
	pgtest.Exec(t, url, "insert into orders values (3, 'other')")
	s.exec("savepoint b", "alter table orders rename item to dish", "insert into orders values (4, 'gone')", fill, "rollback to b",
		"commit")
	pgtest.Exec(t, url, "insert into orders values (5, 'after')")
	g.expect(t, "insert orders 3,other", "insert orders 1,one", "insert orders 5,after")
	for _, table := range g.tables {
		if len(table.Columns) != 2 || table.Column("item") != 1 || !table.Columns[0].Key {
			t.Errorf("a change is of %+v", table)
		}
	}
}

// What a transaction creates is in no catalog until it commits: its keys and types are looked up then.
func TestP34TableAndTypeCreatedInAStreamedTransaction(t *testing.T) {
	t.Parallel()
	url := eager(t, orders)
	g := start(t, url)
	s := connect(t, url)
	s.exec("begin", "create type mood as enum ('glad')", "drop table orders", "create table orders (id int primary key, moods mood[])",
		"alter table orders replica identity full", `do $$ begin execute format('alter publication %I add table orders', '`+publication+`'); end $$`,
		"insert into orders values (1, '{glad}')", fill)
	g.streamed(t, 1)
	s.exec("commit")
	g.expect(t, "insert orders 1,{glad}")
	table := g.tables[0]
	if !table.Columns[0].Key || table.Columns[1].Key {
		t.Errorf("the key is not known: %+v", table.Columns)
	}
	if got := string(table.Columns[1].JSON(nil, []byte("{glad}"))); got != `["glad"]` {
		t.Errorf("the type is not known: %s", got)
	}
	pgtest.Exec(t, url, "insert into orders values (2, '{}')") // by what the transaction was told
	g.awaitLine(t, "insert orders 2,{}")
}

// A partition that a transaction creates has another replica identity than its table, which could not be seen while it was in
// progress: the transaction is read again rather than believed.
func TestP40PartitionCreatedInAStreamedTransaction(t *testing.T) {
	t.Parallel()
	url := eager(t, "create table payment (id int, region text, note text, primary key (id, region)) partition by list (region)",
		"create table payment_de partition of payment for values in ('de')")
	g := start(t, url)
	s := connect(t, url)
	s.exec("begin", "create table payment_us partition of payment for values in ('us')",
		"insert into payment values (1, 'us', 'paid')", "update payment set id = 2", fill)
	g.streamed(t, 1)
	s.exec("commit")
	g.expect(t, "insert payment 1,us,paid", "update payment 1,us,? -> 2,us,paid")
	if got := g.source.Stats().Connects; got != 2 {
		t.Errorf("%d connections, want 2", got)
	}
}

// A connection that breaks in the middle of a transaction takes what came of it along. The next one brings it anew.
func TestP16ConnectionBreaksWithinAStreamedTransaction(t *testing.T) {
	t.Parallel()
	url := eager(t, orders)
	g := start(t, url)
	s := connect(t, url)
	s.exec("begin", "insert into orders values (1, 'one')", fill)
	g.streamed(t, 1)
	pgtest.Exec(t, url, fmt.Sprintf("select pg_terminate_backend(%d)", g.walsender(t)))
	eventually(t, "the source streams again", func() bool { return g.source.Stats().Connects == 2 })
	s.exec("insert into orders values (2, 'one')", fill)
	g.streamed(t, 1)
	s.exec("commit")
	pgtest.Exec(t, url, "insert into orders values (3, 'next')")
	g.expect(t, "insert orders 1,one", "insert orders 2,one", "insert orders 3,next")
}

// With two_phase off a prepared transaction is none until it is committed, streamed or not.
func TestP25PreparedTransactions(t *testing.T) {
	t.Parallel()
	c := pgtest.Cluster(t, map[string]string{"wal_level": "logical", "max_prepared_transactions": "5", "logical_decoding_work_mem": "64kB", "fsync": "off"})
	url := c.URL("postgres")
	pgtest.Exec(t, url, orders, "create table unpublished (id int)")
	g := start(t, url)
	s := connect(t, url)
	s.exec("begin", "insert into orders values (1, 'small')", "prepare transaction 'small'",
		"begin", "insert into orders values (2, 'big')", fill, "prepare transaction 'big'",
		"begin", "insert into orders values (3, 'gone')", "prepare transaction 'gone'",
		"begin", "insert into orders values (4, 'gone')", fill, "prepare transaction 'big and gone'",
		"insert into orders values (5, 'other')")
	g.expect(t, "insert orders 5,other")
	pgtest.Exec(t, url, fmt.Sprintf("select pg_terminate_backend(%d)", g.walsender(t)))
	s.exec("commit prepared 'big'", "rollback prepared 'gone'", "rollback prepared 'big and gone'", "commit prepared 'small'")
	g.expect(t, "insert orders 5,other", "insert orders 2,big", "insert orders 1,small")
	eventually(t, "nothing is in progress", func() bool { return g.source.Stats().InProgress == 0 })
}

// A transaction is as large as it likes: past the bound it is on disk, and comes whole and in order all the same.
func TestP53HugeTransactionSpills(t *testing.T) {
	t.Parallel()
	const rows = 50_000
	url := eager(t, orders)
	dir := t.TempDir()
	g := startSpilling(t, url, cdc.Spill{Bytes: 256 << 10, Dir: dir})
	s := connect(t, url)
	s.exec("begin", fmt.Sprintf("insert into orders select i, 'item ' || i from generate_series(1, %d) i", rows))
	g.streamed(t, 1)
	if g.source.Stats().Spilled == 0 {
		t.Error("nothing is on disk")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("the files have names: %v, %v", left, err)
	}
	s.exec("commit")
	pgtest.Exec(t, url, "insert into orders values (0, 'next')")
	g.awaitLine(t, "insert orders 0,next")
	lines := g.recorded()
	if len(lines) != rows+1 || lines[0] != "insert orders 1,item 1" || lines[rows-1] != fmt.Sprintf("insert orders %d,item %d", rows, rows) {
		t.Errorf("%d changes, from %q to %q", len(lines), lines[0], lines[rows-1])
	}
	if stats := g.source.Stats(); stats.Spilled != 0 || stats.InProgress != 0 {
		t.Errorf("left in progress: %+v", stats)
	}
}

// Without room on the disk nothing of the transaction is delivered or acknowledged. When there is room, it comes.
func TestP55NoRoomToSpillDelaysButLosesNothing(t *testing.T) {
	t.Parallel()
	const rows = 20_000
	url := eager(t, orders)
	dir := filepath.Join(t.TempDir(), "spill")
	g := startSpilling(t, url, cdc.Spill{Bytes: 64 << 10, Dir: dir})
	pgtest.Exec(t, url, "insert into orders values (0, 'before')",
		fmt.Sprintf("insert into orders select i, 'item' from generate_series(1, %d) i", rows), "insert into orders values (-1, 'behind')")
	eventually(t, "the source gives up and tries again", func() bool { return g.source.Stats().Connects >= 2 })
	g.expect(t, "insert orders 0,before")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	g.awaitLine(t, "insert orders -1,behind")
	if want := []int{1, rows, 1}; !slices.Equal(g.sizes, want) {
		t.Errorf("transactions of %v changes, want %v", g.sizes, want)
	}
}

// A look-up in the catalog that has to wait must not look to the server like a gateway that is dead.
func TestP14StatusWhileTheCatalogDoesNotAnswer(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	alterDatabase(t, url, "wal_sender_timeout = ''2s''")
	g := start(t, url)
	walsender := g.walsender(t)
	pool := g.server.Pool
	var taken []*pgxpool.Conn
	for range pool.Config().MaxConns {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, conn)
	}
	// The first change makes the source ask for the table's key, and three times the server's patience passes.
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')", "select pg_sleep(6)")
	g.expect(t)
	for _, conn := range taken {
		conn.Release()
	}
	g.expect(t, "insert orders 1,bread")
	if got := g.walsender(t); got != walsender {
		t.Errorf("walsender %d serves us, was %d: the server gave the first one up", got, walsender)
	}
}

// startSpilling is start with another bound for the memory.
func startSpilling(t testing.TB, url string, spill cdc.Spill) *gateway {
	t.Helper()
	g := launch(t, url, 1<<20, func(s *wal.Source) { s.Spill = spill })
	g.live(t)
	return g
}
