package integration_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// The end of the terminal, or of who reads the log, is no reason to send everybody away.
func TestW35NobodyToReadTheLogAndNoTerminal(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "reactive.yaml"), chat)
	log, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd := exec.Command(programFor(t), "--database-url", database, "--slot", slotOf(t, database), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, writer, writer
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = writer.Close()
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	p := &process{t: t, cmd: cmd, stdout: &output{}, stderr: &output{}, ended: ended}
	t.Cleanup(p.cleanup)
	g := &gateway{process: p}
	for lines := bufio.NewScanner(log); g.operators == "" && lines.Scan(); {
		var line map[string]any
		if json.Unmarshal(lines.Bytes(), &line) == nil && line["msg"] == "serving" {
			g.clients, g.operators = line["clients"].(string), line["operators"].(string)
		}
	}
	g.awaitReady()
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")

	_ = log.Close()
	for _, signal := range []syscall.Signal{syscall.SIGHUP, syscall.SIGPIPE, syscall.SIGHUP} {
		p.signal(signal)
	}
	for range 3 { // each has a line of the log
		if status := statusAs(t, g.operators+"/status", "evil.example"); status != http.StatusForbidden {
			t.Errorf("%d", status)
		}
		if status := upgradeAs(t, g, "localhost", "https://evil.example"); status != http.StatusForbidden {
			t.Errorf("%d", status)
		}
	}
	pgtest.Exec(t, database, `insert into message values (1, 1, 'still there')`)
	c.until("the message has come", func() bool { return len(v.events) == 1 })
	if code := p.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// More clients than the process may have files open leave the gateway what it needs for itself.
func TestW35DescriptorsAreLeftForOperatorsAndTheDatabase(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "reactive.yaml"), "reactive:\n  - {table: message, scopes: [conversation_id], snapshot: {limit: 10}}\n")
	cmd := exec.Command("sh", "-c", `ulimit -n 256 && exec "$@"`, "sh", programFor(t),
		"--database-url", database, "--slot", slotOf(t, database), "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	g := &gateway{process: runCommand(t, cmd, nil, dir, nil)}
	g.awaitServing()
	g.awaitReady()
	if line, ok := g.logged("few file descriptors"); !ok || line["level"] != "warn" || !strings.Contains(line["detail"].(string), "256") || !strings.Contains(line["do"].(string), "LimitNOFILE=") {
		t.Errorf("the log says %v", line)
	}
	c := connect(t, g)
	address := strings.TrimSuffix(strings.TrimPrefix(g.clients, "ws://"), "/ws")
	const upgrade = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	for n := range 300 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("connection %d: %v", n, err)
		}
		defer conn.Close()
		if n%4 != 0 { // a quarter says nothing
			_, _ = io.WriteString(conn, upgrade)
		}
	}
	eventually(t, "as many as get in are in", func() bool { return g.metric("process_open_fds") > 150 })
	for range 20 {
		if status, why := g.ask("/readyz"); status != http.StatusOK {
			t.Fatalf("/readyz says %d %s", status, why)
		}
	}
	if open := g.metric("process_open_fds"); open > 220 {
		t.Errorf("%v are open", open)
	}
	if _, status := g.ask("/status"); !strings.Contains(status, `"few file descriptors"`) {
		t.Errorf("/status says %s", status)
	}
	pgtest.Exec(t, database, `insert into message values (1, 1, 'one')`)
	v := c.subscribeWithSnapshot("message", "conversation_id", "1") // over a connection that was not open before
	c.until("the message is there", func() bool { return len(v.rows) == 1 })
}
