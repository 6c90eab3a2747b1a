package wal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/migrations"
	"github.com/reactive-gw/reactive-gw/wal"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

const (
	slotSuffix  = "_slot" // of the database's name: slots are the cluster's, so that every test needs its own
	publication = "Orders of the day"
	patience    = 40 * time.Second
)

// gateway is a source with its pipeline, put together as the program does it, and a sink that records.
type gateway struct {
	*recorder
	server *wal.Server
	source *wal.Source
	// stop ends it and waits for it; the error is the pipeline's. It may be called more than once.
	stop func() error
	// ended is closed once the pipeline has returned.
	ended chan struct{}
}

// database makes a database with the given schema.
func database(t testing.TB, schema ...string) (url string) {
	t.Helper()
	url = pgtest.Database(t)
	pgtest.Exec(t, url, schema...)
	return url
}

// admits tells whether the server lets in who comes with url.
func admits(t testing.TB, url string) bool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err == nil {
		_ = conn.Close(t.Context())
	}
	return err == nil
}

func newServer(t testing.TB, url string) *wal.Server {
	t.Helper()
	pool, err := wal.OpenPool(t.Context(), url, wal.PoolOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &wal.Server{
		Pool: pool, Slot: pool.Config().ConnConfig.Database + slotSuffix, Publication: publication, Mode: wal.SetupAuto,
		Log: zaptest.NewLogger(t, zaptest.Level(zap.ErrorLevel)),
	}
}

// wanted asks for every table that has a key, with the given columns as scopes.
func wanted(t testing.TB, server *wal.Server, scopes ...string) (*wal.Facts, wal.Wanted) {
	t.Helper()
	facts, err := server.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := wal.Wanted{Slot: server.Slot, Publication: server.Publication}
	for _, table := range facts.Tables {
		if len(table.PrimaryKey) > 0 {
			want.Tables = append(want.Tables, wal.WantedTable{TableInfo: table, Scopes: scopes})
		}
	}
	return facts, want
}

// prepare sets up the database, with the checkpoint's table.
func prepare(t testing.TB, server *wal.Server) wal.Wanted {
	t.Helper()
	if _, err := migrations.Up(t.Context(), server.Pool); err != nil { // the slot has to know the publication of the outbox
		t.Fatal(err)
	}
	facts, want := wanted(t, server)
	if _, err := server.Ensure(t.Context(), facts, want); err != nil {
		t.Fatal(err)
	}
	return want
}

// start runs a gateway at url and waits until it is live.
func start(t testing.TB, url string) *gateway {
	t.Helper()
	g := launch(t, url, 1<<20)
	g.live(t)
	return g
}

// launch runs a gateway without waiting. What waits between source and sink is bounded by handoffBytes.
func launch(t testing.TB, url string, handoffBytes int, adjust ...func(*wal.Source)) *gateway {
	t.Helper()
	g := run(t, url, wal.SetupAuto, handoffBytes, adjust...)
	t.Cleanup(func() {
		if err := g.stop(); err != nil && !t.Failed() {
			t.Errorf("the pipeline failed: %v", err)
		}
	})
	return g
}

// run sets up the database, and runs a gateway in the given mode. The test has to stop it.
func run(t testing.TB, url string, mode wal.SetupMode, handoffBytes int, adjust ...func(*wal.Source)) *gateway {
	t.Helper()
	server := newServer(t, url)
	want := prepare(t, server)
	server.Mode = mode
	g := &gateway{recorder: &recorder{release: func() {}}, server: server, ended: make(chan struct{})}
	tracker := &cdc.Tracker{}
	checkpoints := &wal.Checkpoints{Pool: server.Pool, Slot: server.Slot}
	g.source = wal.NewSource(server, url, want, tracker, checkpoints, values.NewCatalog(values.Options{}))
	for _, f := range adjust {
		f(g.source)
	}
	pipeline := &cdc.Pipeline{
		Source: g.source, Sink: g.recorder, Tracker: tracker, Checkpoints: checkpoints, CheckpointEvery: time.Second,
		HandoffBytes: handoffBytes, OnCheckpointError: func(error) {},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var failed error
	go func() {
		defer close(g.ended)
		failed = pipeline.Run(ctx)
	}()
	g.stop = func() error {
		cancel()
		<-g.ended
		return failed
	}
	return g
}

func (g *gateway) live(t testing.TB) {
	t.Helper()
	eventually(t, "the source is live", func() bool { return g.source.Stats().State == wal.Live && len(g.started()) > 0 })
}

// walsender is the process that serves the gateway, 0 while there is none.
func (g *gateway) walsender(t testing.TB) int32 {
	t.Helper()
	slot, err := g.server.SlotFacts(t.Context())
	if err != nil || slot == nil {
		return 0
	}
	return slot.ActivePID
}

// recorder is a sink that writes down what it is told, each change in a line.
type recorder struct {
	mu      sync.Mutex
	lines   []string
	sizes   []int // of the transactions: how many changes
	xids    []uint32
	tables  []*cdc.Table
	origins []string      // of the transactions
	gate    chan struct{} // while not nil: deliveries wait until it is closed
	starts  []cdc.Start
	passed  cdc.LSN
	before  cdc.LSN  // passed, when the last stream began
	needed  *cdc.LSN // nil: nothing
	// release lets go what hold holds. It may be called more than once.
	release func()
}

func (r *recorder) Deliver(tx *cdc.Transaction) {
	r.mu.Lock()
	gate := r.gate
	r.mu.Unlock()
	if gate != nil {
		<-gate
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sizes, r.xids = append(r.sizes, tx.Len()), append(r.xids, tx.XID)
	r.origins = append(r.origins, tx.Origin())
	for c := range tx.Changes() {
		r.lines = append(r.lines, describe(c))
		if !slices.Contains(r.tables, c.Table) {
			r.tables = append(r.tables, c.Table)
		}
	}
}

// Try takes what need not wait.
func (r *recorder) Try(d cdc.Delivery) bool {
	r.mu.Lock()
	held := r.gate != nil
	r.mu.Unlock()
	switch {
	case held:
		return false
	case d.Transaction != nil:
		r.Deliver(d.Transaction)
	case d.Passed != 0:
		r.Passed(d.Passed)
	default:
		return false
	}
	return true
}

func (r *recorder) Start(start cdc.Start) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.starts, r.before = append(r.starts, start), r.passed
}

func (r *recorder) Passed(position cdc.LSN) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.passed = position
}

func (r *recorder) Needed() cdc.LSN {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.needed == nil {
		return cdc.NeedsNothing
	}
	return *r.needed
}

// needs makes the sink need the log from a position on.
func (r *recorder) needs(from cdc.LSN) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.needed = &from
}

// position is how far the sink was told that the stream has come, without transactions.
func (r *recorder) position() cdc.LSN {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.passed
}

// beforeLastStart is how far the stream before the last one had come.
func (r *recorder) beforeLastStart() cdc.LSN {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.before
}

// pass waits until the stream has passed the position.
func (r *recorder) pass(t testing.TB, want cdc.LSN) {
	t.Helper()
	eventually(t, "the stream has passed "+want.String(), func() bool { return r.position() >= want })
}

func lsn(t testing.TB, text string) cdc.LSN {
	t.Helper()
	l, err := cdc.ParseLSN(text)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// started returns the beginnings of streams so far.
func (r *recorder) started() []cdc.Start {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.starts)
}

// epoch is that of the last stream.
func (r *recorder) epoch() string {
	starts := r.started()
	if len(starts) == 0 {
		return ""
	}
	return starts[len(starts)-1].Epoch
}

func (r *recorder) Reset(reason cdc.ResetReason) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, "reset "+string(reason))
}

// hold makes deliveries wait until release is called.
func (r *recorder) hold(t testing.TB) (release func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	gate := make(chan struct{})
	r.gate = gate
	release = sync.OnceFunc(func() {
		r.mu.Lock()
		r.gate = nil
		r.mu.Unlock()
		close(gate)
	})
	r.release = release
	t.Cleanup(release)
	return release
}

// describe writes a change like "update orders 1,bread -> 1,wine". NULL is NULL, and ? what the source did not give.
func describe(c cdc.Change) string {
	image := func(row cdc.Row) string {
		if row == nil {
			return "none"
		}
		var list []string
		for _, v := range row.Values() {
			switch {
			case v.State == cdc.Null:
				list = append(list, "NULL")
			case v.State == cdc.Absent:
				list = append(list, "?")
			case len(v.Text) > 100:
				list = append(list, fmt.Sprintf("%c*%d", v.Text[0], len(v.Text)))
			default:
				list = append(list, string(v.Text))
			}
		}
		return strings.Join(list, ",")
	}
	words := []string{c.Op.String(), c.Table.Name}
	switch c.Op {
	case cdc.Insert:
		words = append(words, image(c.After))
	case cdc.Update:
		words = append(words, image(c.Before), "->", image(c.After))
	case cdc.Delete:
		words = append(words, image(c.Before))
	}
	return strings.Join(words, " ")
}

func (r *recorder) recorded() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.lines)
}

// without leaves out the lines that begin with a prefix.
func without(lines []string, prefix string) []string {
	return slices.DeleteFunc(slices.Clone(lines), func(s string) bool { return strings.HasPrefix(s, prefix) })
}

// expect waits for as many lines as wanted and compares them.
func (r *recorder) expect(t testing.TB, want ...string) {
	t.Helper()
	r.await(t, func(lines []string) bool { return len(lines) >= len(want) })
	if got := r.recorded(); !slices.Equal(got, want) {
		t.Errorf("delivered\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

// await waits until what was recorded is as the test wants it.
func (r *recorder) await(t testing.TB, holds func(lines []string) bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds(r.recorded()) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain; delivered so far:\n  %s", strings.Join(r.recorded(), "\n  "))
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (r *recorder) awaitLine(t testing.TB, line string) {
	t.Helper()
	r.await(t, func(lines []string) bool { return slices.Contains(lines, line) })
}

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// query returns the first column of the first row, on a connection of its own: those of the pool know pg_catalog only.
func query[T any](t testing.TB, pool *pgxpool.Pool, sql string, args ...any) (value T) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), pool.Config().ConnString())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(t.Context())) }()
	err = conn.QueryRow(t.Context(), sql, args...).Scan(&value)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}
