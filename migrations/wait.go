package migrations

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Wait is a session of somebody else's that holds a lock which migrations wait for.
type Wait struct {
	PID         int32
	Role        string
	Application string
	For         string // what is locked
	Since       time.Time
}

// String says what is waited for.
func (w Wait) String() string {
	return fmt.Sprintf("migrations wait for %s: process %d (role %s, application %q) holds it, in a transaction that began at %s",
		w.For, w.PID, w.Role, w.Application, w.Since.UTC().Format(time.RFC3339))
}

// SQL shows the session, and ends it.
func (w Wait) SQL() string {
	return fmt.Sprintf("SELECT * FROM pg_stat_activity WHERE pid = %d; SELECT pg_terminate_backend(%[1]d);", w.PID)
}

// blockers finds who holds what the given processes wait for. A lock of an object names it, one of a row of the catalog is the
// end of the transaction that has made the same object.
const blockers = `
select distinct on (b.pid) b.pid, coalesce(a.usename, '')::pg_catalog.text, coalesce(a.application_name, ''),
       case when l.relation is not null then 'a lock on ' || l.relation::pg_catalog.regclass::pg_catalog.text
            when l.locktype = 'transactionid' then 'the end of a transaction that makes or alters the same object'
            else 'a lock (' || l.locktype || ')' end,
       coalesce(a.xact_start, pg_catalog.now())
from pg_catalog.unnest($1::pg_catalog.int4[]) waiting(pid)
cross join lateral pg_catalog.unnest(pg_catalog.pg_blocking_pids(waiting.pid)) b(pid)
left join pg_catalog.pg_locks l on l.pid = waiting.pid and not l.granted
left join pg_catalog.pg_stat_activity a on a.pid = b.pid
where b.pid <> all ($1)
order by b.pid`

const (
	watchEvery = 500 * time.Millisecond
	tellEvery  = 5 * time.Second
)

// watch tells of the migrator's waits, until the function that it returns is called.
func (m *migrator) watch(ctx context.Context, pool *pgxpool.Pool, tell []func(Wait)) (stop func()) {
	if len(tell) == 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(ctx)
	var watching sync.WaitGroup
	watching.Go(func() {
		told := map[int32]time.Time{}
		for sleep(ctx, watchEvery) == nil {
			for _, w := range m.waits(ctx, pool) {
				if now := time.Now(); now.Sub(told[w.PID]) >= tellEvery {
					told[w.PID] = now
					for _, f := range tell {
						f(w)
					}
				}
			}
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
}

// waits lists who is waited for. An error is the migrator's to find.
func (m *migrator) waits(ctx context.Context, pool *pgxpool.Pool) []Wait {
	m.mu.Lock()
	var pids []int32
	for _, pid := range m.pids {
		pids = append(pids, int32(pid))
	}
	m.mu.Unlock()
	rows, err := pool.Query(ctx, blockers, pids)
	if err != nil {
		return nil
	}
	list, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (w Wait, err error) {
		return w, row.Scan(&w.PID, &w.Role, &w.Application, &w.For, &w.Since)
	})
	if err != nil {
		return nil
	}
	return list
}
