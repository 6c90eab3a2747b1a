package integration_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// `setup: check` changes nothing, says all that is missing at once, and serves after exactly that was run.
func TestSetupCheckRefusesWithTheSQLThatMends(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	const yaml = "setup: check\n" + chat
	g := start(t, database, yaml)
	if code := g.wait(); code != 1 {
		t.Fatalf("exit code %d, want 1", code)
	}
	sql := advised(g.stderr.String())
	for _, part := range []string{"CREATE PUBLICATION", "REPLICA IDENTITY FULL", "pg_create_logical_replication_slot", "reactive-gw migrate up"} {
		if !strings.Contains(strings.Join(sql, "\n"), part) {
			t.Errorf("the refusal does not say %s:\n%s", part, g.stderr)
		}
	}
	if made := pgtest.Query[int](t, database, `select (select count(*) from pg_publication) + (select count(*) from pg_replication_slots where database = current_database())`); made != 0 {
		t.Fatal("setup: check has made something")
	}
	// In the order in which it is said: the slot has to come after the publication of the outbox.
	if code, _, stderr := command(t, "migrate", "up", "--database-url", database); code != 0 {
		t.Fatalf("migrate up: exit code %d\n%s", code, stderr)
	}
	g = start(t, database, yaml)
	if code := g.wait(); code != 1 || strings.Contains(g.stderr.String(), "reactive-gw migrate up") {
		t.Fatalf("with the schema alone: exit code %d\n%s", code, g.stderr)
	}
	pgtest.Exec(t, database, sql...)
	c := connect(t, serve(t, database, yaml))
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'Ready?')`)
	c.until("changes flow", func() bool { return len(v.events) == 1 })
}

// advised picks the SQL out of a refusal: what is indented by four.
func advised(text string) (statements []string) {
	for _, match := range regexp.MustCompile(`(?m)^ {4}(\S.*)$`).FindAllStringSubmatch(text, -1) {
		statements = append(statements, match[1])
	}
	return statements
}

// A role that may not make the schema, and one that may not touch the tables, is told all of it at once, and leaves no slot
// behind that would hold the log back for nobody.
func TestARoleThatMayNotMendIsToldWhatToRun(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages)
	role := "reader_" + slotOf(t, database)
	pgtest.Exec(t, database, `create role `+role+` login replication`)
	t.Cleanup(func() { pgtest.Exec(t, database, `drop owned by `+role, `drop role `+role) })
	refused := func(parts ...string) {
		t.Helper()
		g := start(t, strings.Replace(database, "postgres@", role+"@", 1), chat)
		if code := g.wait(); code != 1 {
			t.Errorf("exit code %d", code)
		}
		for _, part := range parts {
			if !strings.Contains(g.stderr.String(), part) {
				t.Errorf("no %q in\n%s", part, g.stderr)
			}
		}
		if slots := pgtest.Query[int](t, database, `select count(*) from pg_replication_slots where database = current_database()`); slots != 0 {
			t.Errorf("%d slots were left behind", slots)
		}
	}
	all := []string{"may not create", "CREATE PUBLICATION", "REPLICA IDENTITY FULL", "pg_create_logical_replication_slot"}
	refused(append(all, "reactive-gw migrate up")...)
	if code, _, stderr := command(t, "migrate", "up", "--database-url", database); code != 0 {
		t.Fatalf("migrate up: exit code %d\n%s", code, stderr)
	}
	keepsCheckpoint(t, database, role)
	refused(all...)
}

func maintenance(database string) string {
	return regexp.MustCompile(`/test_\w+`).ReplaceAllString(database, "/postgres")
}
