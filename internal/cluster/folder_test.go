//go:build unix

package cluster

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// victim is a file that nobody but we may read, and that must stay so.
type victim struct {
	t    *testing.T
	file string
}

const theirs = "root's alone\n"

func newVictim(t *testing.T) *victim {
	t.Helper()
	v := &victim{t, filepath.Join(sharedFolder(t), "victim")}
	check(t, "make a file", os.WriteFile(v.file, []byte(theirs), 0o600))
	return v
}

func (v *victim) unharmed(after string) {
	v.t.Helper()
	text, err := os.ReadFile(v.file)
	check(v.t, "read the file", err)
	info, err := os.Lstat(v.file)
	check(v.t, "look at the file", err)
	if owner := info.Sys().(*syscall.Stat_t).Uid; string(text) != theirs || info.Mode() != 0o600 || int(owner) != os.Geteuid() {
		v.t.Errorf("after %s: %q, %s, of %d", after, text, info.Mode(), owner)
	}
}

// closedFolder is a folder of the server's account, into which that puts what it likes.
func closedFolder(t *testing.T) (string, *account) {
	t.Helper()
	owner, err := serverAccount()
	check(t, "account", err)
	f, err := makeFolder(filepath.Join(sharedFolder(t), "cluster"), owner)
	check(t, "make folder", err)
	check(t, "close folder", f.close())
	return f.path, owner
}

// The folder belongs to the server's account. What it puts there must not make root write to, give away or show what is root's.
func TestS5LinksInTheFolderLeadNowhere(t *testing.T) {
	v := newVictim(t)
	dir := filepath.Join(sharedFolder(t), "kept")
	c := newCluster(t, Options{Dir: dir, Password: true})
	check(t, "close", c.Close())
	conf := filepath.Join(dir, "data", "postgresql.conf")
	for name, put := range map[string]func() error{
		"a symbolic link":          func() error { return os.Symlink(v.file, conf) },
		"a hard link":              func() error { return os.Link(v.file, conf) },
		"a link for what is ahead": func() error { return os.Symlink(v.file, conf+".new") },
	} {
		check(t, name, os.Remove(conf))
		check(t, name, put())
		again := newCluster(t, Options{Dir: dir, Password: true})
		if got := query[int](t, again, "select 1"); got != 1 {
			t.Errorf("select 1 gives %d", got)
		}
		check(t, "close", again.Close())
		v.unharmed(name)
		if info, err := os.Lstat(conf); err != nil || !info.Mode().IsRegular() {
			t.Errorf("after %s: %v, %v", name, info, err)
		}
	}
	// What would be read through a link is refused.
	check(t, "password", os.Remove(filepath.Join(dir, "password")))
	check(t, "password", os.Symlink(v.file, filepath.Join(dir, "password")))
	if _, err := New(t.Context(), Options{Dir: dir, Password: true}); err == nil || strings.Contains(err.Error(), strings.TrimSpace(theirs)) {
		t.Errorf("a password elsewhere: %v", err)
	}
	check(t, "data", os.Rename(filepath.Join(dir, "data"), filepath.Join(filepath.Dir(dir), "moved")))
	check(t, "data", os.Symlink(filepath.Join(filepath.Dir(dir), "moved"), filepath.Join(dir, "data")))
	if _, err := New(t.Context(), Options{Dir: dir}); err == nil {
		t.Error("data elsewhere is served")
	}
	v.unharmed("all")
}

// Each step by itself: a test as root can plant what a user of the server's account could.
func TestS5NothingOutsideTheFolderIsTouched(t *testing.T) {
	v := newVictim(t)
	path, owner := closedFolder(t)
	f, err := openFolder(path, owner)
	check(t, "open", err)
	defer func() { check(t, "close", f.close()) }()
	in := func(name string) string { return filepath.Join(path, name) }
	outside := filepath.Dir(v.file)

	check(t, "link", os.Symlink(outside, in("data.new")))
	if err := f.own("data.new"); err == nil {
		t.Error("a folder outside is given away")
	}
	if err := f.write("data.new/victim", []byte("x")); err == nil {
		t.Error("a file outside is written")
	}
	check(t, "remove the link", f.root.RemoveAll("data.new"))
	v.unharmed("removing a link to its folder")
	if info, err := os.Stat(outside); err != nil || int(info.Sys().(*syscall.Stat_t).Uid) != os.Geteuid() {
		t.Errorf("the folder outside: %v, %v", info, err)
	}
	for _, name := range []string{"password", "password.new"} {
		check(t, "link", os.Symlink(v.file, in(name)))
		check(t, "write", f.write("password", []byte("secret")))
		v.unharmed("a link " + name)
		info, err := os.Lstat(in("password"))
		if err != nil || info.Mode() != 0o600 || owner != nil && int(info.Sys().(*syscall.Stat_t).Uid) != owner.uid {
			t.Errorf("the password: %v, %v", info, err)
		}
		check(t, "remove", os.Remove(in("password")))
	}
}

func TestS5FoldersThatOthersCanWriteAreRefused(t *testing.T) {
	path, owner := closedFolder(t)
	link := path + "-link"
	check(t, "link", os.Symlink(path, link))
	if _, err := New(t.Context(), Options{Dir: link}); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Errorf("a link: %v", err)
	}
	for mode, refused := range map[fs.FileMode]bool{0o777: true, 0o702: true, 0o1777: true, 0o770: owner != nil, 0o755: false, 0o700: false} {
		check(t, "chmod", os.Chmod(path, mode))
		f, err := makeFolder(path, owner)
		if (err != nil) != refused || err != nil && !strings.Contains(err.Error(), "chmod go-w "+path) {
			t.Errorf("%o: %v", mode, err)
		}
		if err == nil {
			check(t, "close", f.close())
		}
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can make a folder of somebody else's")
	}
	check(t, "chmod", os.Chmod(path, 0o700))
	check(t, "give away", os.Chown(path, owner.uid+1, owner.gid))
	if _, err := New(t.Context(), Options{Dir: path}); err == nil || !strings.Contains(err.Error(), "another user") {
		t.Errorf("a folder of another user: %v", err)
	}
	check(t, "take back", os.Chown(path, 0, 0))
	f, err := makeFolder(path, owner)
	check(t, "a folder of root's", err)
	check(t, "close", f.close())
}
