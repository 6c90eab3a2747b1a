package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/urfave/cli/v2"

	"github.com/reactive-gw/reactive-gw/internal/cluster"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/internal/demo"
)

const demoDatabase = "chat"

// demoSettings serve the demo's tables whatever reactive.yaml lies in the working directory, and leave the terminal to
// the address that is to be opened.
const demoSettings = `
logLevel: warn
reactive:
  - table: message
    scopes: [conversation_id]
    snapshot: {limit: 200, orderBy: id DESC}
  - table: conversation
  - table: member
`

func demoCommand(stdout, stderr io.Writer) *cli.Command {
	return &cli.Command{
		Name:  "demo",
		Usage: "start a private PostgreSQL with a small chat, serve it, and show it on a page",
		Flags: append(config.Flags(),
			&cli.StringFlag{Name: "pg-bin", Usage: "`DIR` with initdb and postgres; searched for, or fetched, where not given"},
			&cli.StringFlag{Name: "data", Usage: "`DIR` in which the database is kept; a temporary one where not given"},
		),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownArgument(c)
			}
			return runDemo(c, stdout, stderr)
		},
	}
}

func runDemo(c *cli.Context, stdout, stderr io.Writer) (err error) {
	ctx := c.Context
	cfg, err := config.LoadWith(c, "the demo's settings", []byte(demoSettings), "postgres://nowhere/"+demoDatabase)
	if err != nil {
		return err
	}
	log := newLogger(stderr, cfg.LogLevel)
	defer flush(log)
	outlive(syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGHUP) { // the end of a demo's terminal is the end of the demo, unless nohup started it
		var stop context.CancelFunc
		ctx, stop = signal.NotifyContext(ctx, syscall.SIGHUP)
		defer stop()
	}

	fmt.Fprintln(stdout, "starting a private PostgreSQL ...")
	postgres, err := cluster.New(ctx, cluster.Options{
		BinDir: c.String("pg-bin"), Dir: c.String("data"), Password: true, Settings: map[string]string{"wal_level": "logical"},
		Fetch: &cluster.Fetch{}, Log: log.Named("postgres"),
	})
	if err != nil {
		return fmt.Errorf("start PostgreSQL for the demo: %w", err)
	}
	defer func() { err = errors.Join(err, postgres.Close()) }()
	if err := makeDemoDatabase(ctx, postgres); err != nil {
		return err
	}
	url := postgres.URL(demoDatabase)
	pool, err := pgxpool.New(ctx, url)
	if err != nil {
		return fmt.Errorf("connect to the demo's database: %w", err)
	}
	defer pool.Close()
	cfg.DatabaseURL = config.Secret(url)
	s := &server{Service: newService(cfg, Functions{}, log), handler: demo.Handler(pool, log.Named("demo"))}
	s.onListening = func() {
		fmt.Fprintf(stdout, "\n  Open       http://%s/\n  Database   %s\n  Stop       Ctrl-C\n\n", hostPort(s.public.Addr()), url)
	}
	return s.serve(ctx)
}

// makeDemoDatabase also finds the database of an earlier demo, in a folder that was kept.
func makeDemoDatabase(ctx context.Context, postgres *cluster.Cluster) error {
	conn, err := pgx.Connect(ctx, postgres.URL("postgres"))
	if err != nil {
		return fmt.Errorf("make the demo's database: %w", err)
	}
	_, err = conn.Exec(ctx, "create database "+demoDatabase)
	_ = conn.Close(ctx)
	var exists *pgconn.PgError
	if err != nil && (!errors.As(err, &exists) || exists.Code != pgerrcode.DuplicateDatabase) {
		return fmt.Errorf("make the demo's database: %w", err)
	}
	conn, err = pgx.Connect(ctx, postgres.URL(demoDatabase))
	if err != nil {
		return fmt.Errorf("set up the demo: %w", err)
	}
	defer conn.Close(ctx)
	return demo.Setup(ctx, conn)
}
