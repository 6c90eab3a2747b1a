//go:build unix

package wal_test

import (
	"context"
	"os/exec"
	"slices"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// loads fill the log, each with rows in transactions of some size.
var loads = []struct {
	name string
	rows int
	sql  []string
}{
	{"transactions of one row", 200_000, []string{`do $$ begin for i in 1..200000 loop
		insert into message values (i, i % 1000, 'author', repeat('x', 60)); commit; end loop; end $$`}},
	{"transactions of 1000 rows", 1_000_000, []string{`do $$ begin for i in 1..1000 loop
		insert into message select i * 1000 + n, n, 'author', repeat('x', 60) from generate_series(1, 1000) n; commit; end loop; end $$`}},
	{"full updates by 100", 500_000, []string{
		`do $$ begin for i in 1..5000 loop update message set thread = thread + 1 where id < 0; commit; end loop; end $$`}},
}

const messages = "create table message (id bigint primary key, thread int, author text, body text)"

// BenchmarkDrain reads a slot as fast as it can be read, and lets pg_recvlogical read the same log.
func BenchmarkDrain(b *testing.B) {
	for _, load := range loads {
		b.Run(load.name, func(b *testing.B) {
			d := newDrain(b, load.rows, load.sql)
			b.Run("gateway", func(b *testing.B) {
				for b.Loop() {
					d.gateway(b, wal.GatherFor)
				}
			})
			b.Run("pg_recvlogical", func(b *testing.B) {
				program, err := exec.LookPath("pg_recvlogical")
				if err != nil {
					b.Skip(err)
				}
				for b.Loop() {
					d.measured(b, syscall.RUSAGE_CHILDREN, func() {
						out, err := exec.CommandContext(b.Context(), program, "-d", d.url, "-S", d.slot, "--start", "-o", "proto_version=1",
							"-o", `publication_names="`+publication+`"`, "-f", "/dev/null", "--endpos="+d.end).CombinedOutput()
						if err != nil {
							b.Fatalf("%v: %s", err, out)
						}
					})
				}
			})
		})
	}
}

// BenchmarkGather shows what it is worth to let bytes gather for how long, and what it costs a lone commit: the time from a
// statement to its change at the sink, at 200 commits a second, and to its notification at pgx.
func BenchmarkGather(b *testing.B) {
	d := newDrain(b, loads[0].rows, loads[0].sql)
	for _, linger := range []time.Duration{0, 100 * time.Microsecond, 500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 4 * time.Millisecond} {
		b.Run(linger.String(), func(b *testing.B) {
			for b.Loop() {
				d.gateway(b, linger)
			}
			commits, notifications := d.lone(b, linger)
			for name, list := range map[string][]time.Duration{"commit": commits, "notify": notifications} {
				slices.Sort(list)
				b.ReportMetric(list[len(list)/2].Seconds()*1e3, name+"-p50-ms")
				b.ReportMetric(list[len(list)*99/100].Seconds()*1e3, name+"-p99-ms")
			}
		})
	}
}

// drain is a database with a log to read, and a slot that stands before it and is copied for each reader.
type drain struct {
	url, slot, end string
	rows           int
}

func newDrain(b *testing.B, rows int, sql []string) *drain {
	b.Helper()
	url := pgtest.Cluster(b, map[string]string{
		"wal_level": "logical", "fsync": "off", "synchronous_commit": "off", "autovacuum": "off", "max_wal_size": "4GB",
	}).URL("postgres")
	pgtest.Exec(b, url, messages, "insert into message select -n, n, 'author', repeat('x', 60) from generate_series(1, 100) n")
	server := newServer(b, url)
	prepare(b, server)
	pgtest.Exec(b, url, "select pg_copy_logical_replication_slot('"+server.Slot+"', 'whole')")
	pgtest.Exec(b, url, sql...)
	return &drain{url: url, slot: server.Slot, rows: rows, end: pgtest.Query[string](b, url, "select pg_current_wal_insert_lsn()::text")}
}

// again puts the slot back to where it stood before the log.
func (d *drain) again(b *testing.B) {
	b.Helper()
	eventually(b, "nobody reads the slot", func() bool {
		return pgtest.Query[int](b, d.url, "select count(*) from pg_replication_slots where active") == 0
	})
	pgtest.Exec(b, d.url, "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = '"+d.slot+"'",
		"select pg_copy_logical_replication_slot('whole', '"+d.slot+"')", "delete from mtbreactive.checkpoint")
}

// measured runs f, which reads the whole log, and reports what it took: of this process or of those that it ran.
func (d *drain) measured(b *testing.B, who int, f func()) {
	b.Helper()
	b.StopTimer()
	d.again(b)
	b.StartTimer()
	before, began := cpu(b, who), time.Now()
	f()
	b.ReportMetric(float64(d.rows)/time.Since(began).Seconds(), "rows/s")
	b.ReportMetric(float64((cpu(b, who)-before).Nanoseconds())/1e3/float64(d.rows), "cpu-us/row")
}

func cpu(b *testing.B, who int) time.Duration {
	b.Helper()
	var usage syscall.Rusage
	if err := syscall.Getrusage(who, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

func (d *drain) gateway(b *testing.B, linger time.Duration) {
	b.Helper()
	d.measured(b, syscall.RUSAGE_SELF, func() {
		all := make(chan struct{})
		rows := 0
		stop := d.read(b, linger, func(tx *cdc.Transaction) {
			if rows += tx.Len(); rows >= d.rows && rows-tx.Len() < d.rows {
				close(all)
			}
		})
		<-all
		b.StopTimer()
		defer b.StartTimer()
		stop()
	})
}

// read runs a source whose transactions go to deliver.
func (d *drain) read(b *testing.B, linger time.Duration, deliver func(*cdc.Transaction)) (stop func()) {
	b.Helper()
	server := newServer(b, d.url)
	_, want := wanted(b, server)
	tracker, checkpoints := &cdc.Tracker{}, &wal.Checkpoints{Pool: server.Pool, Slot: server.Slot}
	source := wal.NewSource(server, d.url, want, tracker, checkpoints, values.NewCatalog(values.Options{}))
	source.Gather(linger)
	pipeline := &cdc.Pipeline{Source: source, Sink: sinkFunc(deliver), Tracker: tracker, HandoffBytes: 16 << 20}
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() { ended <- pipeline.Run(ctx) }()
	return func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}
}

type sinkFunc func(*cdc.Transaction)

func (f sinkFunc) Deliver(tx *cdc.Transaction) { f(tx) }
func (sinkFunc) Start(cdc.Start)               {}
func (f sinkFunc) Try(d cdc.Delivery) bool {
	if d.Transaction != nil {
		f(d.Transaction)
	}
	return true
}
func (sinkFunc) Passed(cdc.LSN)        {}
func (sinkFunc) Reset(cdc.ResetReason) {}
func (sinkFunc) Needed() cdc.LSN       { return cdc.NeedsNothing }

// lone measures how long commits that come one by one take to the sink, and to a listener.
func (d *drain) lone(b *testing.B, linger time.Duration) (commits, notifications []time.Duration) {
	b.Helper()
	d.again(b)
	pgtest.Exec(b, d.url, "select pg_replication_slot_advance('"+d.slot+"', pg_current_wal_insert_lsn())")
	var sent atomic.Int64
	arrived, notified := make(chan time.Duration, 1), make(chan time.Duration, 1)
	since := func() time.Duration { return time.Duration(time.Now().UnixNano() - sent.Load()) }
	defer d.read(b, linger, func(*cdc.Transaction) { arrived <- since() })()
	writer, listener := client(b, d.url), client(b, d.url)
	for conn, sql := range map[*pgx.Conn]string{writer: "set synchronous_commit = on", listener: "listen written"} {
		if _, err := conn.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	go func() {
		for {
			if _, err := listener.WaitForNotification(ctx); err != nil {
				return
			}
			notified <- since()
		}
	}()
	// In transactions of their own, taking turns: a notification would be in the way of the row's.
	write := func(sql string, result <-chan time.Duration) time.Duration {
		sent.Store(time.Now().UnixNano())
		if _, err := writer.Exec(b.Context(), sql); err != nil {
			b.Fatal(err)
		}
		return <-result
	}
	const rate, warm, count = 200, 100, 1000
	tick := time.NewTicker(time.Second / rate)
	defer tick.Stop()
	for i := range warm + count {
		<-tick.C
		commit := write("update message set thread = thread + 1 where id = -1", arrived)
		<-tick.C
		notification := write("notify written", notified)
		if i >= warm {
			commits, notifications = append(commits, commit), append(notifications, notification)
		}
	}
	return commits, notifications
}

func client(b *testing.B, url string) *pgx.Conn {
	b.Helper()
	conn, err := pgx.Connect(b.Context(), url)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}
