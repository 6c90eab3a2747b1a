package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// machine is what results are of no use without.
type machine struct {
	at                              time.Time
	processor, kernel               string
	cores                           int
	golang, postgres, commit, peers string
}

func (b *bench) describe(ctx context.Context) machine {
	output := func(dir, name string, args ...string) string {
		cmd := exec.CommandContext(ctx, name, args...)
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			return "unknown"
		}
		return strings.TrimSpace(string(out))
	}
	m := machine{at: time.Now().UTC(), cores: runtime.NumCPU(), processor: "unknown processor"}
	info, _ := os.ReadFile("/proc/cpuinfo")
	for _, line := range strings.Split(string(info), "\n") {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.processor = strings.TrimSpace(value)
			break
		}
	}
	m.kernel = output("", "uname", "-sr")
	m.golang = strings.TrimPrefix(output(b.root, "go", "version"), "go version ")
	m.postgres = output("", postgresProgram("postgres"), "--version")
	m.commit = output(b.root, "git", "rev-parse", "--short=12", "HEAD")
	if output(b.root, "git", "status", "--porcelain") != "" {
		m.commit += " with changes"
	}
	m.peers = "Node " + output("", "node", "--version")
	return m
}

func (m machine) String() string {
	return fmt.Sprintf("%s, commit %s\n%s, %d cores, %s, %s, %s, %s", m.at.Format(time.DateTime+" MST"), m.commit,
		m.processor, m.cores, m.kernel, m.golang, m.postgres, m.peers)
}

const (
	generatedFrom  = "<!-- from here to the next marker make bench writes -->"
	generatedUntil = "<!-- to here -->"
)

// record puts the table into the file. What stands outside of the markers stays.
func (m machine) record(file string, results []result, settings string) error {
	text, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return fmt.Errorf("read the results: %w", err)
	}
	before, rest, marked := strings.Cut(string(text), generatedFrom)
	_, after, closed := strings.Cut(rest, generatedUntil)
	if marked && !closed {
		return fmt.Errorf("read the results: %s has the marker %q without %q", file, generatedFrom, generatedUntil)
	}
	if !marked {
		before = strings.TrimRight(before, "\n") + "\n\n"
		if len(text) == 0 {
			before = "# What the gateway does in what time\n\n"
		}
		after = "\n"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s%s\n\n%s\n(%s)\n\n%s\n%s%s", before, generatedFrom, m, settings, table(results), generatedUntil, after)
	if err := os.WriteFile(file, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write the results: %w", err)
	}
	return nil
}
