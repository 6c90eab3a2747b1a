// Command bench measures the built gateway against a real PostgreSQL, beside other programs that do the same work, and
// says which of its goals it reaches. It knows the gateway from outside only: its flags, sockets and metrics.
//
//	go run . -only 4,5 -runs 5 -out RESULTS.md
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/reactive-gw/reactive-gw/integration/bench/peer"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 2 && os.Args[1] == peer.Command {
		err = peer.Serve(ctx, os.Args[2])
	} else {
		err = run(ctx)
	}
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := flags.String("only", "", "numbers of the targets to measure, such as 4,5; default: all")
	runs := flags.Int("runs", 5, "how often each is measured; the median counts")
	quick := flags.Bool("quick", false, "with a tenth of the load, to see that everything works; the figures mean little")
	out := flags.String("out", "RESULTS.md", "the file that gets the table, between its markers; \"\" for none")
	root := flags.String("root", "../..", "the gateway's module")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return flag.ErrHelp // the reason is printed
	}
	chosen, err := choose(*only)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "reactive-gw-bench-")
	if err != nil {
		return fmt.Errorf("make a folder: %w", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	children := newNursery()
	defer children.close()
	b := &bench{dir: dir, root: *root, program: filepath.Join(dir, "reactive-gw"), runs: max(*runs, 1), quick: *quick, children: children}
	if err := b.build(ctx); err != nil {
		return err
	}
	m := b.describe(ctx)
	fmt.Println(m)
	results := b.measure(ctx, chosen)
	fmt.Print("\n", table(results))
	if *out != "" && ctx.Err() == nil { // half a table would take the place of a whole one
		if err := m.record(*out, results, b.settings(*only)); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// choose finds the targets with these numbers.
func choose(only string) ([]target, error) {
	all := targets()
	if only == "" {
		return all, nil
	}
	var chosen []target
	for _, number := range strings.Split(only, ",") {
		i := slices.IndexFunc(all, func(t target) bool { return slices.Contains(t.numbers, strings.TrimSpace(number)) })
		if i < 0 {
			return nil, fmt.Errorf("there is no target %s", number)
		}
		if !slices.ContainsFunc(chosen, func(t target) bool { return t.numbers[0] == all[i].numbers[0] }) {
			chosen = append(chosen, all[i])
		}
	}
	return chosen, nil
}
