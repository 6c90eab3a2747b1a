package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// gateway is a run of the product.
type gateway struct {
	cmd       *exec.Cmd
	children  *nursery
	log       *processLog
	slot      string
	clients   netip.AddrPort
	operators string // http://host:port
}

// startGateway starts the product with this reactive.yaml and waits until it is ready. The slot is its own.
func (b *bench) startGateway(ctx context.Context, db *database, slot, yaml string, env ...string) (*gateway, error) {
	dir, err := os.MkdirTemp(b.dir, slot+"-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the gateway: %w", err)
	}
	if err := os.WriteFile(filepath.Join(dir, "reactive.yaml"), []byte(yaml), 0o600); err != nil {
		return nil, fmt.Errorf("configure the gateway: %w", err)
	}
	g := &gateway{children: b.children, slot: slot, log: &processLog{}}
	g.cmd = exec.Command(b.program, "--database-url", db.url, "--slot", slot, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")
	g.cmd.Dir, g.cmd.Stderr = dir, g.log
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "PG") && !strings.HasPrefix(variable, "REACTIVE_") && !strings.HasPrefix(variable, "DATABASE_URL=") {
			g.cmd.Env = append(g.cmd.Env, variable)
		}
	}
	g.cmd.Env = append(g.cmd.Env, env...)
	if err := b.children.start(g.cmd); err != nil {
		return nil, err
	}
	if err := g.awaitReady(ctx); err != nil {
		g.children.end(g.cmd)
		return nil, fmt.Errorf("start the gateway: %w; its log ends with: %s", err, g.log.lastLines())
	}
	return g, nil
}

func (g *gateway) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until it is ready: %w", ctx.Err())
		case <-look.C:
		}
		if g.operators == "" && !g.findAddresses() {
			if _, err := cpuOf(g.pid()); err != nil {
				return errors.New("it has ended")
			}
			continue
		}
		if _, err := g.get(ctx, "/readyz"); err == nil {
			return nil
		}
	}
}

// findAddresses looks for the line of the log that names them.
func (g *gateway) findAddresses() bool {
	for line := range strings.Lines(g.log.tail()) {
		var said struct{ Msg, Clients, Operators string }
		if json.Unmarshal([]byte(line), &said) != nil || said.Msg != "serving" {
			continue
		}
		address, err := url.Parse(said.Clients)
		if err != nil {
			return false
		}
		g.clients, err = netip.ParseAddrPort(address.Host)
		g.operators = said.Operators
		return err == nil
	}
	return false
}

// kill ends the gateway at once and drops its slot, so that the log it holds back is not kept for nobody.
func (g *gateway) kill(ctx context.Context, db *database) {
	g.children.end(g.cmd)
	ctx = context.WithoutCancel(ctx)
	conn, err := pgx.Connect(ctx, db.url)
	if err != nil {
		return
	}
	defer func() { _ = conn.Close(ctx) }()
	for range 100 {
		if _, err := conn.Exec(ctx, "select pg_drop_replication_slot($1)", g.slot); err == nil {
			return
		}
		time.Sleep(10 * time.Millisecond) // its walsender has not noticed yet
	}
}

func (g *gateway) pid() int { return g.cmd.Process.Pid }

func (g *gateway) get(ctx context.Context, path string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, g.operators+path, nil)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", path, err)
	}
	request.Close = true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", path, err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = errors.New(response.Status)
	}
	if err != nil {
		return "", fmt.Errorf("ask %s: %w", path, err)
	}
	return string(text), nil
}

// errNoMetric: the gateway does not have such a metric.
var errNoMetric = errors.New("no such metric")

// metric reads one that has no labels.
func (g *gateway) metric(ctx context.Context, name string) (float64, error) {
	text, err := g.get(ctx, "/metrics")
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(text) {
		if got, value, ok := strings.Cut(strings.TrimSpace(line), " "); ok && got == name {
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				return 0, fmt.Errorf("read metric %s: %w", name, err)
			}
			return v, nil
		}
	}
	return 0, fmt.Errorf("read %s: %w", name, errNoMetric)
}
