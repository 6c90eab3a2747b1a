package wal

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// Settings are those of the server that endanger the slot, or hold commits back. Versions that do not have one give its zero
// value.
type Settings struct {
	KeepSize       int64         // max_slot_wal_keep_size in bytes, negative without limit
	IdleTimeout    time.Duration // idle_replication_slot_timeout, from version 18 on; 0 is none
	SenderTimeout  time.Duration // wal_sender_timeout; 0 is none
	SyncNames      string        // synchronous_standby_names
	SyncStandbys   int           // that commits wait for and that are connected
	SyncHidden     bool          // this role may not see which standbys are
	Standbys       int           // connected, of the whole cluster, synchronous or not
	FailoverGate   string        // synchronized_standby_slots, from version 17 on
	FailoverAbsent []string      // slots of it that nobody uses: the stream waits for them
	ReadOnly       string        // what has set default_transaction_read_only, as pg_settings calls it; empty where it is off
}

// serverSettings reads settings in their base units: megabytes, milliseconds. From version 18 on the idle timeout is in seconds.
const serverSettings = `
with s as (select name, setting, unit, source from pg_catalog.pg_settings),
gate as (select pg_catalog.btrim(g, '" ') as slot from s, pg_catalog.regexp_split_to_table(setting, ',') g
         where name = 'synchronized_standby_slots' and setting <> '')
select (select case when setting::pg_catalog.int8 < 0 then -1 else setting::pg_catalog.int8 << 20 end from s where name = 'max_slot_wal_keep_size'),
       coalesce((select extract(epoch from (setting || unit)::pg_catalog.interval) from s where name = 'idle_replication_slot_timeout'), 0)::pg_catalog.float8,
       (select setting::pg_catalog.int8 from s where name = 'wal_sender_timeout'),
       (select setting from s where name = 'synchronous_standby_names'),
       (select pg_catalog.count(*) from pg_catalog.pg_stat_replication where sync_state in ('sync', 'quorum')),
       (select pg_catalog.count(*) > 0 from pg_catalog.pg_stat_replication where sync_state is null),
       (select pg_catalog.count(*) from pg_catalog.pg_replication_slots where slot_type = 'physical' and active),
       coalesce((select setting from s where name = 'synchronized_standby_slots'), ''),
       array(select gate.slot from gate left join pg_catalog.pg_replication_slots r on r.slot_name = gate.slot
             where r.active is not true)::pg_catalog.text[],
       coalesce((select source from s where name = 'default_transaction_read_only' and setting = 'on'), '')`

func readSettings(ctx context.Context, q Querier) (*Settings, error) {
	s := &Settings{}
	err := each(ctx, q, "read settings", serverSettings, nil, func(rows pgx.Rows) error {
		var idle float64
		var timeout int64
		err := rows.Scan(&s.KeepSize, &idle, &timeout, &s.SyncNames, &s.SyncStandbys, &s.SyncHidden, &s.Standbys,
			&s.FailoverGate, &s.FailoverAbsent, &s.ReadOnly)
		s.IdleTimeout = time.Duration(idle * float64(time.Second))
		s.SenderTimeout = time.Duration(timeout) * time.Millisecond
		return err
	})
	return s, err
}

const (
	// leastKeepSize is a limit of retained log under which a busy server loses the slot of a gateway that restarts slowly.
	leastKeepSize = 1 << 30
	// leastSenderTimeout leaves a busy gateway the time to answer.
	leastSenderTimeout = time.Second
)

// settings judges what may cost the slot later, while all is well now.
func (j *judge) settings() {
	s := &j.facts.Settings
	const reload = " SELECT pg_reload_conf();"
	switch {
	case s.KeepSize < 0:
		j.add("max_slot_wal_keep_size", Good, "", "no limit: the slot is never lost, and while no gateway runs the log grows until the disk is full")
	case s.KeepSize < leastKeepSize:
		j.add("max_slot_wal_keep_size", Warn, "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB';"+reload,
			"%d MB: the slot is lost, and every client starts over, when that much is written while no gateway runs", s.KeepSize>>20)
	default:
		j.add("max_slot_wal_keep_size", Good, "", "%d MB may be written while no gateway runs", s.KeepSize>>20)
	}
	if s.IdleTimeout > 0 {
		j.add("idle_replication_slot_timeout", Warn, "ALTER SYSTEM SET idle_replication_slot_timeout = 0;"+reload,
			"the slot is lost, and every client starts over, when no gateway runs for %s", s.IdleTimeout)
	} else if j.facts.Version >= 180000 {
		j.add("idle_replication_slot_timeout", Good, "", "none")
	}
	if s.SenderTimeout > 0 && s.SenderTimeout < leastSenderTimeout {
		j.add("wal_sender_timeout", Warn, "ALTER SYSTEM SET wal_sender_timeout = '60s';"+reload,
			"the server gives the stream up after %s without a word, which a busy machine may not manage", s.SenderTimeout)
	} else {
		j.add("wal_sender_timeout", Good, "", "a gateway that hangs loses the slot to one that stands by after %s", min(walSenderTimeout, orForever(s.SenderTimeout)))
	}
	if s.SyncNames != "" && s.SyncStandbys == 0 && !s.SyncHidden {
		j.add("synchronous_standby_names", Warn, "ALTER SYSTEM RESET synchronous_standby_names;"+reload,
			"commits wait for %s, and none of them is connected: clients get changes that no SELECT shows yet, and writers hang", s.SyncNames)
	} else {
		j.add("synchronous_standby_names", Good, "", "commits wait for nobody who is away")
	}
}

// writable judges whether the gateway's sessions may write, as its slot and its checkpoint need. A server that changes
// roles is read-only for a while: a gateway that serves waits for that to end.
func (j *judge) writable() {
	source := j.facts.Settings.ReadOnly
	if source == "" {
		return
	}
	role := quote(j.facts.Role)
	fix := fmt.Sprintf("ALTER ROLE %s SET default_transaction_read_only = off;", role)
	switch source {
	case "client":
		fix = "-- take default_transaction_read_only out of databaseUrl, its options and PGOPTIONS"
	case "database user":
		fix = fmt.Sprintf("ALTER ROLE %s IN DATABASE %s SET default_transaction_read_only = off;", role, quote(j.facts.CurrentDatabase))
	}
	j.add("default_transaction_read_only", Fail, fix, "is on for role %s (set by: %s), and the gateway keeps its checkpoint in the database", j.facts.Role, source)
	j.passing(true)
}

func orForever(d time.Duration) time.Duration {
	if d == 0 {
		return 1<<63 - 1
	}
	return d
}

// failover judges whether the slot outlives the server, which it can from version 17 on.
func (j *judge) failover() {
	if j.facts.Version < failoverVersion || j.facts.Slot == nil || j.facts.Slot.WALStatus == "lost" {
		return
	}
	s, check := &j.facts.Settings, "failover of slot "+j.want.Slot
	switch {
	case !j.facts.Slot.Failover:
		j.add(check, Warn, fmt.Sprintf("-- stop the gateway; then, connected with replication=database:\nALTER_REPLICATION_SLOT %s ( FAILOVER true );", quote(j.want.Slot)),
			"standbys have no copy of it: when one is promoted, every client starts over")
	case len(s.FailoverAbsent) > 0:
		j.add(check, Warn, "ALTER SYSTEM SET synchronized_standby_slots = ''; SELECT pg_reload_conf(); -- or start the standby",
			"the stream waits for standbys that are away: nobody uses %s of synchronized_standby_slots", strings.Join(s.FailoverAbsent, ", "))
	case s.Standbys > 0 && s.FailoverGate == "":
		j.add(check, Warn, "ALTER SYSTEM SET synchronized_standby_slots = '...'; SELECT pg_reload_conf(); -- the slots that the standbys replicate through",
			"clients may be shown what a standby that is promoted does not have: synchronized_standby_slots is empty")
	default:
		j.add(check, Good, "", "standbys with sync_replication_slots = on, hot_standby_feedback = on and a dbname in primary_conninfo have a copy")
	}
}

const failoverVersion = 170000

// minorWithout is, by major version, the first minor that neither loses changes when a publication is altered while
// transactions run, nor takes ever more memory for it.
func minorWithout(major int) int { return map[int]int{14: 19, 15: 14, 16: 10, 17: 6}[major] }

func (j *judge) version() {
	major, minor := j.facts.Version/10000, j.facts.Version%10000
	switch {
	case j.facts.Version < minVersion:
		j.add("version", Fail, "-- upgrade to PostgreSQL 14 or newer", "PostgreSQL %d is too old", major)
	case minor < minorWithout(major):
		j.add("version", Warn, fmt.Sprintf("-- upgrade to PostgreSQL %d.%d or newer", major, minorWithout(major)),
			"PostgreSQL %d.%d may lose changes, or run out of memory, when the publication or a table of it is altered while transactions run", major, minor)
	default:
		j.add("version", Good, "", "PostgreSQL %d.%d", major, minor)
	}
}
