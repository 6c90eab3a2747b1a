package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"time"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

const (
	filterReaders = 1000
	filterRows    = 2000 // of a run
	filterSecret  = "what the benchmark signs its tokens with"
)

// filtered serves three tables that differ in their filter only. All rows pass, or there would be less to deliver.
const filtered = `
queueBytes: 64MiB
writeTimeout: 60s
authenticate:
  jwt: {secretEnv: BENCH_SECRET, algorithms: [HS256]}
reactive:
  - {table: message, scopes: [conversation_id]}
  - {table: message_alike, scopes: [conversation_id], filterRow: "row.author_id >= 0"}
  - {table: message_each, scopes: [conversation_id], filterRow: "row.author_id != ctx.blocked"}
`

// measureFilters sends rows of the three tables in turn to the same clients of one gateway.
func measureFilters(ctx context.Context, b *bench) ([]result, error) {
	statements := []string{schema, writeTexts, "create table message_alike (like message including all)", "create table message_each (like message including all)"}
	stage, err := b.newStage(ctx, "filters", filtered, statements, "BENCH_SECRET="+filterSecret)
	if err != nil {
		return nil, err
	}
	defer stage.close(ctx)
	db, g, swarm := stage.db, stage.gateway, stage.swarm
	tables := []string{"message", "message_alike", "message_each"}
	if err := subscribeToTables(ctx, g, swarm, tables); err != nil {
		return nil, err
	}
	rows := b.scaled(filterRows)
	costs := map[string][]float64{}
	for run := range b.runs + 1 {
		for _, table := range tables {
			time.Sleep(200 * time.Millisecond)
			d, err := deliveredBy(ctx, g.pid(), swarm, []load.Kind{load.Change}, rows*filterReaders, db.callWriteTexts(table, rows))
			if err != nil {
				return nil, fmt.Errorf("deliver rows of %s: %w; %s", table, err, g.log.lastLines())
			}
			if run > 0 { // the first one warms up
				costs[table] = append(costs[table], perUnit(d.cpu, d.deliveries))
			}
		}
		if run > 0 {
			b.note("filterRow: none %.2f, alike %.2f, each %.2f us/delivery", costs["message"][run-1], costs["message_alike"][run-1], costs["message_each"][run-1])
		}
	}
	if err := evenly(swarm, load.Change); err != nil {
		return nil, err
	}
	none, alike, each := median(costs["message"]), median(costs["message_alike"]), median(costs["message_each"])
	more := max(each-none, 0.001) // less than nothing is noise
	return []result{
		{number: "9", what: "filterRow without ctx, 1,000 clients", goal: "<= 1.2 x CPU without filter", figure: fmt.Sprintf("%.2f us/delivery", alike),
			ratio: times(alike / none), passed: atMost(alike/none, 1.2), note: fmt.Sprintf("without filter %.2f us", none)},
		{number: "9", what: "filterRow with ctx, 1,000 clients", goal: "<= 0.5 us/client more", figure: fmt.Sprintf("%.2f us more", more),
			passed: atMost(more, 0.5), note: fmt.Sprintf("in all %.2f us/delivery", each)},
	}, nil
}

func subscribeToTables(ctx context.Context, g *gateway, swarm *load.Swarm, tables []string) error {
	watch := swarm.Watch(filterReaders*len(tables), load.Subscribed)
	err := swarm.Dial(ctx, filterReaders, load.Dialing{
		Server: g.clients,
		Header: func(conn int) string { return "Authorization: Bearer " + token(conn) },
		Hello: func(int) (hello []string) {
			for _, table := range tables {
				hello = append(hello, subscribeToIn(table, 0))
			}
			return hello
		},
	})
	if err == nil {
		err = watch.Wait(ctx, swarm)
	}
	if err != nil {
		return fmt.Errorf("subscribe with tokens: %w", err)
	}
	return nil
}

// token is a client's own: no two have the same claims.
func token(client int) string {
	encode := base64.RawURLEncoding.EncodeToString
	signed := encode([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." +
		encode(fmt.Appendf(nil, `{"sub":"user-%d","blocked":%d,"exp":%d}`, client, 1_000_000+client, time.Now().Add(12*time.Hour).Unix()))
	mac := hmac.New(sha256.New, []byte(filterSecret))
	mac.Write([]byte(signed))
	return signed + "." + encode(mac.Sum(nil))
}
