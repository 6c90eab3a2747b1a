package integration_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// Each is refused with exit code 2, the place, and what to write instead.
func TestAWrongConfigurationIsRefusedWithItsPlace(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages)
	for name, each := range map[string]struct {
		yaml string
		args []string
		want []string
	}{
		"unknown key":     {"slot: orders\nlisten-on: 127.0.0.1:0\n", nil, []string{"reactive.yaml:2:1:", `"listen-on"`, "listen"}},
		"unknown sub-key": {"reactive:\n  - table: message\n    scope: [id]\n", nil, []string{"reactive.yaml:3:5:", `"scope"`, "scopes"}},
		"wrong type":      {"reactive:\n  - table: message\nmaxConnections: many\n", nil, []string{"reactive.yaml:3:", "maxConnections"}},
		"not YAML":        {"reactive: [\n", nil, []string{"reactive.yaml:"}},
		"missing table":   {"reactive:\n  - table: mesage\n    scopes: [id]\n", nil, []string{"reactive.yaml:2:", "mesage", "write public.message"}},
		"missing scope":   {"reactive:\n  - table: message\n    scopes: [id, conversation]\n", nil, []string{"reactive.yaml:3:18:", "no column conversation", "write conversation_id"}},
		"missing exclude": {"reactive:\n  - table: message\n    columns: {exclude: [bodi]}\n", nil, []string{"reactive.yaml:3:", "no column bodi", "write body"}},
		"every mistake at once": {"reactive:\n  - table: mesage\n  - table: message\n    scopes: [identity]\n", nil,
			[]string{"reactive.yaml:2:", "reactive.yaml:4:"}},
		"all may reach it": {"listen: 0.0.0.0:0\n", nil, []string{"reactive.yaml:1:", "allowAnonymous: true"}},
		"wrong flag value": {"", []string{"--queue-bytes", "plenty"}, []string{"--queue-bytes", `"plenty"`}},
		"unknown flag":     {"", []string{"--listen-on", "x"}, []string{"listen-on", "--help"}},
		"unknown argument": {"", []string{"serve"}, []string{`"serve"`, "--help"}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "reactive.yaml"), each.yaml)
			args := append([]string{"--database-url", database, "--slot", slotOf(t, database), "--admin", "127.0.0.1:0"}, each.args...)
			if !strings.Contains(each.yaml, "listen:") {
				args = append(args, "--listen", "127.0.0.1:0")
			}
			p := run(t, dir, nil, args...)
			if code := p.wait(); code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			for _, part := range each.want {
				if !strings.Contains(p.stderr.String(), part) {
					t.Errorf("the error lacks %s:\n%s", part, p.stderr)
				}
			}
		})
	}
	if got := pgtest.Query[int](t, database, `select count(*) from pg_replication_slots where database = current_database()`); got != 0 {
		t.Errorf("%d slots were made for configurations that were refused", got)
	}
}

func TestNoDatabaseIsRefused(t *testing.T) {
	onAnyServer(t)
	code, _, stderr := command(t)
	if code != 2 || !strings.Contains(stderr, "databaseUrl") || !strings.Contains(stderr, "REACTIVE_DATABASE_URL") {
		t.Errorf("exit code %d:\n%s", code, stderr)
	}
}

func TestFlagsGoBeforeTheEnvironmentAndThatBeforeTheFile(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "reactive.yaml"), "slot: "+slotOf(t, database)+"\npath: /file\nlisten: 127.0.0.1:0\nadmin: ${OPERATORS}\n")
	env := []string{"DATABASE_URL=" + database, "REACTIVE_PATH=/env", "OPERATORS=127.0.0.1:0"}
	for want, args := range map[string][]string{"/env": nil, "/flag": {"--path", "/flag"}} {
		g := &gateway{process: run(t, dir, env, args...)}
		g.awaitServing()
		g.awaitReady()
		if !strings.HasSuffix(g.clients, want) {
			t.Errorf("serves %s, want %s", g.clients, want)
		}
		connect(t, g).subscribe("message", "conversation_id", "1")
		g.stop(interrupt)
	}
}

func TestAnAddressThatIsInUseIsSaidSo(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages)
	first := serve(t, database, chat)
	taken := strings.TrimPrefix(first.operators, "http://")
	second := start(t, database, chat, "--admin", taken)
	if code := second.wait(); code != 1 || !strings.Contains(second.stderr.String(), "listen for operators") || !strings.Contains(second.stderr.String(), taken) {
		t.Errorf("exit code %d:\n%s", code, second.stderr)
	}
}
