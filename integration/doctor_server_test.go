package integration_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// Each thing is broken on a server of its own, for it is the whole server's, found, and mended by what doctor prints.
func TestDoctorFindsWhatEndangersTheSlot(t *testing.T) {
	t.Parallel()
	const reload = `select pg_reload_conf()`
	for name, c := range map[string]struct {
		from   int // the first major version that has it
		breaks []string
		check  string // without its level
		level  string
		want   string
		mends  []string // in the place of what doctor prints, where that is words
	}{
		"a small limit of retained log": {14, []string{`alter system set max_slot_wal_keep_size = '64MB'`, reload},
			"max_slot_wal_keep_size", "warn", "64 MB: the slot is lost", nil},
		"an idle timeout": {18, []string{`alter system set idle_replication_slot_timeout = '1h'`, reload},
			"idle_replication_slot_timeout", "warn", "when no gateway runs for 1h0m0s", nil},
		"an impatient server": {14, []string{`alter system set wal_sender_timeout = '500ms'`, reload},
			"wal_sender_timeout", "warn", "after 500ms", nil},
		"a synchronous standby that never answers": {14, []string{`alter system set synchronous_standby_names = 'nobody'`, reload},
			"synchronous_standby_names", "warn", "commits wait for nobody, and none of them is connected", nil},
		"much retained log": {14, []string{`alter system set max_slot_wal_keep_size = '64MB'`, reload,
			`insert into message select n, 1, repeat('x', 1000) from generate_series(1, 36000) n`},
			"retained log", "warn", "of 64 MB", nil},
		"log that was removed": {14, []string{`alter system set max_slot_wal_keep_size = '1MB'`, reload,
			`select pg_switch_wal()`, `insert into message values (1, 1, 'a')`, `select pg_switch_wal()`, `insert into message values (2, 1, 'b')`, `checkpoint`},
			"slot postgres", "mend", "is lost: ", nil},
		"a slot without failover": {17, []string{`select pg_drop_replication_slot('postgres')`, `select pg_create_logical_replication_slot('postgres', 'pgoutput')`},
			"failover of slot postgres", "warn", "standbys have no copy", nil},
		"a failover that waits for a standby": {17, []string{`select pg_create_physical_replication_slot('s1')`,
			`alter system set synchronized_standby_slots = 's1'`, reload}, "failover of slot postgres", "warn", "nobody uses s1", nil},
		"no free slot": {14, []string{`select pg_drop_replication_slot('postgres')`, `select pg_create_physical_replication_slot('s1')`,
			`alter system set max_replication_slots = 1`, "restart"}, "slot postgres", "FAIL", "all 1 replication slots are in use", nil},
		"no walsenders": {14, []string{`alter system set max_wal_senders = 0`, "restart"}, "max_wal_senders", "FAIL", "all 0 are in use", nil},
		"too little log": {14, []string{`select pg_drop_replication_slot('postgres')`, `alter system set wal_level = 'replica'`, "restart"},
			"wal_level", "FAIL", "wal_level is replica", nil},
		"a standby": {14, []string{`copy (select 1) to program 'cat > standby.signal'`, "restart"}, "primary", "FAIL", "the server is a standby",
			[]string{`select pg_promote()`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if version := pgtest.Major(t); version < c.from {
				t.Skipf("PostgreSQL %d does not have it", version)
			}
			postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical", "max_wal_size": "1GB", "fsync": "off"})
			database := postgres.URL("postgres")
			pgtest.Exec(t, database, conversations, messages, twoTalks)
			serve(t, database, chat).stop(interrupt)
			awaitFreeSlot(t, database)
			run := func(statements []string) {
				t.Helper()
				for _, sql := range statements {
					switch {
					case sql == "restart":
						if err := postgres.Restart(t.Context()); err != nil {
							t.Fatal(err)
						}
					case strings.HasPrefix(sql, "ALTER_REPLICATION_SLOT"):
						pgtest.Exec(t, database+"&replication=database", sql)
					default:
						pgtest.Exec(t, database, alone(sql)...)
					}
				}
			}
			line := func(level string) *regexp.Regexp {
				return regexp.MustCompile(fmt.Sprintf(`(?m)^%-6s %s: .*$`, level, regexp.QuoteMeta(c.check)))
			}
			run(c.breaks)
			var stdout string
			eventually(t, "doctor finds it", func() bool { // a reload takes a moment
				_, stdout, _ = doctorOf(t, database, chat)
				return line(c.level).MatchString(stdout)
			})
			if found := line(c.level).FindString(stdout); !strings.Contains(found, c.want) {
				t.Errorf("doctor says %q, want %q", found, c.want)
			}
			mends := c.mends
			if mends == nil {
				mends = fixOf(stdout, c.check)
				if strings.Contains(strings.Join(mends, " "), "restart PostgreSQL") {
					mends = append(mends, "restart")
				}
			}
			run(mends)
			eventually(t, "doctor is content", func() bool {
				_, stdout, _ = doctorOf(t, database, chat)
				return line("ok").MatchString(stdout) || line("mend").MatchString(stdout) && c.level == "FAIL"
			})
		})
	}
}

// fixOf picks what doctor prints below a check.
func fixOf(stdout, check string) (statements []string) {
	under := false
	for line := range strings.Lines(stdout) {
		if fix, ok := strings.CutPrefix(line, "       "); ok {
			if under {
				statements = append(statements, strings.TrimSpace(fix))
			}
			continue
		}
		under = len(line) > 7 && strings.HasPrefix(line[7:], check+":")
	}
	return statements
}

// alone splits statements that psql would run one by one: ALTER SYSTEM runs in no transaction with others.
func alone(sql string) []string {
	if !strings.HasPrefix(sql, "ALTER SYSTEM") {
		return []string{sql}
	}
	return strings.SplitAfter(sql, ";")
}

// Each thing is broken in a database. What mends it are words, so the test does what they say.
func TestDoctorFindsWhatATableLacks(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		from                 int
		breaks               []string
		level, check, detail string
		mends                string
	}{
		"a primary key": {14, []string{`alter table message drop constraint message_pkey`}, "FAIL", "table public.message", "has no primary key",
			`alter table message add primary key (id)`},
		"a scope in the column list": {15, []string{`alter publication mtbreactive set table conversation, message (id, body)`}, "FAIL", "table public.message",
			"leaves out conversation_id", `alter publication mtbreactive set table conversation, message`},
		"writers, for the column list": {15, []string{`alter publication mtbreactive set table conversation, message (id, conversation_id)`}, "FAIL", "table public.message",
			"refuses to update or delete", `alter publication mtbreactive set table conversation, message`},
		"rows that are filtered out": {15, []string{`alter publication mtbreactive set table conversation, message where (id > 0)`}, "warn", "table public.message",
			"filters its rows", `alter publication mtbreactive set table conversation, message`},
		"stored generated columns": {18, []string{`alter publication mtbreactive set (publish_generated_columns = none)`, `alter table message add shout text generated always as (upper(body)) stored`},
			"FAIL", "table public.message", "leaves out the generated columns", `alter publication mtbreactive set (publish_generated_columns = stored)`},
		"writers, for virtual columns": {18, []string{`alter table message add shout text generated always as (body || '!') virtual`}, "FAIL", "table public.message",
			"virtual generated columns", `alter table message drop column shout`},
		"a free slot name": {14, []string{`select pg_drop_replication_slot(current_database())`, `select pg_create_physical_replication_slot(current_database())`}, "FAIL", "slot",
			"no logical slot of pgoutput", `select pg_drop_replication_slot(current_database()); select pg_create_logical_replication_slot(current_database(), 'pgoutput')`},
		"the right to keep the checkpoint": {14, []string{`revoke insert on mtbreactive.checkpoint from {role}`}, "FAIL", "schema mtbreactive",
			"may not keep the checkpoint", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if version := pgtest.Major(t); version < c.from {
				t.Skipf("PostgreSQL %d does not have it", version)
			}
			database := newDatabase(t, conversations, messages)
			serve(t, database, chat).stop(interrupt)
			awaitFreeSlot(t, database)
			role := "doctor_" + slotOf(t, database)
			pgtest.Exec(t, database, `create role `+role+` login replication`, `grant select on message, conversation to `+role)
			keepsCheckpoint(t, database, role)
			t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+role) })
			t.Cleanup(func() { pgtest.Exec(t, database, `drop owned by `+role) })
			as := strings.Replace(database, "postgres@", role+"@", 1)
			line := regexp.MustCompile(fmt.Sprintf(`(?m)^%-6s %s.*: .*%s`, c.level, regexp.QuoteMeta(c.check), regexp.QuoteMeta(c.detail)))
			for _, sql := range c.breaks {
				pgtest.Exec(t, database, strings.ReplaceAll(sql, "{role}", role))
			}
			_, stdout, _ := doctorOf(t, as, chat)
			if !line.MatchString(stdout) {
				t.Fatalf("doctor says\n%s\nwant %s", stdout, line)
			}
			if c.mends == "" {
				pgtest.Exec(t, database, fixOf(stdout, c.check)...)
			} else {
				pgtest.Exec(t, database, c.mends)
			}
			if code, stdout, _ := doctorOf(t, as, chat); code != 0 || line.MatchString(stdout) {
				t.Errorf("after it was mended: exit code %d\n%s", code, stdout)
			}
		})
	}
}

func TestDoctorFindsADatabaseWithoutAnEncoding(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	pgtest.Exec(t, postgres.URL("postgres"), `create database orders encoding 'SQL_ASCII' template template0 lc_collate 'C' lc_ctype 'C'`)
	pgtest.Exec(t, postgres.URL("orders"), conversations, messages)
	code, stdout, _ := doctor(t, postgres.URL("orders"))
	if code != 1 || !strings.Contains(stdout, "FAIL   encoding: the database's encoding is SQL_ASCII") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

func TestDoctorFindsASlotOfAnotherDatabaseAndOneInUse(t *testing.T) {
	t.Parallel()
	database, other := newDatabase(t, conversations, messages), newDatabase(t, conversations, messages)
	serve(t, database, chat)
	_, stdout, _ := doctorOf(t, database, chat)
	if !regexp.MustCompile(`(?m)^warn   slot .*: is in use by process \d+: a second gateway waits`).MatchString(stdout) {
		t.Errorf("of one in use:\n%s", stdout)
	}
	code, stdout, _ := command(t, "doctor", "--database-url", other, "--slot", slotOf(t, database))
	if code != 1 || !strings.Contains(stdout, "belongs to database "+slotOf(t, database)) {
		t.Errorf("of another database: exit code %d\n%s", code, stdout)
	}
}

// What happened while nobody looked is in the database, for an operator who looks later.
func TestDoctorTellsOfTheLastReset(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages)
	g := serve(t, database, chat)
	if _, stdout, _ := doctorOf(t, database, chat); !strings.Contains(stdout, "ok     last reset: none") {
		t.Errorf("before:\n%s", stdout)
	}
	dropSlot(t, database)
	eventually(t, "the gateway has found out", func() bool { _, text := g.ask("/status"); return strings.Contains(text, `"slot_lost"`) })
	if _, text := g.ask("/status"); !strings.Contains(text, `"do": "run `+"`reactive-gw doctor`") {
		t.Errorf("status:\n%s", text)
	}
	g.awaitReady()
	g.stop(interrupt)
	_, stdout, _ := doctorOf(t, database, chat)
	if !regexp.MustCompile(`(?m)^ok     last reset: \d{4}-\S+, slot_lost: `).MatchString(stdout) {
		t.Errorf("after:\n%s", stdout)
	}
}
