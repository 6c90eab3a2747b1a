package main

import (
	"errors"
	"fmt"
	"os/exec"
	"runtime"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// nursery starts child processes that the kernel ends with us, however we end. It does so when the thread that started
// them ends; so one thread starts them all, and stays.
type nursery struct {
	starts  chan start
	thread  sync.WaitGroup
	mu      sync.Mutex
	running map[*exec.Cmd]struct{}
}

type start struct {
	cmd  *exec.Cmd
	done chan error
}

func newNursery() *nursery {
	n := &nursery{starts: make(chan start), running: map[*exec.Cmd]struct{}{}}
	n.thread.Go(func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		for s := range n.starts {
			s.done <- s.cmd.Start()
		}
	})
	return n
}

// start starts the command in a process group of its own: a Ctrl-C at the terminal is for us.
func (n *nursery) start(cmd *exec.Cmd) error {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	s := start{cmd, make(chan error)}
	n.starts <- s
	if err := <-s.done; err != nil {
		return fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.running[cmd] = struct{}{}
	return nil
}

// wait waits for the end of a command that was started. It is called once for each.
func (n *nursery) wait(cmd *exec.Cmd) error {
	err := cmd.Wait()
	n.mu.Lock()
	defer n.mu.Unlock()
	delete(n.running, cmd)
	return err
}

// end kills the command and waits for its end.
func (n *nursery) end(cmd *exec.Cmd) {
	_ = cmd.Process.Kill()
	if err := n.wait(cmd); err != nil && !errors.As(err, new(*exec.ExitError)) {
		fmt.Println("   end of", cmd.Path, err)
	}
}

// close kills whatever still runs.
func (n *nursery) close() {
	n.mu.Lock()
	for cmd := range n.running {
		_ = cmd.Process.Signal(unix.SIGKILL)
	}
	n.mu.Unlock()
	close(n.starts)
	n.thread.Wait()
}
