package integration_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// Tables are prepared while applications write to them, transactions stay open across that, a dump reads one, and the gateway
// is killed again and again. Then each view is what SELECT gives, and nobody was told of a row twice or not at all.
func TestP70EveryViewIsTrueWhileTablesArePrepared(t *testing.T) {
	t.Parallel()
	pg := pgtest.Cluster(t, map[string]string{
		"wal_level": "logical", "max_prepared_transactions": "20", "logical_decoding_work_mem": "64kB", "fsync": "off",
		"log_min_messages": "fatal",
	})
	database := pg.URL("postgres")
	p := &preparing{t: t, database: database, toGateway: newProxy(t, "")}
	for _, table := range preparedTables {
		pgtest.Exec(t, database, `create table `+table+` (id bigint primary key, part int not null default 1, body text not null)`)
		if !strings.HasSuffix(table, "altered") {
			pgtest.Exec(t, database, `alter table `+table+` replica identity full`)
		}
	}
	// An earlier run made the slot, so that it is not the slot that waits for transactions.
	pgtest.Exec(t, database, `create table first (id int primary key)`)
	serve(t, database, "reactive:\n  - {table: first, scopes: [id]}\n").stop(interrupt)
	awaitFreeSlot(t, database)

	ctx, cancel := context.WithCancel(context.Background())
	var others sync.WaitGroup
	end := sync.OnceFunc(func() { cancel(); others.Wait() })
	defer end()
	random := rand.New(rand.NewPCG(*oracleSeed, 70))
	var writing atomic.Bool
	writing.Store(true)
	var writers sync.WaitGroup
	failures := make(chan error, 16)
	for n := range 3 {
		writers.Go(func() {
			if err := p.write(int64(n), rand.New(rand.NewPCG(*oracleSeed, uint64(n))), &writing); err != nil {
				failures <- err
			}
		})
	}
	defer writers.Wait()
	defer writing.Store(false)

	var subscribers []*subscriber
	var tails []*tail
	var begun atomic.Int64
	var restless atomic.Bool
	for n := range 4 {
		var definitions []definition
		for _, table := range preparedTables[:3] {
			definitions = append(definitions, definition{table, table, "part", "1", ""})
		}
		s := newSubscriber(fmt.Sprintf("client %d", n), "", definitions)
		s.address, s.random, s.begun, s.restless = "ws://"+p.toGateway.address+"/ws", rand.New(rand.NewPCG(*oracleSeed, uint64(100+n))), &begun, &restless
		w := &tail{address: s.address}
		if n%2 == 1 {
			s.offers, w.offers = []string{extendedProtocol}, []string{extendedProtocol}
		}
		subscribers, tails = append(subscribers, s), append(tails, w)
		others.Go(func() { s.run(ctx) })
		others.Go(func() { w.run(ctx) })
	}

	dump := sessionOf(t, database, "begin isolation level repeatable read", "lock table shown_altered in access share mode")
	gateways := []*gateway{p.start(), p.start()}
	p.balance(gateways, nil)
	for round := range *preparingRounds {
		p.balance(gateways, func(which int) {
			time.Sleep(time.Duration(random.IntN(1200)) * time.Millisecond) // wherever in its work that is
			gateways[which].stop(syscall.SIGKILL)
			if round%2 == 1 { // both, and what is written until one is back the stream does not have
				gateways[1-which].stop(syscall.SIGKILL)
				for _, table := range preparedTables {
					conn := sessionOf(t, database)
					_, _ = conn.Exec(t.Context(), "alter publication mtbreactive drop table only "+table) // which may be missing
				}
				for i, s := range subscribers { // a cursor from before is no good, and nobody could know
					s.forget()
					tails[i].forget()
				}
				if round == *preparingRounds-1 {
					inSession(t, dump, "rollback")
				}
				gateways[1-which] = p.start()
			}
			gateways[which] = p.start()
		})
	}
	p.balance(gateways, nil)
	serving := p.serving
	eventually(t, "all tables are served", func() bool {
		_, status := serving.ask("/metrics")
		return strings.Contains(status, `reactive_tables_unserved{reason="locked"} 0`) && strings.Contains(status, `reactive_tables_unserved{reason="draining"} 0`)
	})
	eventually(t, "all are subscribed", func() bool {
		for _, s := range subscribers {
			if s.failure() != nil {
				return true
			}
			s.mu.Lock()
			up := s.dialect != nil && !slices.ContainsFunc(s.views, func(v *held) bool { return v.state != active || v.begun == notYet })
			s.mu.Unlock()
			if !up {
				return false
			}
		}
		return !slices.ContainsFunc(tails, func(w *tail) bool { return !w.up() })
	})
	time.Sleep(300 * time.Millisecond) // a few transactions for all
	writing.Store(false)
	writers.Wait()
	close(failures)
	for err := range failures {
		t.Error(err)
	}
	deadline := time.Now().Add(20 * time.Second)
	for _, s := range subscribers {
		for !s.shows(t, database) && time.Now().Before(deadline) && s.failure() == nil {
			time.Sleep(20 * time.Millisecond)
		}
		if err := s.failure(); err != nil {
			t.Error(err)
			continue
		}
		s.mu.Lock()
		for _, v := range s.views {
			v.equals(t, database, "select id, part, body from "+v.table)
		}
		t.Logf("%s: %d connections, %d views resumed, %d events", s.name, s.sessions, s.resumed, s.deliveries)
		s.mu.Unlock()
	}
	for n, w := range tails {
		for w.missing(p) != "" && time.Now().Before(deadline) {
			time.Sleep(20 * time.Millisecond)
		}
		if got := w.missing(p); got != "" {
			t.Errorf("tail %d: %s", n, got)
		}
	}
	t.Logf("%d rows, of which the tails have %d at least", len(p.rows), len(tails[0].seen))
	end()
}

// preparedTables are those with snapshots, and one without. All but that which is to be altered can enter the publication while
// others write.
var preparedTables = []string{"shown", "shown_altered", "shown_too", "told"}

const preparedSettings = `
reactive:
  - {table: shown, scopes: [part], snapshot: {limit: 1000000}}
  - {table: shown_altered, scopes: [part], snapshot: {limit: 1000000}}
  - {table: shown_too, scopes: [part], snapshot: {limit: 1000000}}
  - {table: told, scopes: [part]}
`

type preparing struct {
	t         *testing.T
	database  string
	toGateway *proxy
	serving   *gateway

	mu   sync.Mutex
	rows map[int64]time.Time // rows of told, and when their commit was asked for
}

func (p *preparing) start() *gateway {
	g := start(p.t, p.database, preparedSettings, "--drain-timeout", "1s")
	g.awaitServing()
	return g
}

// balance sends clients to the one that is ready.
func (p *preparing) balance(gateways []*gateway, then func(which int)) {
	p.t.Helper()
	which := -1
	eventually(p.t, "a gateway is ready", func() bool {
		which = slices.IndexFunc(gateways, func(g *gateway) bool { status, _ := g.ask("/readyz"); return status == http.StatusOK })
		return which >= 0
	})
	if p.serving != gateways[which] {
		p.serving = gateways[which]
		p.toGateway.aim(hostOf(p.serving.clients))
	}
	if then != nil {
		then(which)
	}
}

// write is one application: its transactions are short, long, large, prepared, and have savepoints.
func (p *preparing) write(number int64, random *rand.Rand, on *atomic.Bool) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, p.database)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	next := number
	for round := 0; on.Load(); round++ {
		if round > 0 {
			time.Sleep(time.Duration(random.IntN(20)) * time.Millisecond)
		}
		var told []int64
		statements := []string{"begin"}
		pause := "select pg_sleep(" + fmt.Sprint(float64(random.IntN(300))/1000) + ")"
		many := 1 + random.IntN(3)
		for range many {
			table := preparedTables[random.IntN(len(preparedTables))]
			if altered := strings.HasSuffix(table, "altered"); altered && many > 1 {
				continue // nothing alters a table while others write to it all the time
			}
			id, rows := next, int64(1)
			if random.IntN(6) == 0 {
				rows = 200 // more than logical_decoding_work_mem
			}
			undone := random.IntN(4) == 0
			if undone || random.IntN(3) == 0 {
				statements = append(statements, "savepoint s")
			}
			statements = append(statements, fmt.Sprintf("insert into %s select %d + 3 * n, 1, repeat('%d ', %d) from generate_series(0, %d) n", table, id, round, 20+random.IntN(300), rows-1))
			next += 3 * rows
			if undone {
				statements = append(statements, "rollback to s")
			} else if table == "told" {
				for n := range rows {
					told = append(told, id+3*n)
				}
			}
			if table != "told" {
				one := random.Int64N(next/3+1)*3 + number
				statements = append(statements, fmt.Sprintf("update %s set body = body || '.' where id = %d", table, one))
				if random.IntN(2) == 0 {
					statements = append(statements, fmt.Sprintf("delete from %s where id = %d", table, random.Int64N(next/3+1)*3+number))
				}
			}
			if many > 1 && random.IntN(2) == 0 {
				statements = append(statements, pause)
			}
		}
		if many > 1 && random.IntN(4) == 0 {
			name := fmt.Sprintf("p%d", number)
			statements = append(statements, "prepare transaction '"+name+"'", pause, "commit prepared '"+name+"'")
		} else {
			statements = append(statements, "commit")
		}
		for i, sql := range statements {
			if i == len(statements)-1 {
				p.mu.Lock()
				if p.rows == nil {
					p.rows = map[int64]time.Time{}
				}
				for _, id := range told {
					p.rows[id] = time.Now()
				}
				p.mu.Unlock()
			}
			if _, err := conn.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
	}
	return nil
}

// forget drops the cursors.
func (s *subscriber) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.views {
		v.cursor = ""
	}
}

func (w *tail) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cursor = ""
}

// shows tells whether the views have the rows that there are.
func (s *subscriber) shows(t *testing.T, database string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.views {
		if pgtest.Query[int](t, database, "select count(*) from "+v.table) != len(v.rows) {
			return false
		}
	}
	return true
}

// tail is a client of the channel without snapshots. It counts how often it was told of an insert since its view began.
type tail struct {
	address string
	offers  []string

	mu     sync.Mutex
	on     bool
	since  time.Time // when the view began
	cursor string
	seen   map[int64]int
	twice  string
}

func (w *tail) up() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.on
}

func (w *tail) missing(p *preparing) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.twice != "" {
		return w.twice
	}
	for id, committed := range p.rows {
		if committed.After(w.since) && w.seen[id] == 0 {
			return fmt.Sprintf("was not told of row %d, committed at %s, though it was subscribed since %s", id, committed, w.since)
		}
	}
	return ""
}

func (w *tail) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.connect(ctx)
		w.mu.Lock()
		w.on = false
		w.mu.Unlock()
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

func (w *tail) connect(ctx context.Context) {
	conn, _, err := websocket.Dial(ctx, w.address, &websocket.DialOptions{Subprotocols: w.offers}) //nolint:bodyclose // the connection is the body
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(64 << 20)
	subscribe := func() error {
		w.mu.Lock()
		defer w.mu.Unlock()
		since := ""
		if w.cursor != "" {
			since = fmt.Sprintf(`,"since":%q`, w.cursor)
		}
		return conn.Write(ctx, websocket.MessageText, fmt.Appendf(nil, `{"type":"subscribe","channel":"told","scope":{"col":"part","value":1}%s}`, since))
	}
	for err = subscribe(); err == nil; {
		var text []byte
		if _, text, err = conn.Read(ctx); err != nil {
			return
		}
		var f struct {
			extendedFrame
			Event  *event
			Events []event
		}
		if err = json.Unmarshal(text, &f); err != nil {
			w.fail(err.Error())
			return
		}
		err = w.take(&f.extendedFrame, f.Event, f.Events)
		if errors.As(err, new(unavailable)) {
			time.Sleep(30 * time.Millisecond)
			err = subscribe()
		}
	}
}

func (w *tail) fail(why string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.twice = why
}

func (w *tail) take(f *extendedFrame, one *event, events []event) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if one != nil {
		events = append(events, *one)
	}
	begin := func() { w.since, w.seen, w.on = time.Now(), map[int64]int{}, true }
	switch f.Type {
	case "error":
		if f.Code == "unavailable" {
			w.on = false
			return unavailable{}
		}
		w.twice = "refused: " + f.Code
	case "subscribed":
		w.on = true
		if !f.Resumed {
			begin()
		}
	case "reset":
		begin()
	}
	for _, c := range f.Changes {
		for _, e := range c.Events {
			events = append(events, e.event)
		}
	}
	for _, e := range events {
		var id int64
		if err := json.Unmarshal(e.PrimaryKey["id"], &id); err != nil || e.Type != "afterInsert" {
			w.twice = "an odd event " + e.Type
			continue
		}
		if w.seen[id]++; w.seen[id] > 1 {
			w.twice = fmt.Sprintf("was told of row %d twice", id)
		}
	}
	if f.Cursor != "" && f.Type != "welcome" && w.on {
		w.cursor = f.Cursor
	}
	return nil
}
