package integration_test

import (
	"context"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// A fault breaks something while the writers write. It returns when what is broken is whole again as far as an operator, or
// the network, would see to it: what the gateway makes of it is measured from there.
type fault struct {
	kind   string
	strike func(*oracle)
}

// How the gateway is restarted. Each is a run of its own.
const (
	restartNone     = "none"
	restartGraceful = "graceful"
	restartKill     = "kill"
	restartTakeover = "takeover"
)

var restartModes = []string{restartNone, restartGraceful, restartKill, restartTakeover}

var restarts = map[string]fault{
	restartGraceful: {"gateway: SIGTERM", func(o *oracle) {
		if code := o.active.stop(syscall.SIGTERM); code != 0 {
			o.t.Errorf("exit code %d on SIGTERM", code)
		}
		o.launch()
	}},
	restartKill: {"gateway: kill -9", func(o *oracle) {
		o.active.stop(syscall.SIGKILL)
		o.launch()
	}},
	restartTakeover: {"gateway: kill -9, the standby takes over", func(o *oracle) {
		o.active.stop(syscall.SIGKILL)
		o.active, o.standby = o.standby, nil
		o.toGateway.aim(hostOf(o.active.clients))
	}},
}

// otherFaults may come in every run.
var otherFaults = []fault{
	{"PostgreSQL: fast shutdown", func(o *oracle) {
		ctx, cancel := context.WithTimeout(o.t.Context(), 15*time.Second)
		defer cancel()
		if err := o.postgres.Stop(ctx); err != nil {
			o.t.Fatalf("a fast shutdown: %v", err)
		}
		o.startPostgres()
	}},
	{"PostgreSQL: immediate shutdown", func(o *oracle) {
		if err := o.postgres.Immediate(o.t.Context()); err != nil {
			o.t.Fatal(err)
		}
		o.startPostgres()
	}},
	{"PostgreSQL: walsender terminated", func(o *oracle) {
		pgtest.Exec(o.t, o.database, `select pg_terminate_backend(active_pid, 5000) from pg_replication_slots where slot_name <> '`+twinSlot+`' and active`)
	}},
	{"connections to PostgreSQL cut", func(o *oracle) { o.toPostgres.cut() }},
	{"connections to PostgreSQL slow", func(o *oracle) { o.paced(o.toPostgres, pace{delay: 2 * time.Millisecond, piece: 400}) }},
	{"connections to PostgreSQL stalled", func(o *oracle) { o.paced(o.toPostgres, pace{stalled: true}) }},
	{"connections of clients cut", func(o *oracle) { o.toGateway.cut() }},
	{"connections of clients slow", func(o *oracle) { o.paced(o.toGateway, pace{delay: 2 * time.Millisecond, piece: 400}) }},
	{"connections of clients stalled", func(o *oracle) { o.paced(o.toGateway, pace{stalled: true}) }},
}

// paced changes a proxy's pace until some more transactions are written.
func (o *oracle) paced(p *proxy, to pace) {
	p.set(to)
	o.awaitTransactions(o.writers.committed.Load() + int64(5+o.random.IntN(20)))
	p.set(pace{})
}

func (o *oracle) startPostgres() {
	if err := o.postgres.Start(o.t.Context()); err != nil {
		o.t.Fatal(err)
	}
}

// launch starts a gateway that is to serve, and sends the clients there.
func (o *oracle) launch() {
	o.active = o.start()
	o.active.awaitServing()
	o.toGateway.aim(hostOf(o.active.clients))
}

// standBy starts a gateway that waits for its turn, where the run has one.
func (o *oracle) standBy() {
	if o.restart != restartTakeover || o.standby != nil {
		return
	}
	o.standby = o.start()
	o.standby.awaitServing()
	o.standby.awaitReadiness(http.StatusServiceUnavailable, "standby")
}

func (o *oracle) start() *gateway {
	database := strings.Replace(o.database, hostOf(o.database), o.toPostgres.address, 1)
	return start(o.t, database, oracleSettings, "--drain-timeout", "1s")
}

// balance sends the clients to the gateway that serves, as a load balancer does that asks for readiness. The one that stands
// by may have had its turn.
func (o *oracle) balance() {
	if o.standby == nil {
		return
	}
	if status, _ := o.standby.ask("/readyz"); status == http.StatusOK {
		o.active, o.standby = o.standby, o.active
		o.toGateway.aim(hostOf(o.active.clients))
	}
}

// hostOf is the host and port of a URL.
func hostOf(url string) string {
	_, rest, _ := strings.Cut(url, "://")
	if _, after, ok := strings.Cut(rest, "@"); ok {
		rest = after
	}
	host, _, _ := strings.Cut(rest, "/")
	return host
}

// schedule draws the faults of a batch: a restart of the gateway in every third one, and others.
func (o *oracle) schedule(batch int) []fault {
	var faults []fault
	for n := range o.size.faults {
		if restart, ok := restarts[o.restart]; ok && n == 0 && batch%3 == 0 {
			faults = append(faults, restart)
			continue
		}
		faults = append(faults, otherFaults[o.deal()])
	}
	return faults
}

// deal gives the next of the other faults, in an order that is shuffled anew for every round.
func (o *oracle) deal() int {
	if len(o.deck) == 0 {
		o.deck = o.random.Perm(len(otherFaults))
	}
	next := o.deck[0]
	o.deck = o.deck[1:]
	return next
}

func describe(faults []fault) string {
	var kinds []string
	for _, f := range faults {
		kinds = append(kinds, f.kind)
	}
	return strings.Join(kinds, "; ")
}
