package integration_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestMigrateUpAppliesOnceAndStatusTells(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	migrate := func(what string, want string) {
		t.Helper()
		code, stdout, stderr := command(t, "migrate", what, "--database-url", database)
		if code != 0 || !regexp.MustCompile(want).MatchString(stdout) {
			t.Errorf("migrate %s: exit code %d, want %q\n%s%s", what, code, want, stdout, stderr)
		}
	}
	migrate("status", `(?m)^0001_checkpoint\.sql +pending$`)
	if pgtest.Query[bool](t, database, `select to_regnamespace('mtbreactive') is not null`) {
		t.Error("status has made the schema")
	}
	migrate("up", `(?m)^applied 0001_checkpoint\.sql$`)
	migrate("status", `(?m)^0001_checkpoint\.sql +applied \d{4}-\d\d-\d\dT`)
	migrate("up", `(?m)^nothing to apply$`)
	if code, _, stderr := command(t, "migrate"); code != 2 || !strings.Contains(stderr, "write migrate up, migrate status or") {
		t.Errorf("migrate alone: exit code %d\n%s", code, stderr)
	}
}

func TestVersion(t *testing.T) {
	onAnyServer(t)
	code, stdout, _ := command(t, "version")
	if code != 0 || !regexp.MustCompile(`^reactive-gw \S+`).MatchString(stdout) {
		t.Errorf("exit code %d: %s", code, stdout)
	}
}
