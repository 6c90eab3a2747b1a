package integration_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// snapshots serves the messages with snapshots, so that a view is whole from its beginning.
const snapshots = `
reactive:
  - table: message
    scopes: [conversation_id]
    snapshot: {limit: 100000}
`

// load writes, edits, moves and deletes messages, until it is stopped.
type load struct {
	t        *testing.T
	database string
	talks    int // conversations 1 to talks exist
	cancel   context.CancelFunc
	writers  errgroup.Group
}

// writersOfLoad is how many write at the same time: commits then become visible in another order than they are logged.
const writersOfLoad = 3

// startLoad makes conversations and begins to write.
func startLoad(t *testing.T, database string, talks int) *load {
	t.Helper()
	pgtest.Exec(t, database, conversations, messages, fmt.Sprintf(`insert into conversation select n, 'Talk ' || n from generate_series(1, %d) n`, talks))
	l := &load{t: t, database: database, talks: talks}
	var ctx context.Context
	ctx, l.cancel = context.WithCancel(context.Background())
	for n := range writersOfLoad {
		l.writers.Go(func() error { return l.write(ctx, n) })
	}
	t.Cleanup(func() { l.cancel(); _ = l.writers.Wait() })
	return l
}

func (l *load) write(ctx context.Context, writer int) error {
	conn, err := pgx.Connect(ctx, l.database)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.Background()) }()
	random := rand.New(rand.NewPCG(1, uint64(writer)))
	var mine []int
	// A statement that is cancelled may still be carried out, and then after the last message.
	whole := context.WithoutCancel(ctx)
	for next := writer; ctx.Err() == nil; {
		talk := 1 + random.IntN(l.talks)
		at := 0
		if len(mine) > 0 {
			at = random.IntN(len(mine))
		}
		switch action := random.IntN(10); {
		case action < 5 || len(mine) < 10:
			next += writersOfLoad
			mine = append(mine, next)
			_, err = conn.Exec(whole, `insert into message values ($1, $2, 'written')`, next, talk)
		case action < 7:
			_, err = conn.Exec(whole, `update message set body = $2 where id = $1`, mine[at], "edited "+strconv.Itoa(next))
		case action < 9:
			_, err = conn.Exec(whole, `update message set conversation_id = $2 where id = $1`, mine[at], talk)
		default:
			_, err = conn.Exec(whole, `delete from message where id = $1`, mine[at])
			mine = append(mine[:at], mine[at+1:]...)
		}
		if err != nil {
			return fmt.Errorf("write: %w", err)
		}
		select { // leaves the machine time for what is tested
		case <-time.After(2 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return nil
}

// stop ends the load. The last message of each conversation says so: see lastHasCome.
func (l *load) stop() {
	l.t.Helper()
	l.cancel()
	if err := l.writers.Wait(); err != nil {
		l.t.Fatal(err)
	}
	pgtest.Exec(l.t, l.database, `insert into message select -id, id, 'the last' from conversation`)
}

// lastHasCome tells whether a view has the last message, and so all that was written before.
func lastHasCome(v *view) func() bool {
	return func() bool { return v.rows["id:-"+v.value] != nil }
}

// awaitRows waits until the load has written that many messages.
func (l *load) awaitRows(n int) {
	l.t.Helper()
	eventually(l.t, fmt.Sprintf("%d messages are written", n), func() bool {
		return pgtest.Query[int](l.t, l.database, `select count(*) from message`) >= n
	})
}

// messagesOf is the SELECT that a view of a conversation has to equal.
func messagesOf(talk string) string { return `select * from message where conversation_id = ` + talk }
