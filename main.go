// Command reactive-gw pushes the row changes of a PostgreSQL primary to browsers.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/reactive-gw/reactive-gw/internal/app"
)

func main() { os.Exit(run()) }

func run() int {
	signalled, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	// The default holds again before anybody can see that the first signal came: a second one ends the process at once.
	context.AfterFunc(signalled, func() { stop(); cancel() })
	return app.Run(ctx, os.Args, os.Stdout, os.Stderr)
}
