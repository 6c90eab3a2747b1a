//go:build !unix

package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
)

// account is the user that the server runs as, where the system has such users.
type account struct{}

// serverAccount refuses: the guard and the shutdown by signals are Unix's.
func serverAccount() (*account, error) {
	return nil, fmt.Errorf("run a private PostgreSQL, for which a Unix system is needed (use a server that is there): %w",
		errors.ErrUnsupported)
}

func (*account) String() string { return "of this process" }

func (*account) own(*os.File) error { return nil }

func (*account) trusts(string, fs.FileInfo) error { return nil }

func (*account) run(*exec.Cmd, string) {}
