package integration_test

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// gateway is a serving run of the program.
type gateway struct {
	*process
	clients   string // ws://host:port/ws
	operators string // http://host:port
}

// serve starts a gateway on free ports and waits until it is ready. yaml is its reactive.yaml.
func serve(t *testing.T, database, yaml string, args ...string) *gateway {
	t.Helper()
	g := start(t, database, yaml, args...)
	g.awaitServing()
	g.awaitReady()
	return g
}

// start is serve without waiting.
func start(t *testing.T, database, yaml string, args ...string) *gateway {
	t.Helper()
	return startWith(t, nil, database, yaml, args...)
}

// startWith is start with something in the environment. The slot is named after the database: slots are the cluster's.
func startWith(t *testing.T, env []string, database, yaml string, args ...string) *gateway {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "reactive.yaml"), yaml)
	all := []string{"--database-url", database, "--slot", slotOf(t, database), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}
	return &gateway{process: run(t, dir, env, append(all, args...)...)}
}

// awaitServing waits for the line of the log that names the addresses.
func (g *gateway) awaitServing() {
	g.t.Helper()
	eventually(g.t, "the gateway serves", func() bool {
		if line, ok := g.logged("serving"); ok {
			g.clients, g.operators = line["clients"].(string), line["operators"].(string)
			return true
		}
		if !g.running() {
			g.t.Fatalf("the gateway ended with exit code %d", g.wait())
		}
		return false
	})
}

// logged finds the first line of the log with the message.
func (g *gateway) logged(message string) (line map[string]any, ok bool) {
	lines := bufio.NewScanner(strings.NewReader(g.stderr.String()))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line = nil
		if json.Unmarshal(lines.Bytes(), &line) == nil && line["msg"] == message {
			return line, true
		}
	}
	return nil, false
}

// awaitLogged waits for a line of the log with the message: a line may be read later than what the gateway did afterwards.
func (g *gateway) awaitLogged(message string) (line map[string]any) {
	g.t.Helper()
	eventually(g.t, "the log says: "+message, func() (ok bool) {
		line, ok = g.logged(message)
		return ok
	})
	return line
}

// awaitSaid waits for words anywhere in what the program writes for operators.
func (g *gateway) awaitSaid(words string) {
	g.t.Helper()
	eventually(g.t, "the log has: "+words, func() bool { return strings.Contains(g.stderr.String(), words) })
}

func (g *gateway) awaitReady() { g.t.Helper(); g.awaitReadiness(http.StatusOK, "ready") }

func (g *gateway) awaitReadiness(status int, why string) {
	g.t.Helper()
	var gotStatus int
	var gotWhy string
	eventually(g.t, "/readyz says "+why, func() bool {
		gotStatus, gotWhy = g.ask("/readyz")
		return gotStatus == status && gotWhy == why+"\n"
	})
}

// keepsCheckpoint grants a role what it needs in schema mtbreactive.
func keepsCheckpoint(t *testing.T, database, role string) {
	t.Helper()
	pgtest.Exec(t, database, `grant usage on schema mtbreactive to `+role,
		`grant select on mtbreactive.migration to `+role, `grant select, insert, update on mtbreactive.checkpoint to `+role,
		`grant select, insert on mtbreactive.setup to `+role)
}

// awaitFreeSlot waits until the server knows that the gateways of the database are gone.
func awaitFreeSlot(t *testing.T, database string) {
	t.Helper()
	eventually(t, "the slot is free", func() bool {
		return pgtest.Query[bool](t, database, `select not exists (select from pg_replication_slots where database = current_database() and active)`)
	})
}

// ask sends a GET to the operators' address. Status 0 is no answer.
func (g *gateway) ask(path string) (status int, body string) { return get(g.t, g.operators+path) }

func get(t *testing.T, address string) (status int, body string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Close = true // no connection is kept that a shutdown would wait for
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err.Error()
	}
	return response.StatusCode, string(text)
}

func slotOf(t *testing.T, database string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

// newDatabase gives a database with the statements run.
func newDatabase(t *testing.T, sql ...string) (url string) {
	t.Helper()
	url = pgtest.Database(t)
	pgtest.Exec(t, url, sql...)
	return url
}

func write(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
