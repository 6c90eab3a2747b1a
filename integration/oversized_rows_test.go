package integration_test

import (
	"strings"
	"syscall"
	"testing"
	"time"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// Rows that may be huge: films have snapshots, reels have none.
const (
	film  = `create table film (id int primary key, shelf int, body text); create table reel (id int primary key, shelf int, body text)`
	films = `
reactive:
  - table: film
    scopes: [shelf]
    snapshot: {limit: 10}
  - table: reel
    scopes: [shelf]
  - table: message
    scopes: [conversation_id]
`
)

// A row that is too long makes the views of its table start over at its commit: by a fresh snapshot, or where there is none by
// a reset or the end of the connection. Whoever watches other tables, or what was rolled back, notices nothing.
func TestP86ViewsOfATableWithARowThatIsTooLongStartOver(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks, film,
		`insert into film values (1, 1, 'short')`, `insert into reel values (1, 1, 'short')`)
	g := serve(t, database, films, "--max-row-bytes", "1MiB")
	shown, other, sent := connect(t, g), connect(t, g), connect(t, g)
	v := shown.subscribeWithSnapshot("film", "shelf", "1")
	messages := other.subscribe("message", "conversation_id", "1")
	changes := sent.subscribe("reel", "shelf", "1")
	changes.partial = true
	extended, _ := connectExtended(t, g, nil)
	extended.send(`{"type":"subscribe","channel":"reel","scope":{"col":"shelf","value":1}}`)
	extended.await("subscribed")

	pgtest.Exec(t, database,
		`begin; savepoint a; insert into film values (2, 1, repeat('x', 3000000)); insert into reel values (2, 1, repeat('x', 3000000)); rollback to a;
			insert into film values (3, 1, 'short'); insert into reel values (3, 1, 'short'); commit`)
	shown.until("what was not rolled back has come", func() bool { return len(v.events) == 1 })
	sent.until("what was not rolled back has come", func() bool { return len(changes.events) == 1 })
	extended.await("transaction")

	pgtest.Exec(t, database,
		`begin; update film set body = 'gone' where id = 1; update film set body = repeat('x', 3000000), shelf = 2 where id = 1;
			insert into film values (4, 1, 'short');
			update reel set body = 'gone' where id = 1; delete from reel where id = 3; update reel set body = repeat('x', 3000000), shelf = 2 where id = 1;
			insert into reel values (4, 1, 'short'); insert into message values (1, 1, 'Ready?'); commit`)
	shown.until("a fresh snapshot has come", func() bool { return v.snapshots == 2 })
	v.equals(t, database, `select * from film where shelf = 1`)
	if reset := extended.await("reset"); reset.Reason != "unreadable" {
		t.Errorf("the reason is %s", reset.Reason)
	}
	if tx := extended.await("transaction"); len(tx.Changes) != 1 || len(tx.Changes[0].Events) != 1 || tx.Changes[0].Events[0].Row["id"] == nil {
		t.Errorf("behind it came %+v", tx)
	}
	sent.expectClose(websocket.StatusServiceRestart, "service restart")
	other.until("the message has come", func() bool { return len(messages.events) == 1 })
	line := g.awaitLogged("a change could not be read: if it commits, the views of its table start over")
	if !strings.HasPrefix(line["table"].(string), "public.") || !strings.Contains(line["detail"].(string), "maxRowBytes is 1048576") || line["fix"] == "" {
		t.Errorf("logged %v", line)
	}
	_, metrics := g.ask("/metrics")
	if n := figure(t, metrics, "reactive_oversized_rows_total"); n != 2 {
		t.Errorf("%v rows are counted", n)
	}
	if _, status := g.ask("/status"); !strings.Contains(status, "unreadable changes") || !strings.Contains(status, "public.reel") {
		t.Errorf("status: %s", status)
	}
}

// Whoever may have lost a right by such a change is asked about again.
func TestP86AMemberRowThatIsTooLongTakesTheRight(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t, conversations, messages, twoTalks, memberList, twoMembers)
	g := serve(t, database, i.settings+ofMembers(`{member: {table: member, scope: conversation_id, user: user_id}, cacheFor: 1h}`), "--max-row-bytes", "1MiB")
	ada, bob := connectAs(t, g, i.token("ada", time.Hour)), connectAs(t, g, i.token("bob", time.Hour))
	removed := ada.subscribe("message", "conversation_id", "1")
	stays := bob.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database,
		`begin; insert into message values (1, 1, 'secret');
			update member set user_id = 'zoe', role = repeat('x', 3000000) where conversation_id = 1 and user_id = 'ada'; commit`)
	ada.untilForbidden(removed)
	removed.never(t, "secret")
	bob.until("who stays gets it", func() bool { return len(stays.events) == 1 })
}

// Anybody's rows and messages of any size leave the gateway's memory alone, also when it starts and finds them in the log, and
// also where a snapshot would have the row.
func TestP86MemoryIsBoundedWhateverIsWritten(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks, film, `alter table film alter body set storage external`)
	args := []string{"--max-row-bytes", "4MiB"}
	g := serve(t, database, films, args...)
	c := connect(t, g)
	c.subscribeWithSnapshot("film", "shelf", "1")
	idle := peakMemory(t, g)
	huge := []string{
		`select pg_logical_emit_message(true, 'foreign', repeat('x', 100000000))`,
		`select pg_logical_emit_message(false, 'foreign', repeat('x', 100000000))`,
		`insert into film values (1, 1, repeat('x', 80000000))`,
		`update film set shelf = 1`,
		`delete from film where shelf = 2`,
	}
	look := func(g *gateway) {
		t.Helper()
		watcher := connect(t, g)
		v := watcher.subscribe("message", "conversation_id", "1")
		pgtest.Exec(t, database, `insert into message select coalesce(max(id), 0) + 1, 1, 'behind it' from message`)
		watcher.until("what is behind it has come", func() bool { return len(v.events) == 1 })
		if peak := peakMemory(t, g); peak > idle+(40<<20) {
			t.Errorf("the gateway took %d MiB, %d MiB before", peak>>20, idle>>20)
		}
	}
	pgtest.Exec(t, database, huge...)
	look(g)
	late := connect(t, g)
	late.send(`{"type":"subscribe","channel":"film","scope":{"col":"shelf","value":1}}`)
	for frame := ""; frame != `{"type":"error","code":"snapshot_unavailable"}`; {
		got, err := late.receive(time.Now().Add(patience))
		if err != nil {
			t.Fatal(err)
		}
		frame = string(got)
	}
	line := g.awaitLogged("no snapshot")
	if !strings.Contains(line["error"].(string), "bigger than a snapshot may be") {
		t.Errorf("logged %v", line)
	}
	look(g)
	if code := g.stop(syscall.SIGKILL); code != -1 {
		t.Errorf("exit code %d", code)
	}
	awaitFreeSlot(t, database)
	look(serve(t, database, films, args...))
}
