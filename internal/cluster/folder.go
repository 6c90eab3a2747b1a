package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// folder is the cluster's folder. We may be root, and what is in it belongs to the server's account: a file of it may be a link to
// one that is not. So nothing in it is reached by its path, but from the open folder, which a link does not lead out of; a
// file is written under another name, and replaces what has its own.
type folder struct {
	path  string
	root  *os.Root
	owner *account
}

// openFolder opens a folder that exists. It refuses one in which others than we and the server's account can put links.
func openFolder(path string, owner *account) (*folder, error) {
	named, err := os.Lstat(path)
	if err != nil {
		return nil, err
	}
	if named.Mode()&fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("%s is a symbolic link: name the folder that it leads to", path)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, err
	}
	opened, err := root.Stat(".")
	if err == nil && !os.SameFile(named, opened) {
		err = fmt.Errorf("%s was replaced by another folder meanwhile", path)
	}
	if err == nil {
		err = owner.trusts(path, opened)
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return &folder{path, root, owner}, nil
}

// own gives a folder in this one, or "." for itself, to the account.
func (f *folder) own(name string) error {
	opened, err := f.root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(f.owner.own(opened), opened.Close())
}

// write writes a file that the account alone can read.
func (f *folder) write(name string, content []byte) error {
	unfinished := name + ".new"
	if err := f.root.Remove(unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	file, err := f.root.OpenFile(unfinished, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, f.owner.own(file), file.Close()); err != nil {
		return err
	}
	return f.root.Rename(unfinished, name)
}

// exists tells whether anything has the name, a link to nowhere included.
func (f *folder) exists(name string) bool {
	_, err := f.root.Lstat(name)
	return err == nil
}

func (f *folder) close() error { return f.root.Close() }

// makeFolder makes the cluster's folder, where it does not exist. An empty dir means a temporary one.
func makeFolder(dir string, owner *account) (*folder, error) {
	var err error
	made := true
	if dir == "" {
		dir, err = os.MkdirTemp("", "reactive-gw-postgres-")
	} else if dir, err = filepath.Abs(dir); err == nil {
		if _, err := os.Lstat(dir); err == nil {
			made = false // its maker has decided whose it is
		} else if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil { // the account must be able to enter what lies above
			return nil, fmt.Errorf("make the cluster's folder: %w", err)
		} else if err := os.Mkdir(dir, 0o700); err != nil {
			return nil, fmt.Errorf("make the cluster's folder: %w", err)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("make the cluster's folder: %w", err)
	}
	f, err := openFolder(dir, owner)
	if err != nil {
		return nil, fmt.Errorf("open the cluster's folder: %w", err)
	}
	if !made {
		return f, nil
	}
	if err := f.own("."); err != nil {
		return nil, errors.Join(fmt.Errorf("give the cluster's folder to the user %s: %w", owner, err), f.close(), os.Remove(dir))
	}
	return f, nil
}
