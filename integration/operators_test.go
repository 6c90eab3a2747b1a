package integration_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// The names are what dashboards and alerts are made of.
func TestMetricsKeepTheirNames(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'one'), (2, 1, 'two'), (3, 2, 'three')`)
	c.until("the messages have come", func() bool { return len(v.events) == 2 })
	for name, want := range map[string]float64{
		"reactive_transactions_total":         1,
		"reactive_changes_total":              3,
		"reactive_events_total":               2,
		"reactive_frames_total":               2,
		"reactive_reconnects_total":           0,
		"reactive_connections_accepted_total": 1,
		"reactive_connections_rejected_total": 0,
		"reactive_connections":                1,
		"reactive_subscriptions":              1,
		"reactive_live":                       1,
	} {
		if got := g.metric(name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for _, name := range []string{
		"reactive_queue_bytes", "reactive_replication_lag_bytes", "reactive_replication_lag_seconds", "go_goroutines", "process_open_fds",
	} {
		if got := g.metric(name); got < 0 {
			t.Errorf("%s is %v", name, got)
		}
	}
	eventually(t, "the retained log is known", func() bool { return g.metric("reactive_slot_retained_bytes") >= 0 })
	_, text := g.ask("/metrics")
	if !regexp.MustCompile(`(?m)^reactive_build_info\{version="[^"]+"\} 1$`).MatchString(text) {
		t.Error("there is no reactive_build_info with a version")
	}
	if other := regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(text, -1); !slices.ContainsFunc(other, func(m []string) bool { return m[1] == "reactive_live" }) {
		t.Error("the metrics have no types")
	}
}

func TestStatusSaysWhatTheGatewayDoes(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages)
	g := serve(t, database, chat)
	connect(t, g).subscribe("message", "conversation_id", "1")
	code, text := g.ask("/status")
	var status struct {
		Version, State, Slot, Publication, Acknowledged string
		Connections, Subscriptions                      int
	}
	if err := json.Unmarshal([]byte(text), &status); err != nil || code != http.StatusOK {
		t.Fatalf("status %d: %v in\n%s", code, err, text)
	}
	if status.Version == "" || status.State != "live" || status.Slot != slotOf(t, database) ||
		status.Publication != "mtbreactive" || status.Acknowledged == "" || status.Connections != 1 || status.Subscriptions != 1 {
		t.Errorf("status:\n%s", text)
	}
}

func TestW28WhatIsForOperatorsIsNotOnThePublicAddress(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages)
	g := serve(t, database, chat, "--pprof")
	public := strings.TrimSuffix("http"+strings.TrimPrefix(g.clients, "ws"), "/ws")
	for _, path := range []string{"/healthz", "/readyz", "/metrics", "/status", "/debug/pprof/", "/debug/pprof/heap"} {
		if status, _ := g.ask(path); status != http.StatusOK {
			t.Errorf("operators get %d from %s", status, path)
		}
		if status, body := get(t, public+path); status != http.StatusNotFound {
			t.Errorf("everyone gets %d from %s: %s", status, path, body)
		}
	}
	// The command line may hold the database's password, and is nowhere.
	if status, body := g.ask("/debug/pprof/cmdline"); status != http.StatusNotFound || strings.Contains(body, "database-url") {
		t.Errorf("operators get %d from the command line: %q", status, body)
	}
	if status, _ := g.ask("/ws"); status != http.StatusNotFound {
		t.Errorf("/ws answers %d on the operators' address", status)
	}
}

func TestProfilesAreServedOnlyOnRequest(t *testing.T) {
	onAnyServer(t)
	g := serve(t, newDatabase(t, conversations, messages), chat)
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/cmdline", "/debug/vars"} {
		if status, _ := g.ask(path); status != http.StatusNotFound {
			t.Errorf("%s answers %d without --pprof", path, status)
		}
	}
}

func TestTheOperatorsAddressCanBeSwitchedOff(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	g := start(t, database, chat, "--admin", "")
	g.awaitServing()
	if g.operators != "none" {
		t.Errorf("operators are told %s", g.operators)
	}
	eventually(t, "clients are served", func() bool { _, _, err := dial(t, g); return err == nil })
}
