package integration_test

import (
	"errors"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// demo is a run of `reactive-gw demo`.
type demo struct {
	*process
	page, database string
	temp           string // its folder for temporary files, where nothing else is
}

// startDemo starts a demo as a user, nil for the one who runs the tests, and waits until it says where it is.
func startDemo(t *testing.T, as *syscall.Credential, args ...string) *demo {
	t.Helper()
	d := &demo{temp: openFolder(t)}
	all := append([]string{"demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)
	if bin := os.Getenv("REACTIVE_TEST_PG_BIN"); bin != "" {
		all = append(all, "--pg-bin", bin)
	}
	d.process = runAs(t, as, d.temp, []string{"TMPDIR=" + d.temp, "HOME=" + d.temp}, all...)
	eventually(t, "the demo says where it is", func() bool {
		if !d.running() {
			t.Fatalf("the demo ended with exit code %d", d.wait())
		}
		found := regexp.MustCompile(`Open +(\S+)\s+Database +(\S+)`).FindStringSubmatch(d.stdout.String())
		if found != nil {
			d.page, d.database = found[1], found[2]
		}
		return found != nil
	})
	return d
}

// openFolder is a temporary folder that every user may enter and write to, above it as well.
func openFolder(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "reactive-gw-demo-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	if err := os.Chmod(folder, 0o777); err != nil {
		t.Fatal(err)
	}
	return folder
}

// ends sends Ctrl-C and looks that nothing is left.
func (d *demo) ends() {
	d.t.Helper()
	if code := d.stop(interrupt); code != 0 {
		d.t.Errorf("exit code %d on Ctrl-C", code)
	}
	if left := processes(d.temp); len(left) > 0 {
		d.t.Errorf("processes are left:\n%s", strings.Join(left, "\n"))
	}
	files, err := os.ReadDir(d.temp)
	if err != nil {
		d.t.Fatal(err)
	}
	for _, f := range files {
		d.t.Errorf("%s is left", f.Name())
	}
}

// PostgreSQL refuses to run as root, and the demo does not.
func TestDemoRunsAsAnyUserAndLeavesNothing(t *testing.T) {
	onAnyServer(t)
	users := map[string]*syscall.Credential{"the tests' own user": nil}
	if os.Geteuid() == 0 {
		users["nobody"] = credential(t, "nobody")
	}
	for name, as := range users {
		d := startDemo(t, as)
		if len(processes(d.temp)) == 0 {
			t.Errorf("as %s: no process has its folder in its command line, so that none would be missed", name)
		}
		if status, body := get(t, d.page); status != 200 || !strings.Contains(body, `data-pane="left"`) {
			t.Errorf("as %s: the page answers %d", name, status)
		}
		if status := statusAs(t, d.page, "evil.example"); status != 403 {
			t.Errorf("as %s: the page of a name that leads here answers %d", name, status)
		}
		d.ends()
	}
}

func TestDemoKeepsItsDatabaseWithData(t *testing.T) {
	onAnyServer(t)
	data := filepath.Join(openFolder(t), "chat")
	d := startDemo(t, nil, "--data", data)
	const kept = `select count(*) from message where body = 'to be kept'`
	seeds := pgtest.Query[int](t, d.database, `select count(*) from message`)
	pgtest.Exec(t, d.database, `insert into message (conversation_id, author_id, body) select conversation_id, id, 'to be kept' from member limit 1`)
	d.ends()
	if left := processes(data); len(left) > 0 {
		t.Errorf("processes are left:\n%s", strings.Join(left, "\n"))
	}
	d = startDemo(t, nil, "--data", data)
	if got := pgtest.Query[int](t, d.database, kept); got != 1 {
		t.Errorf("%d messages were kept, want 1", got)
	}
	if got := pgtest.Query[int](t, d.database, `select count(*) from message`); got != seeds+1 {
		t.Errorf("%d messages, want %d: it must not be filled again", got, seeds+1)
	}
	d.ends()
}

// Who can write to the folder must not have root write, or give away, what is root's.
func TestS5DemoAsRootFollowsNoLinks(t *testing.T) {
	onAnyServer(t)
	if os.Geteuid() != 0 {
		t.Skip("only root has what others have not")
	}
	victim := filepath.Join(openFolder(t), "victim")
	write(t, victim, "root's alone")
	data := filepath.Join(openFolder(t), "chat")
	startDemo(t, nil, "--data", data).ends()
	conf := filepath.Join(data, "data", "postgresql.conf")
	if err := errors.Join(os.Remove(conf), os.Symlink(victim, conf)); err != nil {
		t.Fatal(err)
	}
	startDemo(t, nil, "--data", data).ends()
	info, err := os.Stat(victim)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(victim)
	if owner := info.Sys().(*syscall.Stat_t).Uid; err != nil || string(text) != "root's alone" || owner != 0 {
		t.Errorf("%q, of %d, %v", text, owner, err)
	}
	for _, open := range []func() error{
		func() error { return os.Chmod(data, 0o777) },
		func() error {
			return errors.Join(os.Chmod(data, 0o700), os.Rename(data, data+"2"), os.Symlink(data+"2", data))
		},
	} {
		if err := open(); err != nil {
			t.Fatal(err)
		}
		p := run(t, t.TempDir(), nil, "demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--data", data)
		if code := p.wait(); code != 1 || !strings.Contains(p.stderr.String(), data) {
			t.Errorf("exit code %d: %s", code, p.stderr)
		}
	}
}

// The end of its terminal is the end of a demo, in order.
func TestW35ADemoEndsWithItsTerminal(t *testing.T) {
	onAnyServer(t)
	d := startDemo(t, nil)
	if code := d.stop(syscall.SIGHUP); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if left := processes(d.temp); len(left) > 0 {
		t.Errorf("processes are left:\n%s", strings.Join(left, "\n"))
	}
}

func TestDemoDiesWithoutLeavingAServer(t *testing.T) {
	onAnyServer(t)
	d := startDemo(t, nil)
	d.stop(syscall.SIGKILL)
	eventually(t, "its server and its folder are gone", func() bool {
		files, err := os.ReadDir(d.temp)
		return err == nil && len(files) == 0 && len(processes(d.temp)) == 0
	})
}

func credential(t *testing.T, name string) *syscall.Credential {
	t.Helper()
	found, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.ParseUint(found.Uid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.ParseUint(found.Gid, 10, 32)
	if err != nil {
		t.Fatal(err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
}
