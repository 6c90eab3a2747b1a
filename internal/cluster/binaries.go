package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// binaries is a folder with the programs initdb and postgres of one PostgreSQL.
type binaries struct {
	dir   string
	major string // "15"
}

func (b binaries) path(program string) string { return filepath.Join(b.dir, program) }

// locate finds the programs that opts ask for: of the version that the cluster's folder was made with, if it was.
func locate(ctx context.Context, opts Options, as *account, log *zap.Logger) (binaries, error) {
	made, err := madeWith(opts.Dir)
	if err != nil {
		return binaries{}, err
	}
	search := []string{opts.BinDir}
	if opts.BinDir == "" {
		search = usualPlaces()
	}
	var refused error
	for _, dir := range search {
		found, err := inspect(ctx, dir, as)
		if err == nil && made != "" && found.major != made {
			err = fmt.Errorf("%s is version %s, and the cluster in %s of version %s", dir, found.major, opts.Dir, made)
		}
		if err == nil {
			return found, nil
		}
		refused = errors.Join(refused, err)
	}
	if opts.BinDir == "" && opts.Fetch != nil && made == "" {
		return opts.Fetch.binaries(ctx, as, log)
	}
	if refused == nil {
		refused = errors.New("none in PATH, nor where distributions put them")
	}
	return binaries{}, fmt.Errorf("find PostgreSQL's programs initdb and postgres (install PostgreSQL, "+
		"or name the folder that has them): %w", refused)
}

// madeWith tells which major version made the cluster in dir; empty when there is none yet.
func madeWith(dir string) (string, error) {
	if dir == "" {
		return "", nil
	}
	root, err := os.OpenRoot(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read the cluster's version: %w", err)
	}
	version, err := root.ReadFile(path.Join(dataFolder, "PG_VERSION"))
	if err = errors.Join(err, root.Close()); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the cluster's version: %w", err)
	}
	return strings.TrimSpace(string(version)), nil
}

// usualPlaces lists the folders that have both programs: first those in PATH, in its order, then those of the known
// distributions, the newest version first.
func usualPlaces() []string {
	var places []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",      // Debian, Ubuntu
		"/usr/pgsql-*/bin",               // PGDG's RPMs
		"/usr/libexec/postgresql*",       // Alpine
		"/usr/lib/postgresql*/bin",       // SUSE, Gentoo
		"/usr/local/pgsql/bin",           // from source
		"/opt/local/lib/postgresql*/bin", // MacPorts
		"/opt/homebrew/opt/postgresql*/bin",
		"/usr/local/opt/postgresql*/bin", // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/Applications/Postgres.app/Contents/Versions/*/bin",
	} {
		found, _ := filepath.Glob(pattern) // fails only on a malformed pattern
		places = append(places, found...)
	}
	slices.SortStableFunc(places, func(a, b string) int { return number(b) - number(a) })
	places = append(filepath.SplitList(os.Getenv("PATH")), places...)

	var complete []string
	for _, dir := range places {
		initdb, err := filepath.EvalSymlinks(filepath.Join(dir, "initdb"))
		if err != nil {
			continue
		}
		dir = filepath.Dir(initdb)
		_, err = os.Stat(filepath.Join(dir, "postgres"))
		if err == nil && !slices.Contains(complete, dir) {
			complete = append(complete, dir)
		}
	}
	return complete
}

// number reads the first number in a path, the major version; 0 without one.
func number(path string) int {
	n := 0
	_, _ = fmt.Sscanf(strings.TrimLeftFunc(path, func(r rune) bool { return r < '0' || r > '9' }), "%d", &n)
	return n
}

// inspect asks the programs in dir for their version, as the account that will run them: a folder that it may not enter
// and a program that lacks a library are found out here.
func inspect(ctx context.Context, dir string, as *account) (binaries, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return binaries{}, err
	}
	var major string
	for _, program := range []string{"initdb", "postgres"} {
		out, err := output(ctx, as, filepath.Join(dir, program), "--version")
		if err != nil {
			return binaries{}, fmt.Errorf("run as the user %s: %w", as, err)
		}
		// "postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)", "initdb (PostgreSQL) 19devel"
		match := regexp.MustCompile(`\(PostgreSQL\) (\d+)`).FindStringSubmatch(out)
		if match == nil {
			return binaries{}, fmt.Errorf("%s: unknown version %q", filepath.Join(dir, program), out)
		}
		major = match[1]
	}
	return binaries{dir: dir, major: major}, nil
}

// initdb makes a cluster in the folder data, which is empty and belongs to the account: UTF-8, and the C locale, which
// every machine has. With a password file, which the account can read, the superuser has its password, and without none.
func (b binaries) initdb(ctx context.Context, data, passwordFile string, as *account) error {
	args := []string{"--pgdata", data, "--username", superuser, "--encoding", "UTF8", "--locale", "C", "--no-sync"}
	if passwordFile != "" {
		args = append(args, "--auth", "scram-sha-256", "--pwfile", passwordFile)
	} else {
		args = append(args, "--auth", "trust")
	}
	_, err := output(ctx, as, b.path("initdb"), args...)
	if err != nil {
		return fmt.Errorf("run initdb as the user %s: %w", as, err)
	}
	return nil
}

// output runs the program as the account, and gives what it wrote. An error has what it complained of.
func output(ctx context.Context, as *account, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGINT) } // initdb clears up
	cmd.WaitDelay = 5 * time.Second
	as.run(cmd, "/")
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if ctx.Err() != nil {
		return "", fmt.Errorf("%s: %w", program, ctx.Err())
	}
	if err != nil {
		return "", fmt.Errorf("%s: %w %s", program, err, bytes.TrimSpace(complaints.Bytes()))
	}
	return string(bytes.TrimSpace(out)), nil
}
