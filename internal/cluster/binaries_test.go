package cluster

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestFolderWithoutProgramsIsRefused(t *testing.T) {
	empty := sharedFolder(t)
	_, err := New(t.Context(), Options{BinDir: empty})
	if err == nil || !strings.Contains(err.Error(), filepath.Join(empty, "initdb")) {
		t.Errorf("New: %v, want an error that names the missing program", err)
	}
}

func TestInitdbComplaintIsTold(t *testing.T) {
	dir := sharedFolder(t)
	check(t, "close to others", os.Chmod(dir, 0o755))
	programs := wrappedPrograms(t)
	script := "#!/bin/sh\n[ \"$1\" = --version ] && exec echo 'initdb (PostgreSQL) 18.1'\necho chatter\necho 'no room' >&2\nexit 1\n"
	check(t, "write", os.WriteFile(filepath.Join(programs, "initdb"), []byte(script), 0o755))
	_, err := New(t.Context(), Options{BinDir: programs, Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "exit status 1 no room") || strings.Contains(err.Error(), "chatter") {
		t.Errorf("New: %v, want an error with what initdb complained of", err)
	}
	expectEmpty(t, dir)
}

func TestProgramsOfAnotherVersionAreRefused(t *testing.T) {
	dir := sharedFolder(t)
	check(t, "make folder", os.Mkdir(filepath.Join(dir, "data"), 0o755))
	check(t, "write", os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte("7\n"), 0o644))
	_, err := New(t.Context(), Options{BinDir: binDir(), Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "of version 7") {
		t.Errorf("New: %v, want an error that tells both versions", err)
	}
}

func TestPathGoesBeforeUsualPlaces(t *testing.T) {
	dir := wrappedPrograms(t)
	t.Setenv("PATH", dir+string(filepath.ListSeparator)+os.Getenv("PATH"))
	as, err := serverAccount()
	check(t, "account", err)
	found, err := locate(t.Context(), Options{}, as, zap.NewNop())
	check(t, "locate", err)
	if found.dir != dir {
		t.Errorf("found %s, want %s, which is first in PATH", found.dir, dir)
	}
}

func TestNumberReadsTheVersionInAPath(t *testing.T) {
	for path, want := range map[string]int{
		"/usr/lib/postgresql/9.6/bin":                      9,
		"/usr/lib/postgresql/18/bin":                       18,
		"/usr/pgsql-17/bin":                                17,
		"/opt/homebrew/opt/postgresql@16/bin":              16,
		"/usr/local/pgsql/bin":                             0,
		"/Applications/Postgres.app/Contents/Versions/15/": 15,
	} {
		if got := number(path); got != want {
			t.Errorf("number(%s) = %d, want %d", path, got, want)
		}
	}
}

// wrappedPrograms is a folder with scripts that run the tests' programs.
func wrappedPrograms(t *testing.T) string {
	t.Helper()
	as, err := serverAccount()
	check(t, "account", err)
	genuine, err := locate(t.Context(), Options{BinDir: binDir()}, as, zap.NewNop())
	check(t, "locate", err)
	dir := sharedFolder(t)
	for _, program := range []string{"initdb", "postgres", "pg_ctl"} {
		script := "#!/bin/sh\nexec " + genuine.path(program) + ` "$@"` + "\n"
		check(t, "write", os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755))
	}
	return dir
}
