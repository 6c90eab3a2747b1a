package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"golang.org/x/sync/errgroup"
	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

const handshake = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"

// raw opens a TCP connection to the public address and writes something.
func (g *gateway) raw(t *testing.T, text string) net.Conn {
	t.Helper()
	address := strings.TrimSuffix(strings.TrimPrefix(g.clients, "ws://"), "/ws")
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// A peer whose cable was pulled says nothing any more, not even that it is gone. This one's kernel acknowledges what is
// sent, which is worse: only the missing answer to a ping tells.
func TestW03HalfOpenPeerIsEnded(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat, "--ping-interval", "100ms")
	g.raw(t, handshake)
	alive := connect(t, g)
	v := alive.subscribe("message", "conversation_id", "1")
	eventually(t, "both are connected", func() bool { return g.metric("reactive_connections") == 2 })
	ended := false
	for n := 0; !ended; n++ { // the other one goes on, for it answers its pings as it reads
		pgtest.Exec(t, database, fmt.Sprintf(`insert into message values (%d, 1, 'Still here')`, n))
		alive.until("its message has come", func() bool { return len(v.events) == n+1 })
		ended = g.metric("reactive_connections") == 1
		time.Sleep(50 * time.Millisecond)
	}
}

// Connections that never become a client's end by themselves, and cost nobody else anything.
func TestW07SlowHandshakes(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat, "--max-connections", "2")
	var slow []net.Conn
	for range 50 {
		slow = append(slow, g.raw(t, ""), g.raw(t, "GET /ws HTTP/1.1\r\nHost: gate"), g.raw(t, "POST /ws HTTP/1.1\r\nHost: localhost\r\nX-A: "))
	}
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'Ready?')`)
	c.until("the message has come", func() bool { return len(v.events) == 1 })
	for _, conn := range slow {
		if err := conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		var rest bytes.Buffer
		if _, err := rest.ReadFrom(conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("a connection that sends no request is still there")
		}
	}
	if n := g.metric("reactive_connections"); n != 1 {
		t.Errorf("%v connections", n)
	}
}

// The gateway is killed under many clients, and all come back at once: each gets just what it missed, and the database has
// no more connections to bear than before.
func TestW04AllComeBackAfterAKill(t *testing.T) {
	t.Parallel()
	const clients = 60
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, snapshots)
	cursors := make([]string, clients)
	for n := range clients {
		c, _ := connectExtended(t, g, nil)
		c.send(subscribeTo(1, ""))
		c.await("subscribed")
		cursors[n] = c.await("snapshot").Cursor
	}
	pgtest.Exec(t, database, `insert into message select n, 1, 'written' from generate_series(1, 50) n`)
	g.stop(syscall.SIGKILL)
	for n := range 20 {
		pgtest.Exec(t, database, fmt.Sprintf(`update message set body = 'edited' where id = %d`, n+1))
	}
	g = serve(t, database, snapshots)
	var back []*extendedClient
	for range clients {
		c, _ := connectExtended(t, g, nil)
		back = append(back, c)
	}
	for n, c := range back {
		c.send(subscribeTo(1, cursors[n]))
	}
	most := pgtest.Query[int](t, database, `select count(*) from pg_stat_activity where datname = current_database()`)
	for _, c := range back {
		if f := c.await("subscribed"); !f.Resumed {
			t.Fatalf("subscribed %+v", f)
		}
		events := 0
		for events < 70 {
			for _, part := range c.await("transaction").Changes {
				events += len(part.Events)
			}
		}
		if events != 70 {
			t.Errorf("%d events, want 70", events)
		}
	}
	if most > 20 {
		t.Errorf("the database had %d connections", most)
	}
}

// Whatever a client writes into any string: the server is asked nothing but what it was asked before.
func TestW12NoStringOfAClientIsSQL(t *testing.T) {
	t.Parallel()
	cluster := pgtest.Cluster(t, map[string]string{
		"wal_level": "logical", "shared_preload_libraries": "pg_stat_statements", "pg_stat_statements.track_utility": "on", "fsync": "off",
	})
	pgtest.Exec(t, cluster.URL("postgres"), `create database notes`)
	database := cluster.URL("notes")
	pgtest.Exec(t, database, `create extension pg_stat_statements`,
		`create table note (id int primary key, folder text, owner text)`, `create table member (folder text, name text)`,
		`insert into note values (1, 'a', 'ada')`, `insert into member values ('a', 'ada')`)
	i := newIssuer(t)
	g := serve(t, database, i.settings+`
reactive:
  - table: note
    scopes: [folder]
    snapshot: {limit: 10, orderBy: owner DESC}
    authorize: {sql: "select $scope::text is not null and $ctx.sub::text is not null"}
`)
	// Those of the gateway that has just begun, of its heart, and of this test, are left out.
	const asked = `select coalesce(array_agg(distinct query order by query), '{}') from pg_stat_statements
		where query ilike '%note%' or query ilike '%is not null and%' or query ilike '%drop%'`
	ask := func(user, frame string) {
		c, _ := connectExtended(t, g, http.Header{"Authorization": {"Bearer " + i.token(user, time.Hour)}})
		c.send(frame)
		for {
			text, err := c.receive(time.Now().Add(patience))
			if err != nil {
				t.Fatalf("%s: %v", frame, err)
			}
			if kind := string(text); strings.HasPrefix(kind, `{"type":"snapshot"`) || strings.HasPrefix(kind, `{"type":"error"`) || strings.HasPrefix(kind, `{"type":"waitFor"`) {
				_ = c.conn.CloseNow()
				return
			}
		}
	}
	quote := func(s string) string { text, _ := json.Marshal(s); return string(text) }
	frame := func(channel, col, value, since string) string {
		return fmt.Sprintf(`{"type":"subscribe","channel":%s,"scope":{"col":%s,"value":%s},"since":%s}`, quote(channel), quote(col), quote(value), quote(since))
	}
	ask("ada", frame("note", "folder", "a", "x"))
	before := pgtest.Query[[]string](t, database, asked)
	if len(before) < 2 {
		t.Fatalf("the statements %q are too few: nothing is tested", before)
	}
	for _, evil := range []string{
		`'`, `"`, `''; drop table note; --`, `a' or '1'='1`, `a"; drop table note; --`, `/* a */`, `*/ drop table note /*`, `--`, `\`, `\'; drop table note; --`,
		`$1`, `$$; drop table note; $$`, `${scope}`, `$scope`, `:a`, `?`, `%s`, `a` + "\x00" + `b`, "\x00", `E'\x27'`, `U&'\0027'`, "\u02bc", "＇", strings.Repeat(`'`, 1000), `null`, `0x27`, `(select 1)`,
	} {
		ask("ada", frame("note", "folder", evil, "x"))
		ask("ada", frame("note", evil, "a", "x"))
		ask("ada", frame(evil, "folder", "a", "x"))
		ask("ada", frame("note", "folder", "a", "x"+evil))
		ask("ada", fmt.Sprintf(`{"type":"waitFor","lsn":%s}`, quote("0/0"+evil)))
		ask("ada"+evil, frame("note", "folder", "a", "x"))
	}
	if after := pgtest.Query[[]string](t, database, asked); !slices.Equal(after, before) {
		t.Errorf("the server was asked\n%s\nand before\n%s", strings.Join(after, "\n"), strings.Join(before, "\n"))
	}
	if n := pgtest.Query[int](t, database, `select count(*) from note`); n != 1 {
		t.Errorf("%d notes", n)
	}
}

// Money is moved between accounts, and the sum never changes: not at any commit in the extended protocol, and in the base
// protocol not behind the frames of a commit.
func TestW26TheSumOfAllBalancesIsConstant(t *testing.T) {
	t.Parallel()
	const accounts, transfers, sum = 10, 150, 1000
	database := newDatabase(t, `create table account (id int primary key, bank int, balance int)`,
		fmt.Sprintf(`insert into account select n, 1, %d from generate_series(1, %d) n`, sum/accounts, accounts))
	g := serve(t, database, "reactive:\n  - {table: account, scopes: [bank], snapshot: {limit: 100}}\n")
	c, _ := connectExtended(t, g, nil)
	c.send(`{"type":"subscribe","channel":"account","scope":{"col":"bank","value":1}}`)
	c.await("subscribed")
	balances := map[string]int{}
	number := func(r row, column string) (n int) {
		if err := json.Unmarshal(r[column], &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for _, r := range c.await("snapshot").Rows {
		balances[string(r["id"])] = number(r, "balance")
	}
	base := connect(t, g)
	v := base.subscribeWithSnapshot("account", "bank", "1")
	var writing errgroup.Group
	for writer := range 3 {
		writing.Go(func() error {
			conn, err := pgx.Connect(t.Context(), database)
			if err != nil {
				return err
			}
			defer func() { _ = conn.Close(context.Background()) }()
			for n := range transfers / 3 {
				from, to := 1+(n+writer)%accounts, 1+(n*7+writer+3)%accounts
				if from == to {
					to = 1 + to%accounts
				}
				// In the order of their identifiers, lest two wait for each other.
				_, err := conn.Exec(t.Context(), fmt.Sprintf(`update account set balance = balance + case when id = %d then -%d else %d end
					from (select id as locked from account where id in (%d, %d) order by id for update) l where id = locked`, from, 1+n%5, 1+n%5, from, to))
				if err != nil {
					return err
				}
			}
			return nil
		})
	}
	for range transfers {
		f := c.await("transaction")
		for _, part := range f.Changes {
			for _, e := range part.Events {
				balances[string(e.PrimaryKey["id"])] = number(e.Row, "balance")
			}
		}
		total := 0
		for _, b := range balances {
			total += b
		}
		if total != sum && !f.Partial {
			t.Fatalf("the sum is %d at %s", total, f.Cursor)
		}
	}
	if err := writing.Wait(); err != nil {
		t.Fatal(err)
	}
	base.until("both halves of every transfer have come", func() bool {
		if len(v.events)%2 != 0 { // in between
			return false
		}
		total := 0
		for _, r := range v.rows {
			total += number(r, "balance")
		}
		if total != sum {
			t.Fatalf("the sum is %d after %d events", total, len(v.events))
		}
		return len(v.events) == 2*transfers
	})
}

// What fails inside the database is told in the protocol's words alone.
func TestW28WhatTheDatabaseSaysIsNotForClients(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks, `create table grudge (id int)`)
	g := serve(t, database, `
reactive:
  - table: message
    scopes: [conversation_id]
    snapshot: {limit: 10}
  - table: conversation
    scopes: [id]
    authorize: {sql: "select count(*) > 0 from grudge where id = $scope"}
`)
	pgtest.Exec(t, database, `alter table message rename to grievance`, `drop table grudge`)
	c, _ := connectExtended(t, g, nil)
	told := map[string]string{
		"snapshot_unavailable": "the snapshot could not be read: try again",
		"unavailable":          "it could not be decided whether the client may subscribe",
	}
	c.send(subscribeTo(1, ""))
	c.await("subscribed")
	f := c.await("error")
	if f.Message != told[f.Code] {
		t.Errorf("%s: %s", f.Code, f.Message)
	}
	c.send(`{"type":"subscribe","channel":"conversation","scope":{"col":"id","value":1}}`)
	if f := c.await("error"); f.Code != "unavailable" || f.Message != told[f.Code] {
		t.Errorf("%s: %s", f.Code, f.Message)
	}
}

// Under load, with clients of the extended protocol: a gateway that is stopped loses nothing of what they held, and the next
// one goes on just there.
func TestW29AfterSIGTERMUnderLoadClientsGoOn(t *testing.T) {
	t.Parallel()
	database := newDatabase(t)
	l := startLoad(t, database, 2)
	g := serve(t, database, snapshots)
	c, _ := connectExtended(t, g, nil)
	c.send(subscribeTo(1, ""))
	c.await("subscribed")
	held := map[string]row{}
	first := c.await("snapshot")
	for _, r := range first.Rows {
		held[string(r["id"])] = r
	}
	cursor := first.Cursor
	take := func(text []byte) (last bool) {
		var f extendedFrame
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		for _, part := range f.Changes {
			for _, e := range part.Events {
				id := string(e.PrimaryKey["id"])
				if known := held[id] != nil; known != (e.Type != "afterInsert") {
					t.Fatalf("%s of %s, known %t, in %s", e.Type, id, known, text)
				}
				if held[id] = e.Row; e.Type == "afterDelete" {
					delete(held, id)
				}
				last = last || id == "-1"
			}
		}
		if f.Type == "transaction" || f.Type == "heartbeat" {
			cursor = f.Cursor
		}
		return last
	}
	l.awaitRows(100)
	g.signal(syscall.SIGTERM)
	for {
		text, err := c.receive(time.Now().Add(patience))
		if err != nil {
			if websocket.CloseStatus(err) != websocket.StatusGoingAway {
				t.Fatalf("%v, want 1001", err)
			}
			break
		}
		take(text)
	}
	if code := g.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	g = serve(t, database, snapshots)
	back, _ := connectExtended(t, g, nil)
	back.send(subscribeTo(1, cursor))
	if f := back.await("subscribed"); !f.Resumed {
		t.Fatalf("subscribed %+v", f)
	}
	l.stop()
	for last := false; !last; {
		text, err := back.receive(time.Now().Add(patience))
		if err != nil {
			t.Fatal(err)
		}
		last = take(text)
	}
	v := newView("message", "", "conversation_id", "1")
	v.rows = held
	v.equals(t, database, messagesOf("1"))
}
