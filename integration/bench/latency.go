package main

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

const (
	latencyRate      = 200 // commits a second
	latencyOnlookers = 1000
	// fewestPhases of each kind are measured, whatever the number of runs.
	fewestPhases = 5
)

// latencies are those of one phase.
type latencies struct{ median, p99 time.Duration }

// measureLatency inserts rows and sends notifications in turn, at the same pace. Both are timed from right before the
// statement is sent until a goroutine of this process has read what came of it.
func measureLatency(ctx context.Context, b *bench) ([]result, error) {
	stage, err := b.newStage(ctx, "latency", messagesByConversation, []string{schema})
	if err != nil {
		return nil, err
	}
	defer stage.close(ctx)
	db, g, swarm := stage.db, stage.gateway, stage.swarm
	if err := (&crowd{connections: latencyOnlookers, scopes: latencyOnlookers}).subscribe(ctx, g, swarm, newOrderCheck(1)); err != nil {
		return nil, err
	}
	reader, err := load.DialReader(ctx, g.clients, subscribeTo(latencyOnlookers))
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	listener, err := pgx.Connect(ctx, db.url)
	if err != nil {
		return nil, fmt.Errorf("connect to listen: %w", err)
	}
	defer func() { _ = listener.Close(context.WithoutCancel(ctx)) }()
	if _, err := listener.Exec(ctx, "listen bench"); err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	insert := func(ctx context.Context) error {
		_, err := db.Exec(ctx, "insert into message (conversation_id, author_id, body) values ($1, 1, 'Are you there?')", latencyOnlookers)
		return err
	}
	notify := func(ctx context.Context) error {
		_, err := db.Exec(ctx, "select pg_notify('bench', 'Are you there?')")
		return err
	}
	hear := func(ctx context.Context) error {
		_, err := listener.WaitForNotification(ctx)
		return err
	}
	var changes, notices []latencies
	events := b.scaled(2 * latencyRate)
	for range max(b.runs, fewestPhases) {
		change, err := phase(ctx, events, insert, reader.Next)
		if err != nil {
			return nil, fmt.Errorf("measure changes: %w", err)
		}
		notice, err := phase(ctx, events, notify, hear)
		if err != nil {
			return nil, fmt.Errorf("measure notifications: %w", err)
		}
		b.note("latency: change %s, %s; notification %s, %s", change.median, change.p99, notice.median, notice.p99)
		changes, notices = append(changes, change), append(notices, notice)
	}
	if n := swarm.Count(load.Change); n != 0 {
		return nil, fmt.Errorf("the onlookers were sent %d changes that are not theirs", n)
	}
	return latencyResults(changes, notices), nil
}

// phase sends at the pace and receives in another goroutine: what is sent comes back in order.
func phase(ctx context.Context, events int, send, receive func(context.Context) error) (latencies, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	sent, received := make([]time.Time, events), make([]time.Time, events)
	var receiving sync.WaitGroup
	var failed error
	receiving.Go(func() {
		for i := range received {
			if failed = receive(ctx); failed != nil {
				cancel()
				return
			}
			received[i] = time.Now()
		}
	})
	n := 0
	err := everyTick(ctx, time.Second/latencyRate, events, func() error {
		sent[n] = time.Now()
		n++
		return send(ctx)
	})
	if err != nil {
		cancel()
	}
	receiving.Wait()
	if failed != nil {
		return latencies{}, failed
	}
	if err != nil {
		return latencies{}, err
	}
	took := make([]time.Duration, events)
	for i := range took {
		took[i] = received[i].Sub(sent[i])
	}
	return latencies{quantile(took, 0.5), quantile(took, 0.99)}, nil
}

func latencyResults(changes, notices []latencies) []result {
	middle := func(all []latencies, of func(latencies) time.Duration) time.Duration {
		var values []time.Duration
		for _, l := range all {
			values = append(values, of(l))
		}
		return median(values)
	}
	line := func(name string, limit float64, of func(latencies) time.Duration) result {
		change, notice := middle(changes, of), middle(notices, of)
		ratio := change.Seconds() / notice.Seconds()
		return result{
			number: "3", what: "latency, " + name, goal: fmt.Sprintf("<= %.1f x LISTEN/NOTIFY", limit), figure: fmt.Sprintf("%.3f ms", 1000*change.Seconds()),
			ratio: times(ratio), passed: atMost(ratio, limit), note: fmt.Sprintf("notification %.3f ms", 1000*notice.Seconds()),
		}
	}
	return []result{
		line("p50", 1.3, func(l latencies) time.Duration { return l.median }),
		line("p99", 1.5, func(l latencies) time.Duration { return l.p99 }),
	}
}
