package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
)

// ServerError tells why a server did not come up.
type ServerError struct {
	// Log is the end of what the server wrote in this attempt, at most 4 KiB.
	Log string
	// Err is what was seen from outside: the exit status, or why the wait ended.
	Err error
}

func (e *ServerError) Error() string {
	if e.Log == "" {
		return e.Err.Error()
	}
	return fmt.Sprintf("%v; the server's log ends with:\n%s", e.Err, e.Log)
}

func (e *ServerError) Unwrap() error { return e.Err }

// server is one run of the program postgres.
type server struct {
	cmd  *exec.Cmd
	gone chan struct{} // closed when all processes of the server are gone
	exit error         // how the main process ended; to be read after gone
}

// startServer starts the command, whose output goes to w.
func startServer(cmd *exec.Cmd, w io.Writer) (*server, error) {
	// Every process of the server writes to one pipe, and Wait returns only when the last of them has closed it. So
	// gone also means that no backend of a killed server holds the shared memory any more, which PostgreSQL would
	// refuse to start beside.
	cmd.Stdout, cmd.Stderr = w, w
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	s := &server{cmd: cmd, gone: make(chan struct{})}
	go func() {
		defer close(s.gone)
		s.exit = cmd.Wait()
	}()
	return s, nil
}

func (s *server) pid() int { return s.cmd.Process.Pid }

func (s *server) ended() bool {
	select {
	case <-s.gone:
		return true
	default:
		return false
	}
}

// ready waits until the server whose data folder this is takes connections at url. Another server may answer there,
// while ours finds its port taken and gives up: hence the question for the folder.
func (s *server) ready(ctx context.Context, url, dataDir string) error {
	pause := time.NewTicker(20 * time.Millisecond)
	defer pause.Stop()
	for {
		if answering, err := dataFolderAt(ctx, url); err == nil && answering == dataDir {
			return nil
		}
		select {
		case <-s.gone:
			if s.exit == nil {
				return errors.New("the server ended at once")
			}
			return s.exit
		case <-ctx.Done():
			return fmt.Errorf("wait for the server: %w", ctx.Err())
		case <-pause.C:
		}
	}
}

// end sends the signal and waits until the server is gone. When ctx ends first it takes harder means, and returns ctx's
// error once they have worked.
func (s *server) end(ctx context.Context, signal syscall.Signal) error {
	if s.signal(ctx, signal) {
		return nil
	}
	patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if !s.signal(patience, syscall.SIGQUIT) {
		s.signal(context.WithoutCancel(ctx), syscall.SIGKILL)
	}
	return ctx.Err()
}

// signal sends the signal and tells whether the server was gone before ctx ended.
func (s *server) signal(ctx context.Context, signal syscall.Signal) bool {
	_ = s.cmd.Process.Signal(signal) // fails only when the process is gone, which is what we are after
	select {
	case <-s.gone:
		return true
	case <-ctx.Done():
		return false
	}
}

// dataFolderAt asks the server at url for its data folder.
func dataFolderAt(ctx context.Context, url string) (folder string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, conn.Close(ctx)) }()
	err = conn.QueryRow(ctx, "show data_directory").Scan(&folder)
	return folder, err
}
