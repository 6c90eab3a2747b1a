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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal the default holds again: a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	return app.Run(ctx, os.Args, os.Stdout, os.Stderr)
}
