//go:build unix

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// account is the user that the server runs as where we are root, whom PostgreSQL refuses. Nil stands for ourselves.
type account struct {
	name     string
	uid, gid int
}

// serverAccount chooses the account. An error means that the machine has none.
func serverAccount() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil // nil is the account we are
	}
	var missing error
	for _, name := range []string{"postgres", "nobody"} {
		found, err := user.Lookup(name)
		if err != nil {
			missing = errors.Join(missing, err)
			continue
		}
		uid, err := strconv.Atoi(found.Uid)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		gid, err := strconv.Atoi(found.Gid)
		if err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &account{name: name, uid: uid, gid: gid}, nil
	}
	return nil, fmt.Errorf("find a user for PostgreSQL, which refuses to run as root: %w", missing)
}

func (a *account) String() string {
	if a == nil {
		return "of this process"
	}
	return a.name + " (PostgreSQL refuses root)"
}

// own gives an open file or folder to the account. By its path another one could get it.
func (a *account) own(file *os.File) error {
	if a == nil {
		return nil
	}
	return file.Chown(a.uid, a.gid)
}

// trusts refuses a folder that others can write, or that is somebody else's: they could replace what we then read or write with
// our rights, which may be root's.
func (a *account) trusts(path string, info fs.FileInfo) error {
	const others, group = 0o002, 0o020
	writable := info.Mode().Perm() & others
	if a != nil {
		writable = info.Mode().Perm() & (others | group)
	}
	if writable != 0 {
		return fmt.Errorf("others can write to %s: run chmod go-w %s, or name another folder", path, path)
	}
	status, ok := info.Sys().(*syscall.Stat_t)
	if ok && int(status.Uid) != os.Geteuid() && (a == nil || int(status.Uid) != a.uid) {
		return fmt.Errorf("%s belongs to another user (%d): name a folder of your own", path, status.Uid)
	}
	return nil
}

// run makes cmd run as the account, in the folder, and in a process group of its own: a Ctrl-C at the terminal is meant
// for us, who then stop things in order.
func (a *account) run(cmd *exec.Cmd, folder string) {
	cmd.Dir = folder
	cmd.Env = serverEnv(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if a != nil {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
}

// serverEnv is env without what would let the machine's language, time zone or PostgreSQL clients' settings into the
// cluster: every machine gets the same one.
func serverEnv(env []string) []string {
	kept := []string{"LC_ALL=C", "TZ=UTC"}
	for _, variable := range env {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "PG") || strings.HasPrefix(name, "LC_") || name == "LANG" || name == "TZ" {
			continue
		}
		kept = append(kept, variable)
	}
	return kept
}
