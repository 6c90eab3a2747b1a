package wal_test

import (
	"os"
	"syscall"
	"testing"
)

// mountSmall gives a folder a disk of 2 MB of its own until the test ends.
func mountSmall(t *testing.T, folder string) error {
	t.Helper()
	owner, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=2m,mode=0700"); err != nil {
		return err
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(folder, syscall.MNT_DETACH); err != nil {
			t.Errorf("unmount %s: %v", folder, err)
		}
	})
	stat := owner.Sys().(*syscall.Stat_t)
	return os.Chown(folder, int(stat.Uid), int(stat.Gid))
}
