package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

// writeMissed is a procedure that commits a row for each scope, again and again.
const writeMissed = `
create procedure write_missed(transactions int, scopes int) language plpgsql as $$
begin
	for i in 1 .. transactions loop
		insert into message (conversation_id, author_id, body) select n, 1, 'You have missed this' from generate_series(0, scopes - 1) n;
		commit;
	end loop;
end $$`

// cursors are the last ones that clients were given, by connection.
type cursors struct {
	mu   sync.Mutex
	last []string
}

func (c *cursors) look(conn int, kind load.Kind, payload []byte) {
	if kind != load.Snapshot {
		return
	}
	var said struct{ Cursor string }
	if json.Unmarshal(payload, &said) != nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last[conn] = said.Cursor
}

// measureResume lets clients of the extended protocol go, writes, and lets them all come back with their cursors.
func measureResume(ctx context.Context, b *bench) ([]result, error) {
	c, err := b.newComeback(ctx, writeMissed)
	if err != nil {
		return nil, err
	}
	defer c.close(ctx)
	var resumed, alone []time.Duration
	var queries []float64
	for run := range b.runs + 1 { // the first one warms up
		plain := toScopes("note")
		plain.Headers = []string{extendedProtocol}
		connected, err := c.connect(ctx, plain, 1, load.Subscribed)
		if err != nil {
			return nil, err
		}
		back, asked, err := c.resume(ctx)
		if err != nil {
			return nil, err
		}
		if run > 0 {
			b.note("coming back by cursor: %s, connecting alone %s, %d queries", back.Round(time.Millisecond), connected.Round(time.Millisecond), asked)
			resumed, alone, queries = append(resumed, back), append(alone, connected), append(queries, float64(asked))
		}
	}
	ratio := median(resumed).Seconds() / median(alone).Seconds()
	none := median(queries) == 0
	what := thousands(float64(c.clients)) + " clients resume, 100 events missed"
	return []result{
		{number: "11", what: what + ": snapshot queries", goal: "0", figure: fmt.Sprintf("%.0f", median(queries)), passed: &none},
		{number: "11", what: what + ": all live", goal: "<= 2 x connecting alone", figure: fmt.Sprintf("%.2f s", median(resumed).Seconds()),
			ratio: times(ratio), passed: atMost(ratio, 2), note: fmt.Sprintf("connecting and subscribing alone %.2f s", median(alone).Seconds())},
	}, nil
}

// resume returns how long it took until all had what they had missed, and how often the database was asked for it.
func (c *comeback) resume(ctx context.Context) (took time.Duration, asked int, err error) {
	known := &cursors{last: make([]string, c.clients)}
	first := toScopes("message")
	first.Headers, first.Look = []string{extendedProtocol}, known.look
	if _, err := c.connect(ctx, first, 1, load.Snapshot); err != nil {
		return 0, 0, err
	}
	for conn, cursor := range known.last {
		if cursor == "" {
			return 0, 0, fmt.Errorf("client %d was given no cursor", conn)
		}
	}
	if err := c.miss(ctx); err != nil {
		return 0, 0, err
	}
	if _, err := c.asked(ctx); err != nil {
		return 0, 0, err
	}
	again := load.Dialing{Headers: []string{extendedProtocol}, Hello: func(conn int) []string {
		subscribe := strings.TrimSuffix(subscribeTo(conn%returningScopes), "}")
		return []string{fmt.Sprintf(`%s,"since":%q}`, subscribe, known.last[conn])}
	}}
	if took, err = c.connect(ctx, again, missedOfAScope, load.Transaction); err != nil {
		return 0, 0, fmt.Errorf("resume: %w", err)
	}
	asked, err = c.asked(ctx)
	return took, asked, err
}

// miss writes what nobody is there to get, and waits until the gateway has it.
func (c *comeback) miss(ctx context.Context) error {
	const name = "reactive_transactions_total"
	before, err := c.gateway.metric(ctx, name)
	if err != nil {
		return err
	}
	if _, err := c.db.Exec(ctx, fmt.Sprintf("call write_missed(%d, %d)", missedOfAScope, returningScopes)); err != nil {
		return fmt.Errorf("write what is missed: %w", err)
	}
	for range 1000 {
		now, err := c.gateway.metric(ctx, name)
		if err != nil || now >= before+missedOfAScope {
			return err
		}
		time.Sleep(10 * time.Millisecond)
	}
	return errors.New("the gateway does not receive what is written")
}
