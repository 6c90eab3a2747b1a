package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"time"
)

// bench is what all measurements share.
type bench struct {
	dir, root, program string
	runs               int
	quick              bool
	children           *nursery
}

// target is a measurement. It may answer for several numbers, which are then measured together.
type target struct {
	numbers []string
	what    string
	measure func(context.Context, *bench) ([]result, error)
}

func targets() []target {
	return []target{
		{[]string{"1"}, "draining transactions of one row", drainSingleRows},
		{[]string{"2"}, "draining larger transactions", drainLargerTransactions},
		{[]string{"3"}, "latency", measureLatency},
		{[]string{"4", "14"}, "one scope, 1,000 subscribers", measureOneScope},
		{[]string{"5"}, "1,000 scopes of 10 subscribers", measureManyScopes},
		{[]string{"6"}, "single events", measureSingleEvents},
		{[]string{"7"}, "idle connections", measureIdle},
		{[]string{"8"}, "a million subscriptions", measureSubscriptions},
		{[]string{"9"}, "filterRow", measureFilters},
		{[]string{"10"}, "coming back with snapshots", measureSnapshots},
		{[]string{"11"}, "coming back by cursor", measureResume},
		{[]string{"12"}, "compression", measureCompression},
		{[]string{"13"}, "allocations", measureAllocations},
	}
}

// build builds the gateway as it is shipped.
func (b *bench) build(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-o", b.program, ".")
	cmd.Dir = b.root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build the gateway: %w: %s", err, out)
	}
	return nil
}

// measure measures what is chosen. What fails is in the results, and the others go on.
func (b *bench) measure(ctx context.Context, chosen []target) []result {
	var all []result
	for _, t := range chosen {
		if ctx.Err() != nil {
			break
		}
		fmt.Printf("%s: %s ...\n", t.numbers[0], t.what)
		began := time.Now()
		results, err := t.measure(ctx, b)
		for _, r := range results {
			fmt.Println("  ", r)
		}
		if err != nil {
			fmt.Printf("   failed: %v\n", err)
			results = append(results, result{number: t.numbers[0], what: t.what, figure: notMeasured, note: firstLine(err)})
		}
		fmt.Printf("   (%s)\n", time.Since(began).Round(time.Second))
		all = append(all, results...)
	}
	return all
}

// scaled is a size of a load: with -quick a tenth of it.
func (b *bench) scaled(n int) int {
	if b.quick {
		return max(n/10, 1)
	}
	return n
}

// settings says how the program was called.
func (b *bench) settings(only string) string {
	text := "medians of " + strconv.Itoa(b.runs)
	if b.quick {
		text += ", **with a tenth of the load**"
	}
	if only != "" {
		text += ", targets " + only + " only"
	}
	return text
}

// note says on the terminal what a run came to.
func (b *bench) note(format string, args ...any) { fmt.Printf("   "+format+"\n", args...) }

// median is that of the values, which are left as they are; 0 of none.
func median[T ~int64 | ~float64](values []T) T {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// quantile is the value below which the part q of the values is.
func quantile(values []time.Duration, q float64) time.Duration {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}
