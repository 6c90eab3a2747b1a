// Package metrics shows the process's figures to Prometheus. It pulls them when it is asked, so that nothing that works
// for clients pays for it. It must not change anything.
package metrics

import (
	"math"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/reactive-gw/reactive-gw/cdc/ingest"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/gateway"
	"github.com/reactive-gw/reactive-gw/wal"
)

// Sources are where the figures come from. The functions are called from any goroutine.
type Sources struct {
	Source  func() wal.Stats
	Hub     func() fanout.Stats
	Gateway func() gateway.Stats
	// Refusals are the counts of what was refused, by reason.
	Refusals func() map[gateway.Refusal]uint64
	Ingest   func() ingest.Stats
	// Pressure is that of the log that the slot holds back, as last seen.
	Pressure func() wal.Pressure
	// Tables are the wanted tables; nil where nobody keeps count.
	Tables  func() []wal.TableState
	Version string
}

// Handler serves the figures in Prometheus's text format, with those of the Go runtime and the process.
func Handler(s Sources) http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		newCollector(s),
	)
	return promhttp.HandlerFor(registry, promhttp.HandlerOpts{})
}

// figure is one metric: its description and how to read it from a moment's view.
type figure struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	read func(*moment) float64
}

// moment is what all figures of one scrape are read from.
type moment struct {
	source   wal.Stats
	hub      fanout.Stats
	gateway  gateway.Stats
	ingest   ingest.Stats
	pressure wal.Pressure
}

type collector struct {
	sources        Sources
	figures        []figure
	filterFailures *prometheus.Desc
	scopeFailures  *prometheus.Desc
	noSnapshots    *prometheus.Desc
	overflows      *prometheus.Desc
	ingestEvents   *prometheus.Desc
	ingestErrors   *prometheus.Desc
	resets         *prometheus.Desc
	refusals       *prometheus.Desc
	unserved       *prometheus.Desc
}

func flag(is bool) float64 {
	if is {
		return 1
	}
	return 0
}

func newCollector(s Sources) *collector {
	c := &collector{
		sources: s,
		filterFailures: prometheus.NewDesc("reactive_filter_errors_total",
			"Times that a filterRow had no answer, so that a client was not shown a row.", []string{"channel"}, nil),
		scopeFailures: prometheus.NewDesc("reactive_resolve_scopes_errors_total",
			"Times that resolveScopes had no answer, so that the channel's views began anew.", []string{"channel"}, nil),
		noSnapshots: prometheus.NewDesc("reactive_snapshot_errors_total", "Snapshots that could not be read.", []string{"channel"}, nil),
		overflows: prometheus.NewDesc("reactive_overflows_total",
			"Subscriptions that started over because a change was too large to be told.", []string{"channel"}, nil),
		ingestEvents: prometheus.NewDesc("reactive_ingest_events_total", "Events taken beside the log.", []string{"source"}, nil),
		ingestErrors: prometheus.NewDesc("reactive_ingest_errors_total", "Payloads beside the log that were refused.", []string{"source"}, nil),
		refusals: prometheus.NewDesc("reactive_refusals_total",
			"Clients, and requests of theirs, that were refused.", []string{"reason"}, nil),
		resets: prometheus.NewDesc("reactive_resets_total", "Times that continuity was lost, so that clients had to start over.", []string{"reason"}, nil),
		unserved: prometheus.NewDesc("reactive_tables_unserved", "Tables that are not served yet, or are left out: others hold locks on them, "+
			"transactions run that wrote to them before they were published, or somebody else has to mend them.", []string{"reason"}, nil),
	}
	add := func(kind prometheus.ValueType, name, help string, labels prometheus.Labels, read func(*moment) float64) {
		c.figures = append(c.figures, figure{prometheus.NewDesc("reactive_"+name, help, nil, labels), kind, read})
	}
	counter := func(name, help string, read func(*moment) float64) {
		add(prometheus.CounterValue, name, help, nil, read)
	}
	gauge := func(name, help string, read func(*moment) float64) { add(prometheus.GaugeValue, name, help, nil, read) }

	counter("transactions_total", "Transactions received from the slot.", func(m *moment) float64 { return float64(m.source.Transactions) })
	counter("changes_total", "Row changes received from the slot.", func(m *moment) float64 { return float64(m.source.Changes) })
	counter("events_total", "Events made of changes that at least one subscription saw.", func(m *moment) float64 { return float64(m.hub.Events) })
	counter("frames_total", "Change frames put into clients' queues.", func(m *moment) float64 { return float64(m.hub.Frames) })
	counter("reconnects_total", "Replication connections that began to stream after the first one.", func(m *moment) float64 {
		return float64(max(m.source.Connects, 1) - 1)
	})
	counter("connections_accepted_total", "Client connections accepted.", func(m *moment) float64 { return float64(m.gateway.Accepted) })
	counter("connections_rejected_total", "Client connections over the limit.", func(m *moment) float64 { return float64(m.gateway.Rejected) })
	counter("frames_written_total", "Frames written to clients, of every kind.", func(m *moment) float64 { return float64(m.gateway.Frames) })
	counter("socket_writes_total", "System calls that wrote them: what gathers for a client goes out in one.", func(m *moment) float64 {
		return float64(m.gateway.Writes)
	})
	counter("ingest_gaps_total", "Times that notifications may have been missed.", func(m *moment) float64 { return float64(m.ingest.Gaps) })
	gauge("connections", "Client connections open.", func(m *moment) float64 { return float64(m.gateway.Connections) })
	gauge("subscriptions", "Subscriptions of all clients.", func(m *moment) float64 { return float64(m.hub.Subscriptions) })
	gauge("subscriptions_on_hold", "Subscriptions that wait for whether their client still has the right to them.", func(m *moment) float64 {
		return float64(m.hub.OnHold)
	})
	counter("revoked_total", "Subscriptions that ended because their client had lost the right to them.", func(m *moment) float64 { return float64(m.hub.Revoked) })
	counter("undecided_total", "Subscriptions that ended since nobody could say in time whether their client still has the right to them.", func(m *moment) float64 { return float64(m.hub.Undecided) })
	gauge("queue_bytes", "Bytes waiting in clients' queues.", func(m *moment) float64 { return float64(m.hub.QueueBytes) })
	gauge("replication_lag_bytes", "Log between the end of the server's and what was delivered.", func(m *moment) float64 { return float64(m.source.LagBytes) })
	gauge("replication_lag_seconds", "Age of the last received commit while there is log that was not delivered.", func(m *moment) float64 {
		return m.source.Lag.Seconds()
	})
	gauge("transactions_in_progress", "Transactions of which the server has sent a part before their end.", func(m *moment) float64 { return float64(m.source.InProgress) })
	gauge("spilled_bytes", "Bytes of transactions in progress on disk.", func(m *moment) float64 { return float64(m.source.Spilled) })
	counter("oversized_rows_total", "Changes of served tables that were longer than maxRowBytes, so that views started over.", func(m *moment) float64 {
		return float64(m.source.Unreadable.Oversized)
	})
	counter("undecodable_rows_total", "Changes of served tables with a character that has no Unicode, so that views started over.", func(m *moment) float64 {
		return float64(m.source.Unreadable.Undecodable)
	})
	gauge("slot_retained_bytes", "Log that the slot holds back on the server; negative while not known.", func(m *moment) float64 { return float64(m.pressure.Retained) })
	gauge("slot_retained_limit_bytes", "Log beyond which the slot is lost, max_slot_wal_keep_size; negative without limit.", func(m *moment) float64 { return float64(m.pressure.Limit) })
	gauge("slot_growth_bytes_per_second", "What the retained log gains, over the last minute.", func(m *moment) float64 { return m.pressure.Growth })
	gauge("slot_seconds_left", "Time until the retained log has grown to its limit; infinite where it does not.", func(m *moment) float64 {
		if m.pressure.Left < 0 {
			return math.Inf(1)
		}
		return m.pressure.Left.Seconds()
	})
	gauge("slot_pressure", "1 while more than half of the limit is retained.", func(m *moment) float64 { return flag(m.pressure.High) })
	gauge("standby", "1 while another gateway has the slot.", func(m *moment) float64 { return flag(m.source.State == wal.Standby) })
	gauge("live", "1 while the stream is live and past where the server was when it connected.", func(m *moment) float64 { return flag(m.source.State == wal.Live) })
	add(prometheus.GaugeValue, "build_info", "The running version.", prometheus.Labels{"version": s.Version}, func(*moment) float64 { return 1 })
	return c
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, f := range c.figures {
		ch <- f.desc
	}
	ch <- c.filterFailures
	ch <- c.scopeFailures
	ch <- c.noSnapshots
	ch <- c.overflows
	ch <- c.ingestEvents
	ch <- c.ingestErrors
	ch <- c.resets
	ch <- c.refusals
	ch <- c.unserved
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(ch chan<- prometheus.Metric) {
	m := &moment{
		source: c.sources.Source(), hub: c.sources.Hub(), gateway: c.sources.Gateway(), ingest: c.sources.Ingest(), pressure: c.sources.Pressure(),
	}
	for _, f := range c.figures {
		ch <- prometheus.MustNewConstMetric(f.desc, f.kind, f.read(m))
	}
	for channel, failures := range m.hub.FilterFailures {
		ch <- prometheus.MustNewConstMetric(c.filterFailures, prometheus.CounterValue, float64(failures), channel)
	}
	for channel, failures := range m.hub.ResolverFailures {
		ch <- prometheus.MustNewConstMetric(c.scopeFailures, prometheus.CounterValue, float64(failures), channel)
	}
	for channel, failures := range m.hub.SnapshotFailures {
		ch <- prometheus.MustNewConstMetric(c.noSnapshots, prometheus.CounterValue, float64(failures), channel)
	}
	for channel, times := range m.hub.Overflows {
		ch <- prometheus.MustNewConstMetric(c.overflows, prometheus.CounterValue, float64(times), channel)
	}
	for source, events := range m.ingest.Events {
		ch <- prometheus.MustNewConstMetric(c.ingestEvents, prometheus.CounterValue, float64(events), string(source))
	}
	for source, refused := range m.ingest.Errors {
		ch <- prometheus.MustNewConstMetric(c.ingestErrors, prometheus.CounterValue, float64(refused), string(source))
	}
	for reason, times := range c.sources.Refusals() {
		ch <- prometheus.MustNewConstMetric(c.refusals, prometheus.CounterValue, float64(times), string(reason))
	}
	if c.sources.Tables != nil {
		unserved := map[wal.Progress]int{wal.Locked: 0, wal.Draining: 0, wal.LeftOut: 0}
		for _, t := range c.sources.Tables() {
			unserved[t.Progress]++
		}
		for _, reason := range []wal.Progress{wal.Locked, wal.Draining, wal.LeftOut} {
			ch <- prometheus.MustNewConstMetric(c.unserved, prometheus.GaugeValue, float64(unserved[reason]), strings.ReplaceAll(string(reason), " ", "_"))
		}
	}
	for reason, times := range m.source.Resets {
		ch <- prometheus.MustNewConstMetric(c.resets, prometheus.CounterValue, float64(times), string(reason))
	}
}
