package integration_test

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// hugeRows is how many rows the huge transaction has. With many more, the program and the server have their default bounds
// for memory: REACTIVE_TEST_HUGE_ROWS=5000000 go test ./integration -run P53 -v -timeout 20m
const hugeRows, manyMore = 200_000, 1_000_000

// A transaction of millions of rows neither fills the gateway's memory nor keeps others waiting: not while it is written, and
// not behind its commit. A client that it sends more than its queue holds is closed; one that it sends a few rows gets them.
func TestP53HugeTransactionHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	rows := hugeRows
	if text := os.Getenv("REACTIVE_TEST_HUGE_ROWS"); text != "" {
		var err error
		if rows, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	database := newDatabase(t, `create table reading (id int primary key, sensor_id int not null, note text)`)
	args := []string{"--ping-interval", "1h"} // the clients answer only while they read
	if rows < manyMore {                      // bounds that so few exceed
		pgtest.Exec(t, database, `do $$ begin execute format('alter database %I set logical_decoding_work_mem = ''64kB''', current_database()); end $$`)
		args = append(args, "--spill-bytes", "1MiB", "--queue-bytes", "1MiB")
	}
	g := serve(t, database, `
reactive:
  - table: reading
    scopes: [sensor_id]
    snapshot: {limit: 10}
`, args...)
	idle := peakMemory(t, g)
	other, few, flooded := connect(t, g), connect(t, g), connect(t, g)
	quick := other.subscribeWithSnapshot("reading", "sensor_id", "1")
	ten := few.subscribeWithSnapshot("reading", "sensor_id", "3")
	flooded.subscribeWithSnapshot("reading", "sensor_id", "2")

	huge := begin(t, database)
	written := time.Now()
	huge.exec(fmt.Sprintf(`insert into reading select n, 2, 'a note of some length ' || n from generate_series(1, %d) n`, rows))
	huge.exec(`insert into reading select -n, 3, 'few' from generate_series(1, 10) n`)
	t.Logf("%d rows written in %s", rows, time.Since(written))
	latency := func(id int) time.Duration {
		began := time.Now()
		pgtest.Exec(t, database, fmt.Sprintf(`insert into reading values (%d, 1, 'quick')`, -id))
		for quick.rows[fmt.Sprintf("id:-%d", id)] == nil {
			if err := other.next(began.Add(10 * patience)); err != nil {
				t.Fatalf("wait for what was written: %v", err)
			}
		}
		return time.Since(began)
	}
	// What is written behind it comes when all of it has come.
	caughtUp := latency(100)
	_, metrics := g.ask("/metrics")
	spilled := figure(t, metrics, "reactive_spilled_bytes")
	t.Logf("all of it is in the gateway %s later, %.0f MiB on disk", caughtUp, spilled/(1<<20))
	if figure(t, metrics, "reactive_transactions_in_progress") != 1 || spilled == 0 {
		t.Error("nothing is in progress and on disk")
	}
	t.Logf("another client waits %s while it is in progress", latency(101))
	committed := time.Now()
	huge.exec("commit")
	t.Logf("the commit takes %s", time.Since(committed))
	t.Logf("another client waits %s right behind the commit", latency(102))
	few.until("the ten rows have come", func() bool { return len(ten.rows) == 10 })
	t.Logf("the rows of the others have come %s after the commit", time.Since(committed))
	flooded.expectClose(4408, "slow consumer")
	t.Logf("another client waits %s afterwards", latency(103))
	peak := peakMemory(t, g)
	_, metrics = g.ask("/metrics")
	t.Logf("the gateway's peak memory is %d MiB, %d MiB before; it worked for %.1f s", peak>>20, idle>>20, figure(t, metrics, "process_cpu_seconds_total"))
	if limit := 512 << 20; peak > limit {
		t.Errorf("the gateway took %d MiB, the limit is %d", peak>>20, limit>>20)
	}
}

// figure reads one of the metrics.
func figure(t *testing.T, metrics, name string) float64 {
	t.Helper()
	_, rest, found := strings.Cut(metrics, "\n"+name+" ")
	if !found {
		t.Fatalf("there is no metric %s:\n%s", name, metrics)
	}
	text, _, _ := strings.Cut(rest, "\n")
	value, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// peakMemory is the largest resident set that the program has had, in bytes.
func peakMemory(t *testing.T, g *gateway) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", g.cmd.Process.Pid))
	if err != nil {
		t.Skipf("no figures of processes: %v", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	kilobytes, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// writing is a connection to the database.
type writing struct {
	t    *testing.T
	conn *pgx.Conn
}

// begin opens a transaction, which ends with the test.
func begin(t *testing.T, database string) *writing {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	s := &writing{t, conn}
	s.exec("begin")
	return s
}

func (s *writing) exec(sql ...string) {
	s.t.Helper()
	for _, statement := range sql {
		if _, err := s.conn.PgConn().Exec(s.t.Context(), statement).ReadAll(); err != nil {
			s.t.Fatalf("%s: %v", statement, err)
		}
	}
}
