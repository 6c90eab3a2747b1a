package integration_test

import (
	"fmt"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// keepsNothing lets the slot go at once: nothing is kept for clients that come back.
const keepsNothing = "resume: {window: 0}\n"

// A slot that stands still makes the server keep its log until the disk is full.
func TestTheLogOfWhatIsNotServedIsReleased(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, `create table audit (entry text)`)
	serve(t, database, chat+keepsNothing)
	pgtest.Exec(t, database, `insert into audit select repeat('x', 100) from generate_series(1, 50000)`)
	awaitReleased(t, database)
}

func TestAClientThatReadsNothingHoldsNoLogBack(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat+keepsNothing)
	holdUp(t, g, database)
	awaitReleased(t, database)
}

// awaitReleased waits until the slot has let go of all that is written by now, but for what is too little to be noted.
func awaitReleased(t *testing.T, database string) {
	t.Helper()
	const atMost = 1 << 20
	written := pgtest.Query[string](t, database, `select pg_current_wal_lsn()::text`)
	eventually(t, "the log is released", func() bool {
		return pgtest.Query[bool](t, database, fmt.Sprintf(`select pg_wal_lsn_diff('%s', confirmed_flush_lsn) < %d from pg_replication_slots where slot_name = '%s'`,
			written, atMost, slotOf(t, database)))
	})
}
