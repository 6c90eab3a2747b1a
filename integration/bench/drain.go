package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// backlog is a stretch of log that is read again and again.
type backlog struct {
	number, what string
	rows         int
	before       []string // statements whose log nobody reads
	write        string   // what writes the log
	speed        float64  // goal: rows in a second, in those of pg_recvlogical
	micros       float64  // goal: processor time for a row
}

// writers are procedures that commit as they go, much faster than a client could.
const writers = `
create procedure write_messages(messages int, per_transaction int) language plpgsql as $$
begin
	for i in 1 .. messages / per_transaction loop
		if per_transaction = 1 then
			insert into message (conversation_id, author_id, body) values (i % 5000, i % 300, 'Shall we meet at noon, and where? ' || i);
		else
			insert into message (conversation_id, author_id, body)
			select n % 5000, n % 300, 'Shall we meet at noon, and where? ' || n from generate_series(1, per_transaction) n;
		end if;
		commit;
	end loop;
end $$;
create procedure edit_messages(messages int, per_transaction int) language plpgsql as $$
begin
	for i in 0 .. messages / per_transaction - 1 loop
		update message set body = body || '!' where id > i * per_transaction and id <= (i + 1) * per_transaction;
		commit;
	end loop;
end $$`

func drainSingleRows(ctx context.Context, b *bench) ([]result, error) {
	rows := b.scaled(1_000_000)
	return b.drain(ctx, backlog{
		number: "1", what: "drain, 1 row a transaction", rows: rows, write: fmt.Sprintf("call write_messages(%d, 1)", rows), speed: 1.5, micros: 2.5,
	})
}

func drainLargerTransactions(ctx context.Context, b *bench) ([]result, error) {
	rows := b.scaled(1_000_000)
	results, err := b.drain(ctx, backlog{
		number: "2", what: "drain, 1,000 rows a transaction", rows: rows,
		write: fmt.Sprintf("call write_messages(%d, 1000)", rows), speed: 1.2, micros: 1.5,
	})
	if err != nil {
		return results, err
	}
	rows = b.scaled(500_000)
	updates, err := b.drain(ctx, backlog{
		number: "2", what: "drain, 100 updates of FULL rows a transaction", rows: rows,
		before: []string{fmt.Sprintf("call write_messages(%d, 1000)", rows)},
		write:  fmt.Sprintf("call edit_messages(%d, 100)", rows), speed: 1.2, micros: 1.5,
	})
	return append(results, updates...), err
}

// drain lets gateways and pg_recvlogical read one backlog in turn, each from a slot of its own.
func (b *bench) drain(ctx context.Context, l backlog) ([]result, error) {
	db, err := newDatabase(ctx, append([]string{schema, writers}, l.before...)...)
	if err != nil {
		return nil, err
	}
	defer db.close()
	var drains []*slotDrain
	defer func() {
		for _, d := range drains {
			d.close(ctx, db)
		}
	}()
	for i := range b.runs {
		d, err := b.prepareDrain(ctx, db, "gateway_"+strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		drains = append(drains, d)
		_, err = db.Exec(ctx, "select pg_create_logical_replication_slot($1, 'pgoutput')", "peer_"+strconv.Itoa(i))
		if err != nil {
			return nil, fmt.Errorf("make a slot for pg_recvlogical: %w", err)
		}
	}
	end, err := writeBacklog(ctx, db, l.write)
	if err != nil {
		return nil, err
	}
	var own, peers []spent
	for i, d := range drains {
		gateway, err := d.run(ctx)
		if err != nil {
			return nil, err
		}
		d.close(ctx, db)
		peer, err := b.receiveLogical(ctx, db, "peer_"+strconv.Itoa(i), end)
		if err != nil {
			return nil, err
		}
		b.note("%s: gateway %s, pg_recvlogical %s", l.what, gateway, peer)
		own, peers = append(own, gateway), append(peers, peer)
	}
	return l.results(own, peers), nil
}

func (l *backlog) results(own, peers []spent) []result {
	elapsed, cpu := medians(own)
	peerElapsed, peerCPU := medians(peers)
	ratio := peerElapsed.Seconds() / elapsed.Seconds()
	micros := perUnit(cpu, l.rows)
	rate := func(d time.Duration) string { return thousands(float64(l.rows)/d.Seconds()) + " rows/s" }
	return []result{
		{number: l.number, what: l.what, goal: fmt.Sprintf(">= %.1f x pg_recvlogical", l.speed), figure: rate(elapsed), ratio: times(ratio), passed: atLeast(ratio, l.speed)},
		{number: l.number, what: l.what + ": CPU", goal: fmt.Sprintf("<= %.1f us/row", l.micros), figure: fmt.Sprintf("%.2f us/row", micros), passed: atMost(micros, l.micros)},
		{number: l.number, what: "  pg_recvlogical", figure: rate(peerElapsed), note: fmt.Sprintf("CPU %.2f us/row", perUnit(peerCPU, l.rows))},
	}
}

// writeBacklog writes the log and behind it the row that ends a drain. end is a position between the two.
func writeBacklog(ctx context.Context, db *database, sql string) (end string, err error) {
	for _, statement := range []string{"set synchronous_commit = off", sql, "set synchronous_commit = on"} {
		if _, err := db.Exec(ctx, statement); err != nil {
			return "", fmt.Errorf("write the backlog: %w", err)
		}
	}
	if end, err = value[string](ctx, db, "select pg_current_wal_insert_lsn()::text"); err != nil {
		return "", err
	}
	_, err = db.Exec(ctx, "insert into message (conversation_id, author_id, body) values ($1, 1, 'the last one')", lastConversation)
	if err != nil {
		return "", fmt.Errorf("write the end of the backlog: %w", err)
	}
	return end, nil
}

const (
	lastConversation = 9_000_000
	// onlookers times onlookerSubscriptions are the subscriptions that no row of a backlog matches.
	onlookers             = 10
	onlookerSubscriptions = 1000
)
