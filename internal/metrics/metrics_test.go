package metrics_test

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/gateway"
	"github.com/reactive-gw/reactive-gw/internal/metrics"
	"github.com/reactive-gw/reactive-gw/protocol"
	"github.com/reactive-gw/reactive-gw/wal"
)

func scrape(t *testing.T, h http.Handler) string {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Errorf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	return w.Body.String()
}

// ours are the lines about our own metrics, without the help.
func ours(text string) string {
	var lines strings.Builder
	for scanner := bufio.NewScanner(strings.NewReader(text)); scanner.Scan(); {
		if line := scanner.Text(); strings.HasPrefix(line, "reactive_") || strings.HasPrefix(line, "# TYPE reactive_") {
			lines.WriteString(line + "\n")
		}
	}
	return lines.String()
}

// Dashboards and alerts go by these names: none may change or vanish unnoticed.
const golden = `# TYPE reactive_build_info gauge
reactive_build_info{version="v1.2.3"} 1
# TYPE reactive_changes_total counter
reactive_changes_total 2
# TYPE reactive_connections gauge
reactive_connections 3
# TYPE reactive_connections_accepted_total counter
reactive_connections_accepted_total 4
# TYPE reactive_connections_rejected_total counter
reactive_connections_rejected_total 5
# TYPE reactive_events_total counter
reactive_events_total 6
# TYPE reactive_filter_errors_total counter
reactive_filter_errors_total{channel="message"} 12
# TYPE reactive_frames_total counter
reactive_frames_total 7
# TYPE reactive_frames_written_total counter
reactive_frames_written_total 40
# TYPE reactive_ingest_errors_total counter
reactive_ingest_errors_total{source="notify"} 14
# TYPE reactive_ingest_events_total counter
reactive_ingest_events_total{source="hook"} 13
# TYPE reactive_ingest_gaps_total counter
reactive_ingest_gaps_total 15
# TYPE reactive_live gauge
reactive_live 1
# TYPE reactive_overflows_total counter
reactive_overflows_total{channel="message"} 19
# TYPE reactive_oversized_rows_total counter
reactive_oversized_rows_total 16
# TYPE reactive_queue_bytes gauge
reactive_queue_bytes 8
# TYPE reactive_reconnects_total counter
reactive_reconnects_total 2
# TYPE reactive_refusals_total counter
reactive_refusals_total{reason="origin"} 17
reactive_refusals_total{reason="token"} 0
# TYPE reactive_replication_lag_bytes gauge
reactive_replication_lag_bytes 9
# TYPE reactive_replication_lag_seconds gauge
reactive_replication_lag_seconds 1.5
# TYPE reactive_resets_total counter
reactive_resets_total{reason="slot_lost"} 15
# TYPE reactive_resolve_scopes_errors_total counter
reactive_resolve_scopes_errors_total{channel="message"} 13
# TYPE reactive_revoked_total counter
reactive_revoked_total 15
# TYPE reactive_slot_growth_bytes_per_second gauge
reactive_slot_growth_bytes_per_second 14
# TYPE reactive_slot_pressure gauge
reactive_slot_pressure 1
# TYPE reactive_slot_retained_bytes gauge
reactive_slot_retained_bytes 10
# TYPE reactive_slot_retained_limit_bytes gauge
reactive_slot_retained_limit_bytes 13
# TYPE reactive_slot_seconds_left gauge
reactive_slot_seconds_left +Inf
# TYPE reactive_snapshot_errors_total counter
reactive_snapshot_errors_total{channel="message"} 18
# TYPE reactive_socket_writes_total counter
reactive_socket_writes_total 16
# TYPE reactive_spilled_bytes gauge
reactive_spilled_bytes 15
# TYPE reactive_standby gauge
reactive_standby 0
# TYPE reactive_subscriptions gauge
reactive_subscriptions 11
# TYPE reactive_subscriptions_on_hold gauge
reactive_subscriptions_on_hold 14
# TYPE reactive_tables_unserved gauge
reactive_tables_unserved{reason="draining"} 0
reactive_tables_unserved{reason="left_out"} 2
reactive_tables_unserved{reason="locked"} 1
# TYPE reactive_transactions_in_progress gauge
reactive_transactions_in_progress 14
# TYPE reactive_transactions_total counter
reactive_transactions_total 1
# TYPE reactive_undecided_total counter
reactive_undecided_total 41
# TYPE reactive_undecodable_rows_total counter
reactive_undecodable_rows_total 17
`

func TestNamesAndTypes(t *testing.T) {
	source := wal.Stats{State: wal.Live, Transactions: 1, Changes: 2, Connects: 3, InProgress: 14, Spilled: 15, LagBytes: 9, Lag: 1500 * time.Millisecond,
		Resets: map[cdc.ResetReason]uint64{cdc.ResetSlotLost: 15}, Unreadable: wal.Unreadable{Oversized: 16, Undecodable: 17}}
	handler := metrics.Handler(metrics.Sources{
		Source: func() wal.Stats { return source },
		Hub: func() fanout.Stats {
			return fanout.Stats{Events: 6, Frames: 7, QueueBytes: 8, Subscriptions: 11, OnHold: 14, Revoked: 15, Undecided: 41, FilterFailures: map[string]uint64{"message": 12}, ResolverFailures: map[string]uint64{"message": 13},
				SnapshotFailures: map[string]uint64{"message": 18}, Overflows: map[string]uint64{"message": 19}}
		},
		Gateway: func() gateway.Stats {
			return gateway.Stats{Connections: 3, Accepted: 4, Rejected: 5, Frames: 40, Writes: 16}
		},
		Ingest: func() ingest.Stats {
			return ingest.Stats{
				Events: map[ingest.Source]uint64{ingest.Hook: 13}, Errors: map[ingest.Source]uint64{ingest.Notify: 14}, Gaps: 15,
			}
		},
		Refusals: func() map[gateway.Refusal]uint64 {
			return map[gateway.Refusal]uint64{gateway.RefusedOrigin: 17, gateway.RefusedToken: 0}
		},
		Pressure: func() wal.Pressure { return wal.Pressure{Retained: 10, Limit: 13, Growth: 14, Left: -1, High: true} },
		Tables: func() []wal.TableState {
			return []wal.TableState{{Progress: wal.Ready}, {Progress: wal.Locked}, {Progress: wal.LeftOut}, {Progress: wal.LeftOut}}
		},
		Version: "v1.2.3",
	})
	text := scrape(t, handler)
	if got := ours(text); got != golden {
		t.Errorf("got\n%s\nwant\n%s", got, golden)
	}
	for line := range strings.Lines(golden) {
		if name, ok := strings.CutPrefix(line, "# TYPE "); ok {
			name, _, _ = strings.Cut(name, " ")
			if !strings.Contains(text, "# HELP "+name+" ") {
				t.Errorf("%s has no help", name)
			}
		}
	}
	for _, name := range []string{"go_goroutines ", "process_open_fds "} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("no %s", name)
		}
	}

	// Before the first connection there is no reconnect, and nothing is live.
	source = wal.Stats{}
	for _, line := range []string{"reactive_reconnects_total 0\n", "reactive_live 0\n"} {
		if text := scrape(t, handler); !strings.Contains(text, "\n"+line) {
			t.Errorf("no %q", line)
		}
	}
}

// Scrapes go on while clients come and go.
func TestScrapeWhileWorking(t *testing.T) {
	hub, err := fanout.NewHub(fanout.Options{QueueBytes: 1 << 10, Log: zap.NewNop(), Channels: []fanout.Channel{{
		Name: "message", Schema: "public", Table: "message", Scopes: []fanout.Scope{{Column: "conversation_id", Type: fanout.Int8}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	edge := gateway.New(gateway.Options{Hub: hub, Log: zap.NewNop()})
	handler := metrics.Handler(metrics.Sources{
		Source: func() wal.Stats { return wal.Stats{} }, Hub: hub.Stats, Gateway: edge.Stats,
		Ingest: func() ingest.Stats { return ingest.Stats{} }, Pressure: wal.UnknownPressure,
		Refusals: gateway.NewRefusals(zap.NewNop()).Totals,
	})
	var working sync.WaitGroup
	for range 2 {
		working.Go(func() {
			scope := protocol.Scope{Col: "conversation_id", Value: []byte("42"), Raw: []byte(`{"col":"conversation_id","value":42}`)}
			for range 200 {
				client := hub.Attach(nil)
				if err := client.Subscribe("message", scope); err != nil {
					t.Error(err)
				}
				client.Detach()
			}
		})
		working.Go(func() {
			for range 20 {
				scrape(t, handler)
			}
		})
	}
	working.Wait()
	if text := scrape(t, handler); !strings.Contains(text, "\nreactive_subscriptions 0\n") || !strings.Contains(text, "\nreactive_slot_retained_bytes -1\n") {
		t.Errorf("%s", ours(text))
	}
}
