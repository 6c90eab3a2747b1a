package cluster

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os/exec"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"
)

// superuser is the role that owns the cluster and that URL logs in as.
const superuser = "postgres"

// Cluster is a private PostgreSQL cluster. URL and Log may be called from any goroutine at any time; the methods that
// start and stop the server from one goroutine at a time.
type Cluster struct {
	bin      binaries
	folder   *folder
	account  *account
	settings map[string]string
	log      *zap.Logger
	output   *tail
	guard    *guard
	password string // empty where the superuser has none
	port     int
	server   *server // nil while no server runs
}

// New makes the cluster that opts describes and starts its server. It returns when the server takes connections. The
// caller ends the cluster with Close. Where the server does not come up the error wraps a *ServerError with its log.
func New(ctx context.Context, opts Options) (*Cluster, error) {
	c := &Cluster{settings: opts.Settings, log: opts.Log, output: &tail{}}
	if c.log == nil {
		c.log = zap.NewNop()
	}
	var err error
	if c.account, err = serverAccount(); err != nil {
		return nil, err
	}
	if c.bin, err = locate(ctx, opts, c.account, c.log); err != nil {
		return nil, err
	}
	if c.folder, err = makeFolder(opts.Dir, c.account); err != nil {
		return nil, err
	}
	if c.guard, err = startGuard(c.account, c.folder.path, opts.Dir == ""); err != nil {
		return nil, errors.Join(err, c.folder.close())
	}
	if err = c.initialize(ctx, opts.Password); err == nil {
		err = c.startOn(ctx, choosePort)
	}
	if err != nil {
		return nil, errors.Join(err, c.close(context.WithoutCancel(ctx)))
	}
	return c, nil
}

func (c *Cluster) user() *url.Userinfo {
	if c.password == "" {
		return url.User(superuser)
	}
	return url.UserPassword(superuser, c.password)
}

// URL gives the connection URL of the named database, with the superuser as its role.
func (c *Cluster) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     c.user(),
		Host:     net.JoinHostPort(loopback, strconv.Itoa(c.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Log gives the last part of what the server wrote to its log, over all its starts.
func (c *Cluster) Log() string { return c.output.String() }

// Start starts the server of a cluster that was stopped or killed, on the port and the data it had, and returns when
// the server takes connections. Where it runs already there is nothing to do.
func (c *Cluster) Start(ctx context.Context) error {
	if c.running() {
		return nil
	}
	return c.start(ctx)
}

// Stop shuts the server down in the way that the manual (19.5) calls fast: sessions are ended, data is written out, and
// walsenders first send what there is. One whose client confirms nothing holds that up for as long as it stays: when
// ctx ends the server is shut down as Immediate does, and Stop returns ctx's error.
func (c *Cluster) Stop(ctx context.Context) error { return c.shutDown(ctx, syscall.SIGINT) }

// Immediate shuts the server down without writing data out (manual 19.5): the next start recovers from the WAL.
func (c *Cluster) Immediate(ctx context.Context) error { return c.shutDown(ctx, syscall.SIGQUIT) }

// Kill ends the server as a crash would: SIGKILL to its main process, on which all the others give up. It returns when
// the last of them is gone, so that the server can be started again at once.
func (c *Cluster) Kill() error { return c.shutDown(context.Background(), syscall.SIGKILL) }

// Restart is Stop, where the server runs, and Start.
func (c *Cluster) Restart(ctx context.Context) error {
	if err := c.Stop(ctx); err != nil {
		return err
	}
	return c.Start(ctx)
}

// Close ends the cluster: the server, and the folder if it is a temporary one. The cluster is of no use afterwards.
func (c *Cluster) Close() error { return c.close(context.Background()) }

func (c *Cluster) close(ctx context.Context) error {
	if c.guard == nil {
		return nil
	}
	// Without a deadline a client that confirms no WAL could hold a fast shutdown up for ever.
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	signal := syscall.SIGINT
	if c.guard.removes {
		signal = syscall.SIGQUIT // nobody will read the data again
	}
	err := c.shutDown(ctx, signal)
	err = errors.Join(err, c.guard.close(), c.folder.close())
	c.guard = nil
	return err
}

// makePassword writes a new password where only the server's user and root can read it.
func (c *Cluster) makePassword() error {
	c.password = rand.Text()
	return c.folder.write(passwordFile, []byte(c.password+"\n"))
}

// Names in the cluster's folder.
const (
	passwordFile   = "password"
	dataFolder     = "data"
	unfinishedData = "data.new"
)

// readPassword reads the password that an earlier run made, if it did.
func (c *Cluster) readPassword() error {
	text, err := c.folder.root.ReadFile(passwordFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the cluster's password: %w", err)
	}
	c.password = strings.TrimSpace(string(text))
	return nil
}

// initialize makes the data folder with initdb, unless an earlier run has. It gets its name only when it is whole: a run
// that ends in between leaves nothing that a later one would take for a cluster.
func (c *Cluster) initialize(ctx context.Context, withPassword bool) error {
	root := c.folder.root
	if c.folder.exists(dataFolder) {
		return c.readPassword()
	}
	err := root.RemoveAll(unfinishedData)
	if err == nil {
		err = root.Mkdir(unfinishedData, 0o700)
	}
	if err == nil {
		err = c.folder.own(unfinishedData)
	}
	password := ""
	if withPassword && err == nil {
		password, err = filepath.Join(c.folder.path, passwordFile), c.makePassword()
	}
	if err == nil {
		err = c.bin.initdb(ctx, filepath.Join(c.folder.path, unfinishedData), password, c.account)
	}
	if err == nil {
		err = root.Rename(unfinishedData, dataFolder)
	}
	if err != nil {
		err = errors.Join(err, root.RemoveAll(unfinishedData))
		return fmt.Errorf("make a cluster in %s, which the server's user must be able to enter: %w", c.folder.path, err)
	}
	return nil
}

// startOn starts the server for the first time, on a port of the given choice. Between the choice and the server's bind
// another process may take the port: then it chooses again.
func (c *Cluster) startOn(ctx context.Context, choose func() (port int, err error)) error {
	for tries := 1; ; tries++ {
		var err error
		if c.port, err = choose(); err != nil {
			return err
		}
		err = c.start(ctx)
		if err == nil || ctx.Err() != nil || tries == 10 || portFree(c.port) == nil {
			return err
		}
		c.log.Info("port was taken meanwhile, trying another", zap.Int("port", c.port))
	}
}

// start runs the server and waits until it takes connections.
func (c *Cluster) start(ctx context.Context) error {
	if err := c.configure(); err != nil {
		return fmt.Errorf("configure PostgreSQL: %w", err)
	}
	cmd := exec.Command(c.bin.path("postgres"), "-D", c.dataDir(), "-p", strconv.Itoa(c.port), //nolint:noctx // its end is shutDown's
		"-c", "listen_addresses="+loopback, "-c", "unix_socket_directories=")
	c.account.run(cmd, c.folder.path)
	c.output.mark()
	server, err := startServer(cmd, c.output)
	if err != nil {
		return err
	}
	c.server = server
	c.guard.watch(server.pid())
	if err := server.ready(ctx, c.URL("postgres"), c.dataDir()); err != nil {
		stopped := c.shutDown(context.WithoutCancel(ctx), syscall.SIGKILL)
		err = &ServerError{Log: c.output.sinceMark(), Err: err}
		return errors.Join(fmt.Errorf("start PostgreSQL on port %d in %s: %w", c.port, c.folder.path, err), stopped)
	}
	c.log.Info("PostgreSQL runs", zap.String("programs", c.bin.dir), zap.String("folder", c.folder.path),
		zap.Int("port", c.port), zap.Stringer("user", c.account))
	return nil
}

// configure writes postgresql.conf.
func (c *Cluster) configure() error {
	text, err := configFile(c.settings)
	if err != nil {
		return err
	}
	return c.folder.write(path.Join(dataFolder, "postgresql.conf"), text)
}

// shutDown sends the server the signal and waits until it is gone; when ctx ends first, it is shut down the hard way.
func (c *Cluster) shutDown(ctx context.Context, signal syscall.Signal) error {
	if !c.running() {
		c.forget()
		return nil
	}
	err := c.server.end(ctx, signal)
	c.forget()
	if err != nil {
		return fmt.Errorf("stop PostgreSQL on port %d: %w", c.port, err)
	}
	return nil
}

// forget drops a server that is gone.
func (c *Cluster) forget() {
	c.server = nil
	c.guard.watch(0)
}

func (c *Cluster) running() bool { return c.server != nil && !c.server.ended() }

func (c *Cluster) dataDir() string { return filepath.Join(c.folder.path, dataFolder) }
