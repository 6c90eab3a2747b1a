package integration_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestDoctorIsContentWithWhatServes(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages)
	serve(t, database, "").stop(interrupt)
	code, stdout, stderr := doctor(t, database, "--setup", "check")
	if code != 0 || strings.Contains(stdout, "mend ") || strings.Contains(stdout, "FAIL ") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
}

func TestDoctorWithoutASetupSaysWhatServingWouldDo(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages)
	code, stdout, _ := doctor(t, database)
	if code != 0 || !strings.Contains(stdout, "Serving with `setup: auto` runs the SQL above itself") {
		t.Errorf("with setup: auto exit code %d\n%s", code, stdout)
	}
	if code, _, _ := doctor(t, database, "--setup", "check"); code != 1 {
		t.Errorf("with setup: check exit code %d, want 1", code)
	}
	if made := pgtest.Query[int](t, database, `select count(*) from pg_publication`); made != 0 {
		t.Error("doctor has changed the database")
	}
}

// Each thing is broken in a database that serves, found, and mended by the SQL that doctor prints.
func TestDoctorFindsEachBrokenThingAndMendsIt(t *testing.T) {
	t.Parallel()
	for name, each := range map[string]struct {
		breaks string
		check  string
		want   string
	}{
		"no slot":          {`select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()`, "mend   slot", "does not exist"},
		"no publication":   {`drop publication mtbreactive`, "mend   publication", "there is no publication"},
		"table left out":   {`alter publication mtbreactive drop table message`, "mend   table public.message", "is not in publication"},
		"changes left out": {`alter publication mtbreactive set (publish = 'insert, update')`, "FAIL   publication", "leaves out a kind of change"},
		"identity":         {`alter table message replica identity default`, "mend   table public.message", "before images"},
		"checkpoint":       {`drop schema mtbreactive cascade`, "mend   schema mtbreactive", "pending"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := newDatabase(t, conversations, messages)
			serve(t, database, chat).stop(interrupt)
			awaitFreeSlot(t, database)
			pgtest.Exec(t, database, each.breaks)
			code, stdout, _ := doctorOf(t, database, chat)
			if code != 1 || !strings.Contains(stdout, each.check) || !strings.Contains(stdout, each.want) {
				t.Fatalf("exit code %d, want 1 and %q with %q\n%s", code, each.check, each.want, stdout)
			}
			for _, match := range regexp.MustCompile(`(?m)^ {7}(\S.*)$`).FindAllStringSubmatch(stdout, -1) {
				if match[1] == "-- run `reactive-gw migrate up`" {
					command(t, "migrate", "up", "--database-url", database)
					continue
				}
				pgtest.Exec(t, database, match[1])
			}
			if code, stdout, _ := doctorOf(t, database, chat); code != 0 {
				t.Errorf("after its SQL was run: exit code %d\n%s", code, stdout)
			}
		})
	}
}

func TestDoctorFindsARoleThatMayNotReplicate(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages)
	role := "app_" + slotOf(t, database)
	pgtest.Exec(t, database, `create role `+role+` login`)
	t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+role) })
	code, stdout, _ := command(t, "doctor", "--database-url", strings.Replace(database, "postgres@", role+"@", 1), "--slot", slotOf(t, database))
	if code != 1 || !strings.Contains(stdout, "FAIL   role") || !strings.Contains(stdout, `ALTER ROLE "`+role+`" REPLICATION;`) {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

func TestDoctorFindsWhatARoleMayNotRead(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages)
	serve(t, database, chat).stop(interrupt)
	role := "app_" + slotOf(t, database)
	pgtest.Exec(t, database, `create role `+role+` login replication`)
	t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+role) })
	t.Cleanup(func() { pgtest.Exec(t, database, `drop owned by `+role) })
	as := strings.Replace(database, "postgres@", role+"@", 1)
	code, stdout, _ := doctorOf(t, as, chat)
	if code != 1 || !strings.Contains(stdout, "warn   table public.message") || !strings.Contains(stdout, "FAIL   schema mtbreactive") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
	if !strings.Contains(stdout, "-- as role postgres:\nFAIL   schema mtbreactive") {
		t.Errorf("it does not say who may grant:\n%s", stdout)
	}
	for _, match := range regexp.MustCompile(`(?m)^ {7}(\S.*)$`).FindAllStringSubmatch(stdout, -1) {
		pgtest.Exec(t, database, match[1])
	}
	if code, stdout, _ := doctorOf(t, as, chat); code != 0 || strings.Contains(stdout, "warn ") {
		t.Errorf("after its SQL was run: exit code %d\n%s", code, stdout)
	}
}

func TestDoctorFindsASlotOfAnotherPlugin(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, `select pg_create_logical_replication_slot(current_database(), 'test_decoding')`)
	code, stdout, _ := doctor(t, database)
	if code != 1 || !strings.Contains(stdout, "FAIL   slot") || !strings.Contains(stdout, "no logical slot of pgoutput") {
		t.Errorf("exit code %d\n%s", code, stdout)
	}
}

func TestDoctorSaysThatTheDatabaseDoesNotAnswer(t *testing.T) {
	t.Parallel()
	code, _, stderr := command(t, "doctor", "--database-url", "postgres://postgres@"+freeAddress(t)+"/orders?sslmode=disable")
	if code != 1 || !strings.Contains(stderr, "connect") {
		t.Errorf("exit code %d\n%s", code, stderr)
	}
}

func doctor(t *testing.T, database string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return command(t, append([]string{"doctor", "--database-url", database, "--slot", slotOf(t, database)}, args...)...)
}

// doctorOf is doctor with a reactive.yaml, and setup: check.
func doctorOf(t *testing.T, database, yaml string) (code int, stdout, stderr string) {
	t.Helper()
	file := t.TempDir() + "/reactive.yaml"
	write(t, file, yaml)
	return doctor(t, database, "--setup", "check", "--config", file)
}
