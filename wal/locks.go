package wal

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// holder is a transaction that holds a lock on a relation.
type holder struct {
	relation    uint32
	transaction string // its virtual transaction, which stays when the transaction is prepared
	mode        string
}

const (
	vacuumMode = "ShareUpdateExclusiveLock" // of VACUUM and ANALYZE, and of DDL that lets rows be written
	readMode   = "AccessShareLock"
)

// writes tells whether rows are written under the lock.
func (h holder) writes() bool {
	return slices.Contains([]string{"RowExclusiveLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}, h.mode)
}

// hinders tells whether the lock keeps a table from entering a publication or, where alters is set, from being altered.
func (h holder) hinders(alters bool) bool {
	return alters || !slices.Contains([]string{readMode, "RowShareLock", "RowExclusiveLock"}, h.mode)
}

// recovered tells whether it is of a transaction that was prepared before the server crashed. It has another name since.
func (h holder) recovered() bool { return strings.HasPrefix(h.transaction, "-1/") }

// holders reads who holds locks on relations, and then where the log ends.
func (s *Server) holders(ctx context.Context, relations []uint32) (all []holder, end cdc.LSN, err error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	err = each(ctx, s.Pool, "read locks", `
		select l.relation, l.virtualtransaction, l.mode
		from pg_catalog.pg_locks l
		where l.locktype = 'relation' and l.granted and l.relation = any($1) and l.pid is distinct from pg_catalog.pg_backend_pid()
		  and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())`, []any{relations},
		func(rows pgx.Rows) error {
			var h holder
			err := rows.Scan(&h.relation, &h.transaction, &h.mode)
			all = append(all, h)
			return err
		})
	if err != nil {
		return nil, 0, err
	}
	err = each(ctx, s.Pool, "read the end of the log", `select pg_catalog.pg_current_wal_insert_lsn()::pg_catalog.text`, nil, func(rows pgx.Rows) error {
		var text string
		err := rows.Scan(&text)
		if err == nil {
			end, err = cdc.ParseLSN(text)
		}
		return err
	})
	return all, end, err
}

const (
	// alterTimeout is how long a statement of ours waits for a lock that others would wait behind, and alterTakes how long it
	// takes in all. enterTimeout and enterTakes are of the statement that follows, while others are held up already: together
	// less than 200 ms, however slow the server is.
	alterTimeout = 75 * time.Millisecond
	alterTakes   = 120 * time.Millisecond
	enterTimeout = 25 * time.Millisecond
	enterTakes   = 70 * time.Millisecond
	// vacuumTimeout is how long one waits that only VACUUM and DDL conflict with. After deadlock_timeout, a second by default,
	// the server ends an autovacuum that somebody waits for.
	vacuumTimeout = 2 * time.Second
	// minPause is how long a table is left alone after a try in vain: others waited for alterTakes at most, so that they lose
	// 2 % of the time at most. It doubles up to maxPause.
	minPause = 6 * time.Second
	maxPause = time.Minute
)

// pace says when a table is tried. A lock that one transaction holds for long, such as a dump's, is waited for without a
// try, which could only hold up others.
type pace struct {
	tries int
	tried time.Time
	next  time.Time       // no try before
	seen  map[string]bool // transactions that hindered at the last look; nil before the first
}

// look takes in who holds locks now. due tells whether to try, and patient whether only VACUUM is in the way for long.
func (p *pace) look(now time.Time, holders []holder, alters bool) (due, patient bool) {
	first, before := p.seen == nil, p.seen
	p.seen = map[string]bool{}
	stuck := false
	for _, h := range holders {
		if !h.hinders(alters) {
			continue
		}
		p.seen[h.transaction] = true
		switch {
		case !before[h.transaction]:
		case h.mode == vacuumMode:
			patient = true
		default:
			stuck = true
		}
	}
	switch {
	case first, now.Before(p.next):
		return false, false
	case stuck:
		return now.Sub(p.tried) >= maxPause, false
	}
	return true, patient
}

// failed notes a try in vain. chance is from 0 to 1, so that tables, and gateways, do not all come at once.
func (p *pace) failed(now time.Time, chance float64) {
	pause := min(minPause<<min(p.tries, 10), maxPause)
	p.tries++
	p.tried, p.next = now, now.Add(pause+time.Duration(chance*float64(pause)/4))
}
