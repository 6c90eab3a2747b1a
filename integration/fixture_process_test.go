package integration_test

import (
	"bytes"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// interrupt is what Ctrl-C sends.
const interrupt = syscall.SIGINT

// patience bounds every wait. Nothing that works takes nearly as long, also on a busy machine.
const patience = 90 * time.Second

// onAnyServer says of a test that no version of PostgreSQL has a part in what it shows. Where the tests run again, on a second
// server, it is left out; where they run, it runs beside the others.
func onAnyServer(t *testing.T) {
	t.Helper()
	if os.Getenv("REACTIVE_TEST_AGAIN") != "" {
		t.Skip("shown on the first server")
	}
	t.Parallel()
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %s in vain: %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// process is a run of the program. It ends with the test at the latest, and a run that then does not end in order fails
// the test.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr *output
	ended          chan struct{}
}

// output takes what a process writes.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// run starts the program in a folder, with nothing in its environment that would configure it but env.
func run(t *testing.T, dir string, env []string, args ...string) *process {
	t.Helper()
	return runAs(t, nil, dir, env, args...)
}

// runAs is run as another user.
func runAs(t *testing.T, user *syscall.Credential, dir string, env []string, args ...string) *process {
	t.Helper()
	return runCommand(t, exec.Command(programFor(t), args...), user, dir, env)
}

// runCommand is runAs for a command that becomes the program.
func runCommand(t *testing.T, cmd *exec.Cmd, user *syscall.Credential, dir string, env []string) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, stdout: &output{}, stderr: &output{}, ended: make(chan struct{})}
	p.cmd.Dir, p.cmd.Stdout, p.cmd.Stderr = dir, p.stdout, p.stderr
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PG") && !strings.HasPrefix(variable, "REACTIVE_") && !strings.HasPrefix(variable, "DATABASE_URL=") {
			p.cmd.Env = append(p.cmd.Env, variable)
		}
	}
	p.cmd.Env = append(p.cmd.Env, "GORACE=atexit_sleep_ms=0") // it would wait a second at the end, for nothing
	p.cmd.Env = append(p.cmd.Env, env...)
	// A group of its own: a Ctrl-C at the tests' terminal is not meant for it.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: user}
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %v: %v", p.cmd.Args, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // what it says is in ProcessState
	}()
	t.Cleanup(p.cleanup)
	return p
}

func (p *process) cleanup() {
	if p.running() {
		if code := p.stop(syscall.SIGTERM); code != 0 {
			p.t.Errorf("exit code %d on SIGTERM", code)
		}
	}
	for _, bad := range []string{"DATA RACE", "panic:", "fatal error:"} {
		if strings.Contains(p.stderr.String(), bad) {
			p.t.Errorf("the program reported: %s", bad)
		}
	}
	if p.t.Failed() {
		p.t.Logf("%v\nstdout:\n%s\nstderr:\n%s", p.cmd.Args[1:], p.stdout, p.stderr)
	}
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// wait returns the exit code, -1 for a process that a signal ended.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		_ = p.cmd.Process.Kill()
		<-p.ended
		p.t.Errorf("%v does not end", p.cmd.Args[1:])
		return -1
	}
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Errorf("signal %s: %v", s, err)
	}
}

// stop sends the signal and waits for the end.
func (p *process) stop(s syscall.Signal) int {
	p.t.Helper()
	p.signal(s)
	return p.wait()
}

// command runs the program to its end and returns what it wrote.
func command(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	p := run(t, t.TempDir(), nil, args...)
	code = p.wait()
	return code, p.stdout.String(), p.stderr.String()
}
