package wal_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// acknowledged tells whether the slot has come to a position.
func (g *gateway) acknowledged(t testing.TB, position string) bool {
	t.Helper()
	return query[bool](t, g.server.Pool, "select confirmed_flush_lsn >= $2::text::pg_lsn from pg_replication_slots where slot_name = $1", g.server.Slot, position)
}

// written is the end of what was written to the log.
func (g *gateway) written(t testing.TB) string {
	t.Helper()
	return query[string](t, g.server.Pool, "select pg_current_wal_insert_lsn()::text")
}

func alterDatabase(t testing.TB, url, setting string) {
	t.Helper()
	pgtest.Exec(t, url, "do $$ begin execute format('alter database %I set "+setting+"', current_database()); end $$")
}

func TestP14StatusWhileBlocked(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	alterDatabase(t, url, "wal_sender_timeout = ''2s''")
	g := launch(t, url, 1) // bytes: one transaction waits at a time
	g.live(t)
	walsender := g.walsender(t)
	release := g.hold(t)
	for i := range 5 {
		pgtest.Exec(t, url, fmt.Sprintf("insert into orders values (%d, 'bread')", i))
	}
	// Three times the server's patience, on its own clock.
	pgtest.Exec(t, url, "select pg_sleep(6)")
	if got := g.walsender(t); got != walsender {
		t.Errorf("walsender %d serves us, was %d: the server gave the first one up", got, walsender)
	}
	release()
	g.expect(t, "insert orders 0,bread", "insert orders 1,bread", "insert orders 2,bread", "insert orders 3,bread", "insert orders 4,bread")
	if got := g.source.Stats().Connects; got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
}

// The transaction that waits for room when its connection breaks is neither lost nor doubled.
func TestP16ConnectionBreaksWhileTheHandoffIsFull(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	alterDatabase(t, url, "wal_sender_timeout = ''2s''") // so that a status is sent, and fails, soon
	g := launch(t, url, 1)
	g.live(t)
	release := g.hold(t)
	var want []string
	for i := range 5 {
		pgtest.Exec(t, url, fmt.Sprintf("insert into orders values (%d, 'bread')", i))
		want = append(want, fmt.Sprintf("insert orders %d,bread", i))
	}
	pgtest.Exec(t, url, fmt.Sprintf("select pg_terminate_backend(%d)", g.walsender(t)))
	eventually(t, "the source notices", func() bool { return g.source.Stats().State != wal.Live })
	release()
	g.expect(t, want...)
	pgtest.Exec(t, url, "insert into orders values (5, 'wine')")
	g.expect(t, append(want, "insert orders 5,wine")...)
	before := query[string](t, g.server.Pool, "select commit_lsn::text from mtbreactive.checkpoint")
	eventually(t, "all is acknowledged", func() bool {
		const saved = "select commit_lsn > $1::text::pg_lsn and confirmed_flush_lsn >= end_lsn from mtbreactive.checkpoint join pg_replication_slots on slot_name = slot"
		return query[bool](t, g.server.Pool, saved, before)
	})
}

func TestTerminatedWalsenderIsReplaced(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
	g.expect(t, "insert orders 1,bread")
	pgtest.Exec(t, url, fmt.Sprintf("select pg_terminate_backend(%d)", g.walsender(t)), "insert into orders values (2, 'wine')")
	g.expect(t, "insert orders 1,bread", "insert orders 2,wine")
}

func TestP04IdleLogIsAcknowledged(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url, "create table unpublished (id int)", "insert into unpublished select generate_series(1, 20000)")
	written := g.written(t)
	const retained = "select pg_wal_lsn_diff($2::text::pg_lsn, confirmed_flush_lsn)::bigint from pg_replication_slots where slot_name = $1"
	eventually(t, "the server may drop its log", func() bool { return query[int64](t, g.server.Pool, retained, g.server.Slot, written) < 1<<20 })
	g.expect(t)
}

// What the checkpoint writes to the log is not worth another checkpoint: an idle server stays idle.
func TestP04IdleServerIsNotWrittenTo(t *testing.T) {
	t.Parallel()
	url := pgtest.Cluster(t, map[string]string{"wal_level": "logical"}).URL("postgres") // where nobody else writes
	pgtest.Exec(t, url, orders)
	g := start(t, url)
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
	g.expect(t, "insert orders 1,bread")
	const saved = "select saved_at::text from mtbreactive.checkpoint where commit_lsn > '0/0'"
	eventually(t, "it is noted", func() bool { return query[string](t, g.server.Pool, saved) != "" })
	first := query[string](t, g.server.Pool, saved)
	// Several times as long as from one checkpoint to the next, while somebody writes a little that is not published.
	pgtest.Exec(t, url, "create table unpublished (id int)", "select pg_sleep(2)", "insert into unpublished values (1)", "select pg_sleep(2)")
	if last := query[string](t, g.server.Pool, saved); last != first {
		t.Errorf("the checkpoint was saved again, at %s after %s, though nothing was delivered", last, first)
	}
}

// The position that is acknowledged never passes what was delivered, and the log is kept for it.
func TestP01NothingIsAcknowledgedBeforeItIsDelivered(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	alterDatabase(t, url, "wal_sender_timeout = ''1s''")
	g := start(t, url)
	release := g.hold(t)
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
	behind := g.written(t)
	eventually(t, "it is received", func() bool { return g.source.Stats().Transactions == 1 })
	seen := g.source.Stats().ServerEnd
	pgtest.Exec(t, url, "create table unpublished (id int)", "insert into unpublished select generate_series(1, 1000)")
	eventually(t, "a keepalive came from behind", func() bool { return g.source.Stats().ServerEnd > seen })
	pgtest.Exec(t, url, "select pg_sleep(1)") // the time of three statuses
	if g.acknowledged(t, behind) {
		t.Error("the slot has moved beyond a transaction that nobody has got")
	}
	release()
	g.expect(t, "insert orders 1,bread")
	eventually(t, "it is acknowledged", func() bool { return g.acknowledged(t, behind) })
}

// A restarted gateway reads the log from where the slot stands, also what was delivered before: its sink has to know it. The
// first transaction ends where the second one may commit.
func TestP02RestartBuildsTheLogOfTheSinkAnew(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	first := start(t, url)
	first.needs(first.started()[0].From)
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')", "insert into orders values (2, 'wine')")
	first.expect(t, "insert orders 1,bread", "insert orders 2,wine")
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, "insert into orders values (3, 'beer')")
	second := start(t, url)
	second.expect(t, "insert orders 1,bread", "insert orders 2,wine", "insert orders 3,beer")
	if was, is := first.started()[0], second.started()[0]; was != is {
		t.Errorf("the stream began with %+v, and after the restart with %+v", was, is)
	}
	// Within the process what is sent again is left out.
	pgtest.Exec(t, url, fmt.Sprintf("select pg_terminate_backend(%d)", second.walsender(t)), "insert into orders values (4, 'milk')")
	second.expect(t, "insert orders 1,bread", "insert orders 2,wine", "insert orders 3,beer", "insert orders 4,milk")
}

// What the sink does not need is not sent again, once it is noted.
func TestRestartedGatewayGoesOnWhereItStopped(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	first := start(t, url)
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
	first.expect(t, "insert orders 1,bread")
	written := query[string](t, first.server.Pool, "select pg_current_wal_flush_lsn()::text")
	eventually(t, "it is acknowledged", func() bool { return first.acknowledged(t, written) })
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, "insert into orders values (2, 'wine')")
	start(t, url).expect(t, "insert orders 2,wine")
}

// Whoever stops a gateway may use its slot at once.
func TestStoppedGatewayHasLetTheSlotGo(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	for range 10 {
		g := start(t, url)
		if err := g.stop(); err != nil {
			t.Fatal(err)
		}
		if pid := g.walsender(t); pid != 0 {
			t.Fatalf("process %d has the slot", pid)
		}
	}
}

func TestStopDeliversAndNotesWhatWasReceived(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	release := g.hold(t)
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
	eventually(t, "it is received", func() bool { return g.source.Stats().Transactions == 1 })
	stopped := make(chan error, 1)
	go func() { stopped <- g.stop() }()
	release()
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	g.expect(t, "insert orders 1,bread")
	const noted = "select reached_lsn >= end_lsn and released_lsn >= end_lsn and commit_lsn > '0/0' from mtbreactive.checkpoint where slot = $1"
	if !query[bool](t, g.server.Pool, noted, g.server.Slot) {
		t.Error("what was delivered is not in the checkpoint")
	}
}

func TestP12SecondGatewayWaitsAndTakesOver(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	first := start(t, url)
	second := launch(t, url, 1<<20)
	eventually(t, "the second waits", func() bool { return second.source.Stats().State == wal.Standby })
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
	first.expect(t, "insert orders 1,bread")
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	second.live(t)
	pgtest.Exec(t, url, "insert into orders values (2, 'wine')")
	second.awaitLine(t, "insert orders 2,wine")
	if first.epoch() != second.epoch() {
		t.Errorf("the epoch was %s and is %s: clients could not go on where they were", first.epoch(), second.epoch())
	}
}

func TestP09FastShutdownAndP06CrashOfTheServer(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	url := cluster.URL("postgres")
	pgtest.Exec(t, url, orders)
	g := start(t, url)
	want := []string{}
	insert := func(item string) {
		t.Helper()
		want = append(want, fmt.Sprintf("insert orders %d,%s", len(want), item))
		pgtest.Exec(t, url, fmt.Sprintf("insert into orders values (%d, '%s')", len(want)-1, item))
		g.expect(t, want...)
	}
	insert("bread")
	// A server that shuts down waits for its walsenders' clients to confirm all. Stop fails when that takes too long.
	if err := cluster.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.live(t)
	insert("wine")
	for range 2 {
		insert("just before the crash")
		if err := cluster.Immediate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := cluster.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		insert("after the crash") // and nothing else with it
	}
}

func TestP08DroppedSlotIsMadeAnew(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
	g.expect(t, "insert orders 1,bread")
	pgtest.Exec(t, url, fmt.Sprintf(`do $$ begin
			while exists (select from pg_replication_slots where slot_name = '%[1]s') loop
				begin
					perform pg_terminate_backend(active_pid, 1000) from pg_replication_slots where slot_name = '%[1]s';
					perform pg_drop_replication_slot('%[1]s');
				exception when object_in_use then null;
				end;
			end loop;
		end $$`, g.server.Slot), "insert into orders values (2, 'lost')")
	reset := "reset " + string(cdc.ResetSlotLost)
	g.awaitLine(t, reset)
	g.live(t)
	pgtest.Exec(t, url, "insert into orders values (3, 'wine')")
	g.awaitLine(t, "insert orders 3,wine")
	if got, want := g.recorded(), []string{"insert orders 1,bread", reset, "insert orders 3,wine"}; !slices.Equal(without(got, "insert orders 2"), want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
}

// Ended walsenders free the slot for a moment, in which somebody else skips what it has.
func TestP08SlotAdvancedBySomebodyElse(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url, fmt.Sprintf(`do $$ declare slot text := '%s'; begin
		perform pg_terminate_backend(active_pid, 10000) from pg_replication_slots where slot_name = slot;
		insert into orders values (1, 'skipped');
		commit;
		perform pg_replication_slot_advance(slot, pg_current_wal_insert_lsn());
	end $$`, g.server.Slot))
	g.awaitLine(t, "reset "+string(cdc.ResetSlotLost))
	g.live(t)
	pgtest.Exec(t, url, "insert into orders values (2, 'wine')")
	g.expect(t, "reset slot_lost", "insert orders 2,wine")
}

func TestP10SlotLostToTheLimitOfRetainedLog(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Cluster(t, map[string]string{
		"wal_level": "logical", "max_slot_wal_keep_size": "16MB", "max_wal_size": "32MB", "min_wal_size": "32MB", "fsync": "off",
	})
	url := cluster.URL("postgres")
	pgtest.Exec(t, url, orders)
	g := launch(t, url, 1)
	g.live(t)
	release := g.hold(t)
	for i := range 6 {
		pgtest.Exec(t, url, fmt.Sprintf("insert into orders values (%d, 'bread')", i), "select pg_switch_wal()", "checkpoint")
	}
	release()
	reset := "reset " + string(cdc.ResetSlotLost)
	g.awaitLine(t, reset)
	g.live(t)
	pgtest.Exec(t, url, "insert into orders values (100, 'wine')")
	g.awaitLine(t, "insert orders 100,wine")
	lines := g.recorded()
	if slices.Index(lines, reset) < slices.Index(lines, "insert orders 0,bread") {
		t.Errorf("the reset came before what was delivered: %q", lines)
	}
}

func TestP38PublicationDroppedForAWhile(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
	g.expect(t, "insert orders 1,bread")
	pgtest.Exec(t, url, `drop publication "`+publication+`"`, "insert into orders values (2, 'lost')")
	// Then the slot is made anew, and whoever came in between starts over too.
	g.await(t, func(lines []string) bool { return len(lines) == 3 })
	g.live(t)
	pgtest.Exec(t, url, "insert into orders values (3, 'wine')")
	g.awaitLine(t, "insert orders 3,wine")
	want := []string{"insert orders 1,bread", "reset publication", "reset publication", "insert orders 3,wine"}
	if got := g.recorded(); !slices.Equal(got, want) {
		t.Errorf("delivered %q, want %q", got, want)
	}
}

func TestP38TableDroppedWithThePublication(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create table member (id int primary key)")
	g := start(t, url)
	pgtest.Exec(t, url, `drop publication "`+publication+`"; drop table member; insert into orders values (1, 'lost')`)
	g.await(t, func(lines []string) bool { return len(lines) == 2 && lines[1] == "reset publication" })
	g.live(t)
	pgtest.Exec(t, url, "insert into orders values (2, 'wine')")
	g.awaitLine(t, "insert orders 2,wine")
}

// With setup: check the gateway may not make the slot anew. It ends, and says how the operator does it.
func TestP38PublicationGapIsRefusedWithTheSQLThatMends(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := run(t, url, wal.SetupCheck, 1<<20)
	defer func() { _ = g.stop() }()
	g.live(t)
	pgtest.Exec(t, url, `alter publication "`+publication+`" rename to other`, "insert into orders values (1, 'lost')")
	<-g.ended
	var refusal *wal.SetupError
	if err := g.stop(); !errors.As(err, &refusal) {
		t.Fatalf("the gateway ended with %v, want a SetupError", err)
	}
	eventually(t, "the slot is free", func() bool { return g.walsender(t) == 0 })
	pgtest.Exec(t, url, `alter publication other rename to "`+publication+`"`, refusal.Findings[0].Fix)
	again := run(t, url, wal.SetupCheck, 1<<20)
	again.live(t)
	pgtest.Exec(t, url, "insert into orders values (2, 'wine')")
	again.awaitLine(t, "insert orders 2,wine")
	if err := again.stop(); err != nil {
		t.Error(err)
	}
}

// The server comes back from a recovery, on a timeline of its own: what it has may not be what we saw.
func TestP17AnotherTimelineIsAReset(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Cluster(t, map[string]string{"wal_level": "logical", "restore_command": "false"})
	url := cluster.URL("postgres")
	pgtest.Exec(t, url, orders)
	g := start(t, url)
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')", "copy (select 1) to program 'cat > recovery.signal'")
	g.expect(t, "insert orders 1,bread")
	if err := cluster.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.awaitLine(t, "reset "+string(cdc.ResetTimeline))
	g.live(t)
	pgtest.Exec(t, url, "insert into orders values (2, 'wine')")
	g.awaitLine(t, "insert orders 2,wine")
	const checkpointed = "select timeline = (select timeline_id from pg_control_checkpoint()) from mtbreactive.checkpoint"
	eventually(t, "the checkpoint is of the new timeline", func() bool { return query[bool](t, g.server.Pool, checkpointed) })
}

// A copy of the server's files is brought back: nothing in it says so but that its log ends before what we saw. What is
// written from then on comes at positions that we have passed.
func TestP17FilesBroughtBackAreAReset(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	url := cluster.URL("postgres")
	pgtest.Exec(t, url, orders)
	g := start(t, url)
	files := query[string](t, g.server.Pool, "show data_directory")
	pgtest.Exec(t, url, "checkpoint", "copy (select 1) to program 'cat > /dev/null; cp -a . ../copy'",
		"insert into orders values (1, 'bread')", "insert into orders select n, repeat('x', 1000) from generate_series(100, 199) n")
	g.await(t, func(lines []string) bool { return len(lines) == 101 })
	if err := cluster.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(files); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(filepath.Dir(files), "copy"), files); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, "insert into orders values (2, 'wine')")
	g.awaitLine(t, "insert orders 2,wine")
	if lines := g.recorded(); !slices.Contains(lines, "reset "+string(cdc.ResetTimeline)) {
		t.Error("clients were not told that rows are gone")
	}
}

func TestStatsTellOfTheStream(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	g := start(t, url)
	pgtest.Exec(t, url, "insert into orders values (1, 'bread'); insert into orders values (2, 'wine')")
	g.expect(t, "insert orders 1,bread", "insert orders 2,wine")
	eventually(t, "there is no lag", func() bool { s := g.source.Stats(); return s.LagBytes == 0 && s.Lag == 0 })
	s := g.source.Stats()
	if s.Transactions != 1 || s.Changes != 2 || s.Connects != 1 || !s.WasLive || s.State.String() != "live" {
		t.Errorf("stats %+v", s)
	}
	release := g.hold(t)
	pgtest.Exec(t, url, "insert into orders values (3, 'beer')")
	eventually(t, "there is a lag", func() bool { s := g.source.Stats(); return s.LagBytes > 0 && s.Lag > 0 })
	release()
}
