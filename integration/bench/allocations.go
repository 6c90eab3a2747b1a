package main

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
)

// step is one of those that a row takes, and the benchmarks of the gateway's own that show what it allocates.
type step struct{ name, pkg, benchmarks string }

func steps() []step {
	return []step{
		{"decode", "./wal", "Decode"},
		{"decode and gather", "./wal", "Collect"},
		{"diff", "./cdc", "Changed"},
		{"encode values", "./wal/values", "Encode"},
		{"encode frames", "./protocol", "Append.*"},
		{"route", "./fanout", "RouteNoMatch"},
	}
}

// measureAllocations runs the gateway's benchmarks. They are long enough that what is only allocated at the start rounds to
// nothing.
func measureAllocations(ctx context.Context, b *bench) ([]result, error) {
	var results []result
	for _, s := range steps() {
		line := result{number: "13", what: "allocations to " + s.name, goal: "0 a row", figure: notMeasured}
		cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^Benchmark("+s.benchmarks+")$", "-benchmem", "-benchtime", "20000x", s.pkg)
		cmd.Dir = b.root
		out, err := cmd.CombinedOutput()
		if err != nil {
			line.note = firstLine(fmt.Errorf("%w: %s", err, out))
		} else if most, where, ok := mostAllocations(string(out)); ok {
			none := most == 0
			line.figure, line.passed, line.note = strconv.Itoa(most), &none, where
		} else {
			line.note = "no such benchmark: " + s.pkg + " " + s.benchmarks
		}
		results = append(results, line)
	}
	return results, nil
}

// mostAllocations finds the benchmark with the most.
func mostAllocations(output string) (most int, where string, ok bool) {
	line := regexp.MustCompile(`(?m)^Benchmark(\S+?)(?:-\d+)?\s.*\s(\d+) allocs/op`)
	for _, found := range line.FindAllStringSubmatch(output, -1) {
		n, err := strconv.Atoi(found[2])
		if err == nil && (!ok || n > most) {
			most, where, ok = n, strings.TrimSpace(found[1]), true
		}
	}
	return most, where, ok
}
