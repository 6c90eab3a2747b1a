package integration_test

import (
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// remembers notes what the start has made, as it would have been noted by the start.
func remembers(t *testing.T, database string) {
	t.Helper()
	pgtest.Exec(t, database, `insert into mtbreactive.setup (kind, name, before) values ('slot', '`+slotOf(t, database)+`', ''), ('publication', 'mtbreactive', ''),
		('replica identity', '"public"."message"', 'DEFAULT') on conflict do nothing`)
}

// remaining counts what a gateway may leave in a database.
func remaining(t *testing.T, database string) int {
	t.Helper()
	return pgtest.Query[int](t, database, `select ((select count(*) from pg_replication_slots where database = current_database())
		+ (select count(*) from pg_publication) + (select count(*) from pg_namespace where nspname = 'mtbreactive')
		+ (select count(*) from pg_trigger where tgname like 'mtbreactive%') + (select count(*) from pg_class where relname = 'message' and relreplident <> 'd'))::int`)
}

// uninstall lists what the gateway made, refuses while one runs, and with --yes leaves nothing behind.
func TestUninstallLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	remembers(t, database)
	pgtest.Exec(t, database, `create table noted (id int primary key)`, `create trigger mtbreactive_notify after insert on noted for each row execute function mtbreactive.notify_change('x')`)
	uninstall := func(args ...string) (code int, stdout, stderr string) {
		return command(t, append([]string{"uninstall", "--database-url", database, "--slot", slotOf(t, database)}, args...)...)
	}
	if code, stdout, stderr := uninstall("--yes"); code != 1 || !strings.Contains(stderr, "a gateway uses slot "+slotOf(t, database)) || !strings.Contains(stderr, "stop it first") {
		t.Errorf("while a gateway runs: exit code %d\n%s%s", code, stdout, stderr)
	}
	g.stop(interrupt)
	awaitFreeSlot(t, database)
	before := remaining(t, database)
	code, stdout, stderr := uninstall()
	if code != 0 {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	for _, want := range []string{"pg_drop_replication_slot('" + slotOf(t, database) + "')", `DROP PUBLICATION "mtbreactive";`, `ALTER TABLE ONLY "public"."message" REPLICA IDENTITY DEFAULT;`,
		`DROP TRIGGER "mtbreactive_notify" ON "public"."noted";`, "DROP PUBLICATION mtbreactive_outbox;", "DROP FUNCTION mtbreactive.emit(jsonb);", "DROP TABLE mtbreactive.checkpoint;", "DROP SCHEMA mtbreactive;", "Nothing was changed."} {
		if !strings.Contains(stdout, want) {
			t.Errorf("the list lacks %s:\n%s", want, stdout)
		}
	}
	if now := remaining(t, database); now != before || now == 0 {
		t.Errorf("the list has changed something: %d things are left of %d", now, before)
	}
	if code, stdout, stderr := uninstall("--yes"); code != 0 || !strings.Contains(stdout, "removed slot") {
		t.Fatalf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if left := remaining(t, database); left != 0 {
		t.Errorf("%d things are left", left)
	}
	if code, stdout, _ := uninstall("--yes"); code != 0 || !strings.Contains(stdout, "there is nothing to remove") {
		t.Errorf("once more: exit code %d\n%s", code, stdout)
	}
	serve(t, database, chat)
}

// Statements that this role may not run are printed for one that may, and the schema stays, which remembers them.
func TestUninstallSaysWhatThisRoleMayNotRemove(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	serve(t, database, chat).stop(interrupt)
	awaitFreeSlot(t, database)
	remembers(t, database)
	role := "gateway_" + slotOf(t, database)
	pgtest.Exec(t, database, `create role `+role+` login replication`)
	keepsCheckpoint(t, database, role)
	t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+role) })
	t.Cleanup(func() { pgtest.Exec(t, database, `drop owned by `+role) })
	as := strings.Replace(database, "postgres@", role+"@", 1)
	code, stdout, stderr := command(t, "uninstall", "--yes", "--database-url", as, "--slot", slotOf(t, database))
	if code != 1 || !strings.Contains(stdout, "removed slot") || !strings.Contains(stdout, "FAIL   publication mtbreactive, by role postgres or a superuser: role "+role+" may not") ||
		!strings.Contains(stderr, "not everything was removed") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	_, rest, _ := strings.Cut(stdout, "Not removed yet, for a role that may:\n")
	if !strings.Contains(rest, `DROP PUBLICATION "mtbreactive";`) || !strings.Contains(rest, `"public"."message" REPLICA IDENTITY DEFAULT;`) {
		t.Errorf("the rest is\n%s", rest)
	}
	if code, stdout, stderr := command(t, "uninstall", "--yes", "--database-url", database, "--slot", slotOf(t, database)); code != 0 {
		t.Errorf("as an owner: exit code %d\n%s%s", code, stdout, stderr)
	}
	if left := remaining(t, database); left != 0 {
		t.Errorf("%d things are left", left)
	}
}

// Without the schema nothing is remembered: slot and publication of the configured names are listed, and stay.
func TestUninstallWithoutTheSchemaListsByName(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	serve(t, database, chat).stop(interrupt)
	awaitFreeSlot(t, database)
	pgtest.Exec(t, database, `drop publication mtbreactive_outbox`, `drop schema mtbreactive cascade`)
	code, stdout, stderr := command(t, "uninstall", "--yes", "--database-url", database, "--slot", slotOf(t, database))
	if code != 0 || !strings.Contains(stdout, "left   slot "+slotOf(t, database)+": nothing is remembered of who made it") || !strings.Contains(stdout, "left   publication mtbreactive:") ||
		!strings.Contains(stdout, "pg_drop_replication_slot('"+slotOf(t, database)+"')") {
		t.Errorf("exit code %d\n%s%s", code, stdout, stderr)
	}
	if slots := pgtest.Query[int](t, database, `select count(*) from pg_replication_slots where database = current_database()`); slots != 1 {
		t.Error("the slot is gone")
	}
}
