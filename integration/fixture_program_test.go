package integration_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// program is the path of the program under test, and raced that of one with the race detector. They have to be package
// variables: testing hands nothing from TestMain to tests.
var program, raced string

// programFor gives the test its program. Where tests run with the race detector, so do the programs of those in which most
// happens at once, of clients that misbehave and of the oracle. In the others it would find what it finds in the packages' own
// tests, and take longer than all that they do.
func programFor(t *testing.T) string {
	if raceDetector && (strings.HasPrefix(t.Name(), "TestW") || strings.HasPrefix(t.Name(), "TestEveryView")) {
		return raced
	}
	return program
}

func TestMain(m *testing.M) { pgtest.Main(&builder{tests: m}) }

// builder builds the program, runs the tests, and looks that no process of the program is left.
type builder struct{ tests *testing.M }

func (b *builder) Run() int {
	dir, err := os.MkdirTemp("", "reactive-gw-integration-")
	if err != nil {
		return fail("make a folder for the program", err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := os.Chmod(dir, 0o755); err != nil { // for the tests that run it as another user
		return fail("open the program's folder", err)
	}
	program, raced = filepath.Join(dir, "reactive-gw"), filepath.Join(dir, "reactive-gw-raced")
	builds := [][]string{{"build", "-o", program}}
	if raceDetector {
		builds = append(builds, []string{"build", "-race", "-o", raced})
	}
	for _, args := range builds {
		build := exec.Command("go", append(args, "github.com/reactive-gw/reactive-gw")...)
		if out, err := build.CombinedOutput(); err != nil {
			return fail("build the program", fmt.Errorf("%w\n%s", err, out))
		}
	}
	code := b.tests.Run()
	if left := processes(program); len(left) > 0 {
		return fail("end the program", fmt.Errorf("still running:\n%s", strings.Join(left, "\n")))
	}
	return code
}

func fail(what string, err error) int {
	fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
	return 1
}

// processes lists the processes that have the text in their command line.
func processes(text string) []string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, "ps", "-A", "-o", "pid=,stat=,args=").Output()
	if err != nil {
		return []string{"ps: " + err.Error()}
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if strings.Contains(line, text) && len(fields) > 1 && !strings.HasPrefix(fields[1], "Z") {
			found = append(found, strings.TrimSpace(line))
		}
	}
	return found
}
