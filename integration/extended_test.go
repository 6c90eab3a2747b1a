package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// connectExtended connects and takes the welcome.
func connectExtended(t *testing.T, g *gateway, header http.Header) (c *extendedClient, welcome extendedFrame) {
	t.Helper()
	connected := connectWith(t, g, "", header, "mtbreactive.v2")
	if chosen := connected.conn.Subprotocol(); chosen != "mtbreactive.v2" {
		t.Fatalf("the gateway chose the subprotocol %q", chosen)
	}
	c = &extendedClient{client: connected, t: t}
	welcome = c.await("welcome")
	if welcome.Epoch == "" || welcome.Cursor == "" || welcome.HeartbeatMs <= 0 {
		t.Fatalf("welcome %+v", welcome)
	}
	return c, welcome
}

// awaitPassed waits until the gateway is past everything that has committed.
func (c *extendedClient) awaitPassed(database string) {
	c.t.Helper()
	c.send(fmt.Sprintf(`{"type":"waitFor","lsn":%q}`, pgtest.Query[string](c.t, database, `select pg_current_wal_insert_lsn()::text`)))
	c.await("waitFor")
}

// await takes the next frame, which has to be of the type.
func (c *extendedClient) await(kind string) extendedFrame {
	c.t.Helper()
	for {
		text, err := c.receive(time.Now().Add(patience))
		if err != nil {
			c.t.Fatalf("wait for %s: %v", kind, err)
		}
		var f extendedFrame
		if err := json.Unmarshal(text, &f); err != nil {
			c.t.Fatalf("frame %s: %v", text, err)
		}
		if f.Type == "heartbeat" && kind != "heartbeat" {
			continue
		}
		if f.Type != kind {
			c.t.Fatalf("got %s, want a frame of type %s", text, kind)
		}
		return f
	}
}

func subscribeTo(talk int, since string) string {
	if since != "" {
		since = fmt.Sprintf(`,"since":%q`, since)
	}
	return fmt.Sprintf(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":%d}%s}`, talk, since)
}

// told writes a transaction down: conversation, event and row for each change.
func (f extendedFrame) told() string {
	var all []string
	for _, c := range f.Changes {
		for _, e := range c.Events {
			all = append(all, fmt.Sprintf("%s %s %s", c.Scope, e.Type, e.PrimaryKey["id"]))
		}
	}
	return strings.Join(all, ", ")
}

func TestACommitIsOneFrame(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c, _ := connectExtended(t, serve(t, database, snapshots), nil)
	for talk := 1; talk <= 2; talk++ {
		c.send(subscribeTo(talk, ""))
		c.await("subscribed")
		if f := c.await("snapshot"); len(f.Rows) != 0 || f.Cursor == "" {
			t.Errorf("snapshot %+v", f)
		}
	}
	pgtest.Exec(t, database, `
		begin;
		insert into message values (1, 1, 'Ready?'), (2, 2, 'Soup');
		update message set body = 'Ready!' where id = 1;
		update message set conversation_id = 2 where id = 1;
		commit`)
	f := c.await("transaction")
	want := `{"col":"conversation_id","value":1} afterInsert 1, {"col":"conversation_id","value":1} afterUpdate 1, {"col":"conversation_id","value":1} afterDelete 1, ` +
		`{"col":"conversation_id","value":2} afterInsert 2, {"col":"conversation_id","value":2} afterInsert 1`
	if got := f.told(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if update := f.Changes[0].Events[1]; string(update.Before["body"]) != `"Ready?"` || len(update.Before) != 1 || len(update.Changed) != 1 {
		t.Errorf("before %v, changed %v", update.Before, update.Changed)
	}
	if f.Partial || time.Since(f.CommitTime).Abs() > time.Hour {
		t.Errorf("partial %t, commit time %s", f.Partial, f.CommitTime)
	}
	c.send(`{"type":"unsubscribe","channel":"message","scope":{"col":"conversation_id","value":1}}`)
	if f := c.await("unsubscribed"); f.Channel != "message" || string(f.Scope) != `{"col":"conversation_id","value":1}` {
		t.Errorf("unsubscribed %+v", f)
	}
	c.send(`{"type":"subscribe","channel":"secrets","scope":{"col":"conversation_id","value":1}}`)
	if f := c.await("error"); f.Code != "unknown_channel" || f.Channel != "secrets" || f.Message == "" {
		t.Errorf("error %+v", f)
	}
	c.send(`{"type":"heartbeat"}`)
	c.await("heartbeat")
}

// A transaction above the size of one frame comes in several, and is whole at the last.
func TestALargeCommitIsSplit(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c, _ := connectExtended(t, serve(t, database, chat), nil)
	c.send(subscribeTo(1, ""))
	c.await("subscribed")
	pgtest.Exec(t, database, `insert into message select n, 1, repeat('x', 1000) from generate_series(1, 3000) n`)
	frames, events := 0, 0
	for last := false; !last; {
		f := c.await("transaction")
		for _, part := range f.Changes {
			events += len(part.Events)
		}
		frames, last = frames+1, !f.Partial
	}
	if frames < 3 || events != 3000 {
		t.Errorf("%d events in %d frames", events, frames)
	}
}

func TestWaitForIsAnsweredWhenTheStreamHasPassed(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c, _ := connectExtended(t, serve(t, database, chat), nil)
	c.send(subscribeTo(1, ""))
	c.await("subscribed")
	for n := range 20 {
		pgtest.Exec(t, database, fmt.Sprintf(`insert into message values (%d, 1, 'Ready?')`, n))
		lsn := pgtest.Query[string](t, database, `select pg_current_wal_insert_lsn()::text`)
		c.send(fmt.Sprintf(`{"type":"waitFor","lsn":%q}`, lsn))
		c.await("transaction") // what was written before comes before the answer
		if f := c.await("waitFor"); f.LSN != lsn || f.Cursor == "" {
			t.Errorf("answer %+v", f)
		}
	}
	// Also where nothing is written, and for what no stream brings.
	c.awaitPassed(database)
	c.send(`{"type":"waitFor","lsn":"soon"}`)
	if f := c.await("error"); f.Code != "invalid_message" {
		t.Errorf("error %+v", f)
	}
}

// A client that was away gets just what it missed: over a lost connection, a graceful restart and a kill alike.
func TestAClientResumesWhereItWas(t *testing.T) {
	t.Parallel()
	for name, restart := range map[string]func(*gateway) bool{
		"connection lost": func(*gateway) bool { return false },
		"restarted":       func(g *gateway) bool { return g.stop(syscall.SIGTERM) == 0 },
		"killed":          func(g *gateway) bool { g.stop(syscall.SIGKILL); return true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := newDatabase(t, conversations, messages, twoTalks, `insert into message values (1, 1, 'Ready?'), (2, 1, 'Steady')`)
			g := serve(t, database, snapshots)
			c, before := connectExtended(t, g, nil)
			c.send(subscribeTo(1, ""))
			c.await("subscribed")
			c.await("snapshot")
			pgtest.Exec(t, database, `insert into message values (3, 1, 'Go')`)
			cursor := c.await("transaction").Cursor

			if restart(g) {
				pgtest.Exec(t, database, `update message set body = 'Ready!' where id = 1`)
				g = serve(t, database, snapshots)
			} else {
				_ = c.conn.CloseNow()
				pgtest.Exec(t, database, `update message set body = 'Ready!' where id = 1`)
			}
			pgtest.Exec(t, database, `update message set conversation_id = 2 where id = 2`, `insert into message values (4, 2, 'Soup')`, `delete from message where id = 3`)

			back, after := connectExtended(t, g, nil)
			if before.Epoch != after.Epoch {
				t.Errorf("the epoch was %s and is %s", before.Epoch, after.Epoch)
			}
			back.send(subscribeTo(1, cursor))
			if f := back.await("subscribed"); !f.Resumed || f.Cursor != cursor {
				t.Fatalf("subscribed %+v", f)
			}
			pgtest.Exec(t, database, `insert into message values (5, 1, 'Live again')`)
			var got []string
			for len(got) < 4 {
				got = append(got, back.await("transaction").told())
			}
			const scope = `{"col":"conversation_id","value":1} `
			if want := []string{scope + "afterUpdate 1", scope + "afterDelete 2", scope + "afterDelete 3", scope + "afterInsert 5"}; !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// Where what was missed is not known, the client is told why, and begins anew.
func TestWhatCannotBeResumedIsDeclared(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks, `insert into message values (1, 1, 'Ready?')`)
	g := serve(t, database, snapshots)
	c, _ := connectExtended(t, g, nil)
	c.send(subscribeTo(1, ""))
	c.await("subscribed")
	cursor := c.await("snapshot").Cursor
	pgtest.Exec(t, database, `truncate message`)
	if f := c.await("reset"); f.Reason != "truncate" || f.Channel != "message" {
		t.Errorf("reset %+v", f)
	}
	if f := c.await("snapshot"); len(f.Rows) != 0 {
		t.Errorf("snapshot %+v", f)
	}
	for since, reason := range map[string]string{cursor: "truncate", "AQ": "restart", "nonsense": "restart"} {
		c.send(subscribeTo(1, since))
		if f := c.await("subscribed"); f.Resumed {
			t.Errorf("since %s: subscribed %+v", since, f)
		}
		if f := c.await("reset"); f.Reason != reason {
			t.Errorf("since %s: reset %+v, want %s", since, f, reason)
		}
		c.await("snapshot")
	}
}

func TestATokenIsRenewedInPlace(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, i.settings+snapshots)
	c, _ := connectExtended(t, g, http.Header{"Authorization": {"Bearer " + i.token("ada", 10*time.Second)}})
	c.send(subscribeTo(1, ""))
	c.await("subscribed")
	c.await("snapshot")
	c.send(fmt.Sprintf(`{"type":"auth","token":%q}`, i.token("ada", time.Hour)))
	if f := c.await("auth"); time.Until(f.Expires) < 50*time.Minute {
		t.Errorf("expires %s", f.Expires)
	}
	// The first token's time passes, and the connection stays.
	short, _ := connectExtended(t, g, http.Header{"Authorization": {"Bearer " + i.token("bob", 10*time.Second)}})
	short.expectClose(4401, "unauthorized")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'Still here')`)
	c.await("transaction")
	c.send(fmt.Sprintf(`{"type":"auth","token":%q}`, i.token("bob", time.Hour)))
	c.expectClose(4401, "unauthorized")
}
