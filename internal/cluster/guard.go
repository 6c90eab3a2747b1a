package cluster

import (
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
)

//go:embed guard.sh
var guardScript string

// guard is a shell beside us that outlives us if need be: when the pipe to it closes, which the kernel sees to however
// we end, it stops the server and removes the folder.
//
// The parent-death signal of Linux (prctl, PR_SET_PDEATHSIG) would be the alternative. It comes when the thread that
// started the server ends, rather than the process, is Linux's alone, and removes no folder.
type guard struct {
	cmd     *exec.Cmd
	pipe    io.WriteCloser
	output  *tail
	removes bool
}

// startGuard starts a guard, with no server to watch yet. If removes is set it will remove the folder.
func startGuard(as *account, folder string, removes bool) (*guard, error) {
	if !removes {
		folder = ""
	}
	g := &guard{removes: removes, output: &tail{}}
	g.cmd = exec.Command("sh", "-c", guardScript, "guard", folder) //nolint:noctx // it ends when its input does
	as.run(g.cmd, "/")
	g.cmd.Stderr = g.output
	var err error
	if g.pipe, err = g.cmd.StdinPipe(); err == nil {
		err = g.cmd.Start()
	}
	if err != nil && removes {
		err = errors.Join(err, os.RemoveAll(folder))
	}
	if err != nil {
		return nil, fmt.Errorf("start the cluster's guard: %w", err)
	}
	return g, nil
}

// watch tells the guard which process is the server's main one; 0 for none. A guard that somebody has killed is missed
// in close.
func (g *guard) watch(pid int) { _, _ = io.WriteString(g.pipe, strconv.Itoa(pid)+"\n") }

// close lets the guard do its work, and waits for it.
func (g *guard) close() error {
	err := g.pipe.Close()
	if err := errors.Join(err, g.cmd.Wait()); err != nil {
		return fmt.Errorf("end the cluster's guard: %w %s", err, g.output)
	}
	return nil
}
