package integration_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// The server keeps log for the slot also while a transaction is open, whatever the gateway acknowledges. An operator has to
// hear of it before the slot is lost.
func TestTheOperatorIsWarnedBeforeTheSlotIsLost(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical", "max_slot_wal_keep_size": "64MB", "max_wal_size": "1GB", "fsync": "off"})
	database := postgres.URL("postgres")
	pgtest.Exec(t, database, conversations, messages, twoTalks, `create table audit (entry text)`)
	g := serve(t, database, chat)
	eventually(t, "the limit is known", func() bool { return g.metric("reactive_slot_retained_limit_bytes") == 64<<20 })
	if got := g.metric("reactive_slot_pressure"); got != 0 {
		t.Errorf("pressure %v before anything is written", got)
	}

	open, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close(context.Background())
	if _, err := open.Exec(t.Context(), `begin; insert into audit values ('for long')`); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, database, `insert into audit select repeat('x', 1000) from generate_series(1, 36000)`)
	eventually(t, "the gateway tells", func() bool { return g.metric("reactive_slot_pressure") == 1 })
	_, status := g.ask("/status")
	for _, part := range []string{`"wal pressure"`, "of 64 MB of log", "ALTER SYSTEM SET max_slot_wal_keep_size", "pg_stat_activity"} {
		if !strings.Contains(status, part) {
			t.Errorf("the status does not say %s:\n%s", part, status)
		}
	}
	if _, err := open.Exec(t.Context(), `commit`); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is over", func() bool {
		pgtest.Exec(t, database, `checkpoint`, `insert into audit values ('more')`) // the slot moves with the log of running transactions
		return g.metric("reactive_slot_pressure") == 0
	})
	if times := strings.Count(g.stderr.String(), "the slot holds back more than half"); times != 1 {
		t.Errorf("it was logged %d times, want once", times)
	}
}
