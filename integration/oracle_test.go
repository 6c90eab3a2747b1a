package integration_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"

	"github.com/reactive-gw/reactive-gw/internal/cluster"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// The flags of the soak. They have to be package variables: they are read from the command line before a test begins.
var (
	soakTime         = flag.Duration("soak", 0, "how long TestSoak runs at least; 0 skips it")
	oracleSeed       = flag.Uint64("seed", 1, "what the oracle's writers, clients and faults are drawn from")
	soakClients      = flag.Int("clients", 40, "clients of the soak")
	soakViews        = flag.Int("views", 5, "subscriptions of each")
	soakBatches      = flag.Int("batches", 50, "batches in each restart mode at least")
	soakTransactions = flag.Int("transactions", 10, "transactions in a batch at least")
	soakMutations    = flag.Int("mutations", 10, "mutations in a transaction")
	soakFaults       = flag.Int("faults", 2, "faults in a batch")
	soakWriters      = flag.Int("writers", 4, "concurrent writers")
	preparingRounds  = flag.Int("preparing", 4, "how often the gateway is killed while it prepares tables")
)

// size says how much happens in a run.
type size struct {
	clients, views                           int
	batches, transactions, mutations, faults int
	writers                                  int
	time                                     time.Duration // that it goes on for at least
}

// TestEveryViewIsTrueWhateverFails lets writers, clients and faults loose, a little for each way of restarting the gateway.
func TestEveryViewIsTrueWhateverFails(t *testing.T) {
	t.Parallel()
	for _, restart := range restartModes {
		t.Run(restart, func(t *testing.T) {
			t.Parallel()
			letLoose(t, restart, size{clients: 6, views: 5, batches: 3, transactions: 10, mutations: 10, faults: 2, writers: 3})
		})
	}
}

// TestSoak is the same for as long as one likes: see make soak.
func TestSoak(t *testing.T) {
	if *soakTime == 0 {
		t.Skip("only with -soak=10m, or make soak")
	}
	for _, restart := range restartModes {
		t.Run(restart, func(t *testing.T) {
			letLoose(t, restart, size{
				clients: *soakClients, views: *soakViews, batches: *soakBatches, transactions: *soakTransactions, mutations: *soakMutations,
				faults: *soakFaults, writers: *soakWriters, time: *soakTime / time.Duration(len(restartModes)),
			})
		})
	}
}

// oracle is one run: a cluster, gateways, writers, clients and what breaks them, and a twin that knows what each client has to
// see after every commit.
type oracle struct {
	t       *testing.T
	restart string
	size    size
	random  *rand.Rand // of the schedule
	deck    []int      // of otherFaults

	postgres              *cluster.Cluster
	database              string // as the writers reach it
	toPostgres, toGateway *proxy
	active, standby       *gateway

	writers     *writers
	subscribers []*subscriber
	restless    atomic.Bool
	twin        *twin
	figures     figures
	history     []string // of faults
}

// patienceAfterFaults bounds the wait for clients to be right again.
const patienceAfterFaults = 60 * time.Second

func letLoose(t *testing.T, restart string, size size) {
	o := &oracle{t: t, restart: restart, size: size, random: rand.New(rand.NewPCG(*oracleSeed, 0))}
	o.figures = figures{mode: restart, subscriptions: size.clients * size.views, faults: map[string][]time.Duration{}, wrong: map[misfit]int{}}
	began := time.Now()
	defer func() {
		o.figures.took = time.Since(began)
		t.Log("\n" + o.summary())
		if t.Failed() {
			t.Logf("faults so far:\n%s\nto repeat it: %s", lines(o.history), o.command())
		}
	}()
	o.build()
	ctx, cancel := context.WithCancel(context.Background())
	var clients sync.WaitGroup
	for _, s := range o.subscribers {
		clients.Go(func() { s.run(ctx) })
	}
	defer func() { cancel(); clients.Wait() }()
	for batch := 0; batch < size.batches || time.Since(began) < size.time; batch++ {
		o.batch(batch)
		o.figures.batches++
		if *soakTime > 0 && o.figures.batches%10 == 0 { // for who watches
			t.Logf("%d batches of at least %d, %d transactions, %s so far", o.figures.batches, size.batches, o.writers.committed.Load(), time.Since(began).Round(time.Second))
		}
	}
}

func (o *oracle) command() string {
	if *soakTime > 0 {
		return fmt.Sprintf("make soak SEED=%d SOAK=%s", *oracleSeed, *soakTime)
	}
	return fmt.Sprintf("go test -race -run '^%s$' ./integration -seed %d", strings.ReplaceAll(o.t.Name(), "/", "$/^"), *oracleSeed)
}

// build makes everything that takes part.
func (o *oracle) build() {
	o.postgres = pgtest.Cluster(o.t, map[string]string{
		"wal_level": "logical", "max_prepared_transactions": "20", "deadlock_timeout": "50ms", "log_min_messages": "fatal",
		"fsync": "off", "max_connections": "100",
	})
	o.database = o.postgres.URL("postgres")
	pgtest.Exec(o.t, o.database, oracleSchema)
	o.toPostgres, o.toGateway = newProxy(o.t, hostOf(o.database)), newProxy(o.t, "")
	o.ask(func(ctx context.Context, conn *pgx.Conn) (err error) {
		o.twin, err = newTwin(ctx, conn)
		return err
	})
	o.launch()
	o.standBy()
	o.writers = &writers{database: o.database, mutations: o.size.mutations}
	for n := range o.size.clients {
		user := oracleUsers[n%len(oracleUsers)]
		random := rand.New(rand.NewPCG(*oracleSeed, uint64(1000+n)))
		all := oracleDefinitions(user)
		definitions := all[:1]
		for _, i := range random.Perm(len(all) - 1)[:o.size.views-1] {
			definitions = append(definitions[:len(definitions):len(definitions)], all[1+i])
		}
		s := newSubscriber(fmt.Sprintf("client %d", n), user, definitions)
		s.address, s.random, s.begun, s.restless = "ws://"+o.toGateway.address+"/ws", random, &o.writers.begun, &o.restless
		if n%2 == 1 {
			s.offers = []string{extendedProtocol, "mtbreactive"}
		}
		for _, d := range definitions {
			o.twin.watch(d)
		}
		o.subscribers = append(o.subscribers, s)
	}
}

// batch lets the writers write while faults strike, and then, when they pause, looks that everybody sees what there is.
func (o *oracle) batch(number int) {
	o.t.Helper()
	o.twin.forget()
	o.restless.Store(true)
	var over atomic.Bool
	quota := o.writers.committed.Load() + int64(o.size.transactions)
	var writing errgroup.Group
	for n := range o.size.writers {
		w := &writer{writers: o.writers, number: n, random: rand.New(rand.NewPCG(*oracleSeed, uint64(number)<<16|uint64(n)))}
		writing.Go(func() error {
			defer w.close()
			return w.run(func() bool { return over.Load() && o.writers.committed.Load() >= quota })
		})
	}
	faults := o.schedule(number)
	o.history = append(o.history, fmt.Sprintf("batch %d: %s", number, describe(faults)))
	func() {
		defer over.Store(true) // also where the test ends here
		for i, f := range faults {
			o.awaitTransactions(quota - int64(o.size.transactions) + int64((i+1)*o.size.transactions/(len(faults)+1)))
			f.strike(o)
			o.figures.faults[f.kind] = append(o.figures.faults[f.kind], o.recovery(f))
			o.standBy()
		}
	}()
	if err := writing.Wait(); err != nil {
		o.t.Fatal(err)
	}
	o.restless.Store(false)
	o.settle(number)
}

// recovery measures how long it takes until every client has heard of a transaction that is written now.
func (o *oracle) recovery(f fault) time.Duration {
	o.t.Helper()
	began := time.Now()
	transaction := o.probe()
	o.await("every client hears of what is written after: "+f.kind, func() error {
		for _, s := range o.subscribers {
			if err := s.failure(); err != nil {
				return err
			}
			if !s.knows(transaction) {
				o.balance()
				return fmt.Errorf("%w: %s has not heard of transaction %d", lost, s.name, transaction)
			}
		}
		return nil
	})
	return time.Since(began)
}

// probe writes a transaction that drops old entries of the journal.
func (o *oracle) probe() (transaction int64) {
	o.t.Helper()
	o.ask(func(ctx context.Context, conn *pgx.Conn) error {
		transaction = o.writers.begun.Add(1)
		_, err := conn.PgConn().Exec(ctx, fmt.Sprintf(`begin; set local oracle.transaction = %[1]d;
			delete from journal where transaction < %[1]d - 300; insert into journal values (%[1]d); commit`, transaction)).ReadAll()
		if err == nil {
			o.writers.committed.Add(1)
		}
		return err
	})
	return transaction
}

// settle waits until all clients show what the database has, and holds what they saw on the way against the twin.
func (o *oracle) settle(batch int) {
	o.t.Helper()
	o.ask(func(ctx context.Context, conn *pgx.Conn) error {
		return errors.Join(o.twin.catchUp(ctx, conn), o.twin.equalsDatabase(ctx, conn))
	})
	o.await(fmt.Sprintf("all views are what the database has after batch %d", batch), func() error {
		for _, s := range o.subscribers {
			if err := s.converged(o.twin); err != nil {
				o.balance()
				return err
			}
		}
		return nil
	})
	for _, s := range o.subscribers {
		boundaries, err := s.judge(o.twin)
		o.figures.boundaries += boundaries
		if err = errors.Join(err, s.alteredRight(o.twin)); err != nil {
			o.fail(err)
		}
	}
}

// await asks again until there is no error.
func (o *oracle) await(what string, check func() error) {
	o.t.Helper()
	deadline := time.Now().Add(patienceAfterFaults)
	for {
		err := check()
		if err == nil {
			return
		}
		for _, s := range o.subscribers {
			if failed := s.failure(); failed != nil {
				o.fail(failed)
			}
		}
		if time.Now().After(deadline) {
			o.fail(fmt.Errorf("waited %s in vain until %s: %w", patienceAfterFaults, what, err))
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (o *oracle) awaitTransactions(committed int64) {
	o.t.Helper()
	o.await(fmt.Sprintf("%d transactions have committed", committed), func() error {
		if got := o.writers.committed.Load(); got < committed {
			return fmt.Errorf("%d have", got)
		}
		return nil
	})
}

// fail counts what is wrong and ends the run.
func (o *oracle) fail(err error) {
	o.t.Helper()
	var kind misfit
	if errors.As(err, &kind) {
		o.figures.wrong[kind]++
	}
	o.t.Fatal(err)
}

// ask does something with a connection to the database that no proxy is in.
func (o *oracle) ask(do func(ctx context.Context, conn *pgx.Conn) error) {
	o.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patienceAfterFaults)
	defer cancel()
	conn, err := pgx.Connect(ctx, o.database)
	if err == nil {
		err = errors.Join(do(ctx, conn), conn.Close(ctx))
	}
	if err != nil {
		o.t.Fatal(err)
	}
}

func (o *oracle) summary() string {
	f := &o.figures
	if o.writers != nil {
		f.transactions, f.undone = o.writers.committed.Load(), o.writers.undone.Load()
		f.mutations, f.moves = o.writers.mutated.Load(), o.writers.moved.Load()
	}
	f.deliveries, f.connections, f.extended, f.resumed = 0, 0, 0, 0
	for _, s := range o.subscribers {
		s.mu.Lock()
		f.deliveries += s.deliveries
		f.connections += s.sessions
		f.extended += s.extended
		f.resumed += s.resumed
		s.mu.Unlock()
	}
	return f.String()
}

func lines(of []string) string {
	var text string
	for _, line := range of {
		text += "  " + line + "\n"
	}
	return text
}
