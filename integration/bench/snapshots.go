package main

import (
	"context"
	"fmt"
	"time"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

const (
	returning        = 5000 // clients
	returningScopes  = 100
	rowsOfAScope     = 50
	snapshotQueries  = 200 // goal
	missedOfAScope   = 100
	extendedProtocol = "Sec-WebSocket-Protocol: mtbreactive.v2"
)

// withSnapshots serves two tables that differ in their snapshots only.
const withSnapshots = `
queueBytes: 64MiB
writeTimeout: 60s
reactive:
  - {table: message, scopes: [conversation_id], snapshot: {limit: 100}}
  - {table: note, scopes: [conversation_id]}
`

// comeback is a gateway to which all clients come back at once.
type comeback struct {
	db      *database
	gateway *gateway
	clients int
}

func (b *bench) newComeback(ctx context.Context, statements ...string) (*comeback, error) {
	fill := fmt.Sprintf("insert into message (conversation_id, author_id, body) select n %% %d, 1, 'Are you there?' from generate_series(1, %d) n",
		returningScopes, returningScopes*rowsOfAScope)
	statements = append([]string{schema, "create extension pg_stat_statements", "create index on message (conversation_id)", fill,
		"create table note (like message including all)", "analyze"}, statements...)
	db, err := newDatabase(ctx, statements...)
	if err != nil {
		return nil, err
	}
	g, err := b.startGateway(ctx, db, "comeback", withSnapshots)
	if err != nil {
		db.close()
		return nil, err
	}
	return &comeback{db, g, b.scaled(returning)}, nil
}

func (c *comeback) close(ctx context.Context) {
	c.gateway.kill(ctx, c.db)
	c.db.close()
}

// connect connects all clients at once and waits for as many messages of the kind for each. Behind it nobody is connected.
func (c *comeback) connect(ctx context.Context, d load.Dialing, each int, of load.Kind) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	swarm, err := load.NewSwarm()
	if err != nil {
		return 0, err
	}
	d.Server = c.gateway.clients
	watch := swarm.Watch(c.clients*each, of)
	began := time.Now()
	err = swarm.Dial(ctx, c.clients, d)
	if err == nil {
		err = watch.Wait(ctx, swarm)
	}
	if refused := swarm.Count(load.Refusal, load.Reset); err == nil && refused > 0 {
		err = fmt.Errorf("%d errors or resets", refused)
	}
	swarm.Close()
	if err != nil {
		return 0, fmt.Errorf("connect %d clients: %w; %s", c.clients, err, c.gateway.log.lastLines())
	}
	return watch.Last.Sub(began), c.awaitNobody(ctx)
}

func (c *comeback) awaitNobody(ctx context.Context) error {
	for {
		n, err := c.gateway.metric(ctx, "reactive_connections")
		if err != nil || n == 0 {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// asked is how many queries the database was asked for messages since the last call.
func (c *comeback) asked(ctx context.Context) (int, error) {
	const sql = `select coalesce(sum(calls), 0)::int from pg_stat_statements
		where query ~* '^\s*(select|with|declare|copy)' and query ~* 'from\s+(only\s+)?("?public"?\.)?"?message"?\M'`
	n, err := value[int](ctx, c.db, sql)
	if err != nil {
		return 0, err
	}
	if _, err := c.db.Exec(ctx, "select pg_stat_statements_reset()"); err != nil {
		return 0, fmt.Errorf("reset what was counted: %w", err)
	}
	return n, nil
}

func toScopes(channel string) load.Dialing {
	return load.Dialing{Hello: func(conn int) []string { return []string{subscribeToIn(channel, conn%returningScopes)} }}
}

func measureSnapshots(ctx context.Context, b *bench) ([]result, error) {
	c, err := b.newComeback(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close(ctx)
	var with, without []time.Duration
	var queries []float64
	for run := range b.runs + 1 { // the first time they only come
		plain, err := c.connect(ctx, toScopes("note"), 1, load.Subscribed)
		if err != nil {
			return nil, err
		}
		if _, err := c.asked(ctx); err != nil {
			return nil, err
		}
		full, err := c.connect(ctx, toScopes("message"), 1, load.Snapshot)
		if err != nil {
			return nil, err
		}
		asked, err := c.asked(ctx)
		if err != nil {
			return nil, err
		}
		if run > 0 {
			b.note("coming back: %s, with snapshots %s and %d queries", plain.Round(time.Millisecond), full.Round(time.Millisecond), asked)
			with, without, queries = append(with, full), append(without, plain), append(queries, float64(asked))
		}
	}
	ratio := median(with).Seconds() / median(without).Seconds()
	what := thousands(float64(c.clients)) + " clients back on 100 scopes"
	return []result{
		{number: "10", what: what + ": snapshot queries", goal: fmt.Sprintf("<= %d", snapshotQueries), figure: fmt.Sprintf("%.0f", median(queries)), passed: atMost(median(queries), snapshotQueries)},
		{number: "10", what: what + ": all live", goal: "<= 2 x without snapshots", figure: fmt.Sprintf("%.2f s", median(with).Seconds()),
			ratio: times(ratio), passed: atMost(ratio, 2), note: fmt.Sprintf("without %.2f s; snapshots of %d rows", median(without).Seconds(), rowsOfAScope)},
	}, nil
}
