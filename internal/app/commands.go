package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"syscall"

	"github.com/urfave/cli/v2"
	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/internal/tail"
)

// exitUsage is the exit code for a command line or configuration that has to be written differently; any other failure
// is 1.
const exitUsage = 2

// Run executes the command line and returns the exit code. It returns when ctx has ended and everything is taken down.
func Run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := commands(args, stdout, stderr).RunContext(ctx, args)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errUnhealthy) {
		fmt.Fprintf(stderr, "reactive-gw: %v\n", err)
	}
	var coded cli.ExitCoder
	if errors.As(err, &coded) {
		return coded.ExitCode()
	}
	return 1
}

func commands(args []string, stdout, stderr io.Writer) *cli.App {
	usageError := usageErrors(args)
	configured := func(action func(context.Context, *config.Config) error) cli.ActionFunc {
		return func(c *cli.Context) error {
			if c.Args().Present() {
				return unknownArgument(c)
			}
			cfg, err := config.Load(c)
			if err != nil {
				return err
			}
			return placeConnecting(cfg, action(c.Context, cfg))
		}
	}
	app := &cli.App{
		Name:            "reactive-gw",
		Usage:           "pushes the row changes of a PostgreSQL primary to browsers, live",
		Description:     "Without a command it serves: it reads the slot and answers WebSocket clients.",
		HideVersion:     true,
		HideHelpCommand: true,
		Writer:          stdout,
		ErrWriter:       stderr,
		ExitErrHandler:  func(*cli.Context, error) {}, // Run prints and decides the code
		OnUsageError:    usageError,
		Flags:           config.Flags(),
		Action: configured(func(ctx context.Context, cfg *config.Config) error {
			log := newLogger(stderr, cfg.LogLevel)
			defer flush(log)
			outlive(syscall.SIGHUP, syscall.SIGPIPE)
			return (&server{Service: newService(cfg, Functions{}, log)}).serve(ctx)
		}),
		Commands: []*cli.Command{
			demoCommand(stdout, stderr),
			{
				Name: "migrate", Usage: "apply or list the gateway's own objects in schema mtbreactive",
				Subcommands: []*cli.Command{
					{Name: "up", Usage: "apply what is pending", Flags: config.Flags(),
						Action: configured(func(ctx context.Context, cfg *config.Config) error { return migrateUp(ctx, cfg, stdout, stderr) })},
					{Name: "status", Usage: "list the migrations", Flags: config.Flags(),
						Action: configured(func(ctx context.Context, cfg *config.Config) error { return migrateStatus(ctx, cfg, stdout) })},
					{Name: "notify-trigger", Usage: "make a table send its changes by NOTIFY", ArgsUsage: "TABLE",
						Flags: append(config.Flags(), &cli.BoolFlag{Name: "print", Usage: "print the SQL and change nothing"}),
						Action: func(c *cli.Context) error {
							if c.NArg() != 1 {
								return usage("write migrate notify-trigger [--print] TABLE, for example migrate notify-trigger public.message")
							}
							cfg, err := config.Load(c)
							if err != nil {
								return err
							}
							return placeConnecting(cfg, notifyTriggerOn(c.Context, cfg, c.Args().First(), c.Bool("print"), stdout, stderr))
						}},
				},
				Action: func(*cli.Context) error {
					return usage("write migrate up, migrate status or migrate notify-trigger TABLE")
				},
			},
			{
				Name: "doctor", Usage: "check all that can be wrong in the database, and print the SQL that mends it",
				Description: "The SQL is in an order in which one may stop after any statement, and says which role may run it. Of many tables that\n" +
					"lack the same it shows ten. With --sql it prints the SQL alone, for all tables.",
				Flags: append(config.Flags(), &cli.BoolFlag{Name: "sql", Usage: "print only the SQL, complete and in order"}),
				Action: func(c *cli.Context) error {
					return configured(func(ctx context.Context, cfg *config.Config) error { return doctor(ctx, cfg, c.Bool("sql"), stdout) })(c)
				},
			},
			{
				Name: "uninstall", Usage: "list what setup made in the database, and remove it with --yes",
				Description: "Stop every gateway of the slot first. A slot and a publication that setup did not make are named and left.\n" +
					"What this role may not remove is printed as SQL for a role that may.",
				Flags: append(config.Flags(), &cli.BoolFlag{Name: "yes", Usage: "remove it"}),
				Action: func(c *cli.Context) error {
					return configured(func(ctx context.Context, cfg *config.Config) error { return uninstall(ctx, cfg, c.Bool("yes"), stdout) })(c)
				},
			},
			{
				Name: "tail", Usage: "subscribe and print frames", ArgsUsage: "CHANNEL COLUMN=VALUE",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "url", Value: "ws://127.0.0.1:8080/ws", Usage: "the gateway's `URL`"},
					&cli.StringFlag{Name: "token", EnvVars: []string{"REACTIVE_TOKEN"}, Usage: "`TOKEN` that says who you are, where the gateway asks"},
				},
				Action: func(c *cli.Context) error {
					if c.NArg() != 2 {
						return usage("write tail [--url URL] [--token TOKEN] CHANNEL COLUMN=VALUE, for example tail message conversation_id=42")
					}
					return tail.Run(c.Context, tail.Options{
						URL: c.String("url"), Token: c.String("token"), Channel: c.Args().Get(0), Scope: c.Args().Get(1), Out: stdout,
					})
				},
			},
			{
				Name: "version", Usage: "print the version",
				Action: func(*cli.Context) error { fmt.Fprintln(stdout, "reactive-gw", Version()); return nil },
			},
		},
	}
	inherit(app.Commands, usageError)
	return app
}

// inherit gives commands the application's settings that the library does not pass on.
func inherit(commands []*cli.Command, usageError cli.OnUsageErrorFunc) {
	for _, c := range commands {
		c.OnUsageError, c.HideHelpCommand = usageError, true
		inherit(c.Subcommands, usageError)
	}
}

// usageErrors says what is wrong with the command line. The library's words repeat values, which may be secret.
func usageErrors(args []string) cli.OnUsageErrorFunc {
	return func(c *cli.Context, err error, _ bool) error {
		return usage("%s: see %s --help", config.Conceal(err.Error(), args), commandLine(c))
	}
}

// unknownArgument is what a misspelt command is, too.
func unknownArgument(c *cli.Context) error {
	word := c.Args().First()
	var names []string
	for _, known := range c.Command.Subcommands {
		names = append(names, known.Name)
	}
	if best, ok := config.Nearest(word, names); ok {
		return usage("unknown argument %s: write %s, or see %s --help", config.Quote(word), best, commandLine(c))
	}
	return usage("unknown argument %s: see %s --help", config.Quote(word), commandLine(c))
}

func commandLine(c *cli.Context) string { return cmp.Or(c.Command.HelpName, c.App.Name) }

func usage(format string, args ...any) error {
	return cli.Exit(fmt.Sprintf(format, args...), exitUsage)
}

// modulePath is what this module is called where another program has it in it.
const modulePath = "github.com/reactive-gw/reactive-gw"

// Version is the module's version, and the commit where the build knows it. In another program it is the version that it
// has required.
func Version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	if info.Main.Path != modulePath {
		for _, dependency := range info.Deps {
			if dependency.Path == modulePath {
				return dependency.Version
			}
		}
	}
	version := info.Main.Version
	if version == "" {
		version = "(devel)"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			version += " " + s.Value
		}
	}
	return version
}

func flush(log *zap.Logger) { _ = log.Sync() }

// hostPort makes an address that a person can open of one that was listened on.
func hostPort(a net.Addr) string {
	host, port, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(host, port)
}
