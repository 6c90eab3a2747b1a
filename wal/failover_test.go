package wal_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// From version 17 on standbys may have a copy of the slot, which goes on when one of them is promoted.
func TestP17SlotIsMadeForFailover(t *testing.T) {
	t.Parallel()
	if pgtest.Major(t) < 17 {
		t.Skip("slots of this version belong to one server")
	}
	url := database(t, orders)
	g := start(t, url)
	if !query[bool](t, g.server.Pool, "select failover from pg_replication_slots where slot_name = $1", g.server.Slot) {
		t.Error("standbys get no copy of the slot")
	}
}

// From version 18 on a slot that nobody reads may be lost for that alone.
func TestP11SlotLostForWantOfAGateway(t *testing.T) {
	t.Parallel()
	if pgtest.Major(t) < 18 {
		t.Skip("this version keeps idle slots")
	}
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	url := postgres.URL("postgres")
	pgtest.Exec(t, url, orders)
	first := start(t, url)
	first.needs(first.started()[0].From)
	if err := first.stop(); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, "alter system set idle_replication_slot_timeout = '1s'", "select pg_reload_conf()", "insert into orders values (1, 'lost')")
	eventually(t, "the slot is lost", func() bool {
		pgtest.Exec(t, url, "checkpoint")
		slot, err := first.server.SlotFacts(t.Context())
		return err == nil && slot.WALStatus == "lost" && slot.Invalidated == "idle_timeout"
	})
	pgtest.Exec(t, url, "alter system reset idle_replication_slot_timeout", "select pg_reload_conf()")
	second := start(t, url)
	if second.epoch() == first.epoch() {
		t.Error("the epoch goes on over a gap")
	}
	if got := second.source.Stats().Reset; got.Reason != cdc.ResetSlotLost {
		t.Errorf("reset %+v", got)
	}
	if second.source.Stats().State != wal.Live {
		t.Error("the gateway does not go on")
	}
}
