package wal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// What was done to the server while no gateway ran is told by the epoch: clients know it, and come back with what they had.
func TestP08GapsWhileNoGatewayRunsEndTheEpoch(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		meanwhile string // %s is the slot
		reason    cdc.ResetReason
	}{
		"nothing":      {"select '%s'", ""},
		"slot dropped": {"select pg_drop_replication_slot('%s')", cdc.ResetSlotLost},
		"slot dropped and made anew": {"do $$ begin perform pg_drop_replication_slot('%[1]s'); commit; " +
			"perform pg_create_logical_replication_slot('%[1]s', 'pgoutput'); end $$", cdc.ResetSlotLost},
		"slot advanced":          {"select pg_replication_slot_advance('%s', pg_current_wal_flush_lsn())", cdc.ResetSlotLost},
		"slot read by somebody":  {"select count(*) from pg_logical_slot_get_binary_changes('%s', null, null, 'proto_version', '1', 'publication_names', '\"" + publication + "\"')", cdc.ResetSlotLost},
		"the checkpoint deleted": {"delete from mtbreactive.checkpoint where slot = '%s'", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := database(t, orders)
			first := start(t, url)
			first.needs(first.started()[0].From)
			pgtest.Exec(t, url, "insert into orders values (1, 'bread')")
			first.expect(t, "insert orders 1,bread")
			if err := first.stop(); err != nil {
				t.Fatal(err)
			}
			eventually(t, "the slot is free", func() bool { return first.walsender(t) == 0 })
			pgtest.Exec(t, url, fmt.Sprintf(c.meanwhile, first.server.Slot))
			second := start(t, url)
			if same := first.epoch() == second.epoch(); same != (name == "nothing") {
				t.Errorf("the epoch was %s and is %s", first.epoch(), second.epoch())
			}
			if got := second.source.Stats().Reset; got.Reason != c.reason || (got.Reason != "") != !got.At.IsZero() {
				t.Errorf("reset %+v, want %q", got, c.reason)
			}
			// The reason outlives the process that found it, for doctor and the gateways after it.
			checkpoints := &wal.Checkpoints{Pool: second.server.Pool, Slot: second.server.Slot}
			if stored, err := checkpoints.Load(t.Context()); err != nil || stored.Reset.Reason != c.reason || stored.Epoch != second.epoch() {
				t.Errorf("stored %+v, error %v", stored, err)
			}
		})
	}
}

// A gateway that was frozen while another one had its slot takes nothing back in the checkpoint.
func TestP13CheckpointOfAFrozenGatewayTakesNothingBack(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	server := newServer(t, url)
	prepare(t, server)
	checkpoints := &wal.Checkpoints{Pool: server.Pool, Slot: server.Slot}
	begun := &wal.StoredCheckpoint{
		SystemID: "7001", Timeline: 1, PostmasterStart: query[time.Time](t, server.Pool, "select pg_postmaster_start_time()"),
		Checkpoint: cdc.Checkpoint{Epoch: "a"},
	}
	later := cdc.Checkpoint{Epoch: "a", Delivered: cdc.Position{Commit: 300, End: 310}, Reached: 400, Released: 200}
	earlier := cdc.Checkpoint{Epoch: "a", Delivered: cdc.Position{Commit: 100, End: 110}, Reached: 120, Released: 50}
	if err := checkpoints.Begin(t.Context(), begun); err != nil {
		t.Fatal(err)
	}
	for _, at := range []cdc.Checkpoint{later, earlier} {
		if err := checkpoints.Save(t.Context(), at); err != nil {
			t.Fatal(err)
		}
	}
	if stored, err := checkpoints.Load(t.Context()); err != nil || stored.Checkpoint != later {
		t.Errorf("stored %+v, want %+v; error %v", stored, later, err)
	}
	begun.Epoch = "b"
	if err := checkpoints.Begin(t.Context(), begun); err != nil {
		t.Fatal(err)
	}
	if err := checkpoints.Save(t.Context(), later); err == nil {
		t.Error("positions of the old epoch were saved in the new one")
	}
}

// The epoch is the same after every kind of restart of the server that loses nothing.
func TestP06EpochGoesOnOverRestartsOfTheServer(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	url := postgres.URL("postgres")
	pgtest.Exec(t, url, orders)
	g := start(t, url)
	g.needs(g.started()[0].From)
	epoch := g.epoch()
	for n, goDown := range []func() error{
		func() error { return postgres.Stop(t.Context()) },
		func() error { return postgres.Immediate(t.Context()) },
		postgres.Kill,
	} {
		pgtest.Exec(t, url, fmt.Sprintf("insert into orders values (%d, 'bread')", n))
		g.await(t, func(lines []string) bool { return len(lines) == n+1 })
		before := len(g.started())
		if err := goDown(); err != nil {
			t.Fatal(err)
		}
		if err := postgres.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it streams again", func() bool { return len(g.started()) > before })
	}
	if err := g.stop(); err != nil {
		t.Fatal(err)
	}
	again := start(t, url)
	again.await(t, func(lines []string) bool { return len(lines) == 3 })
	if g.epoch() != epoch || again.epoch() != epoch {
		t.Errorf("epochs %s, %s and, in another process, %s", epoch, g.epoch(), again.epoch())
	}
	if lines := g.recorded(); len(lines) != 3 {
		t.Errorf("delivered %q", lines)
	}
}

// A commit that nobody waits for is visible before it is in the log for good. After a crash it never was: a view that
// showed it has a row that does not exist, and no change will ever say so. Its identifier is given to another transaction.
// What the stream has passed by then does not tell either; that a stream begins anew does.
func TestP19GhostRowsAreKnownByTheStartThatFollows(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical", "wal_writer_delay": "10s", "synchronous_commit": "off"})
	url := postgres.URL("postgres")
	pgtest.Exec(t, url, orders, "insert into orders values (1, 'bread')")
	g := start(t, url)
	pgtest.Exec(t, url, "checkpoint", "insert into orders values (2, 'ghost')")
	snapshotter := &wal.Snapshotter{
		Pool: g.server.Pool, Publication: publication, Version: query[int](t, g.server.Pool, "select current_setting('server_version_num')::int"),
		Types: values.NewCatalog(values.Options{}), MaxBytes: 1 << 20,
	}
	snapshot, err := snapshotter.Snapshot(t.Context(), wal.SnapshotQuery{
		Table: wal.TableName{Schema: "public", Name: "orders"}, Match: []wal.SnapshotMatch{{Column: "id"}}, Value: "2", Limit: 10,
	})
	if err != nil || len(snapshot.Rows) != 1 {
		t.Fatalf("snapshot %+v, error %v: the row is not visible, so the test shows nothing", snapshot, err)
	}
	if err := postgres.Immediate(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rows := query[int](t, newServer(t, url).Pool, "select count(*) from orders where item = 'ghost'"); rows != 0 {
		t.Fatal("the row has survived the crash: the test shows nothing")
	}
	eventually(t, "a stream begins", func() bool { return len(g.started()) == 2 })
	// The hub begins views anew whose snapshots show more than the stream had passed when it broke off.
	if passed := g.beforeLastStart(); passed >= snapshot.Upto {
		t.Errorf("the stream had passed %s, and the snapshot shows commits up to %s: nothing tells the ghost", passed, snapshot.Upto)
	}
	g.live(t)
	pgtest.Exec(t, url, "set synchronous_commit = on; insert into orders values (3, 'wine')")
	g.awaitLine(t, "insert orders 3,wine")
	if slices.Contains(g.recorded(), "insert orders 2,ghost") {
		t.Error("the stream brought a row that does not exist")
	}
}

// A copy of the server's files is brought back while no gateway runs, checkpoint and all. Its log may have come to be as
// long as the one that was lost, and only the checkpoint in memory knew better.
func TestP17FilesBroughtBackAndTheLogHasGrownPastWhatWeSaw(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	url := postgres.URL("postgres")
	pgtest.Exec(t, url, orders)
	g := start(t, url)
	epoch := g.epoch()
	files := query[string](t, g.server.Pool, "show data_directory")
	pgtest.Exec(t, url, "checkpoint", "copy (select 1) to program 'cat > /dev/null; cp -a . ../copy'", "insert into orders values (1, 'bread')")
	g.expect(t, "insert orders 1,bread")
	eventually(t, "it is noted", func() bool {
		return query[bool](t, g.server.Pool, "select commit_lsn > '0/0' from mtbreactive.checkpoint")
	})
	release := g.hold(t) // so that it does not come back before the log is long enough
	pgtest.Exec(t, url, "insert into orders values (2, 'held')")
	if err := postgres.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(files); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(filepath.Dir(files), "copy"), files); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, "insert into orders select n, repeat('x', 1000) from generate_series(100, 2000) n")
	release()
	g.awaitLine(t, "reset "+string(cdc.ResetTimeline))
	eventually(t, "another epoch begins", func() bool { return g.epoch() != epoch })
}
