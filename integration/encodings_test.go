package integration_test

import (
	"strings"
	"testing"
	"time"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// newDatabaseIn is newDatabase with an encoding.
func newDatabaseIn(t *testing.T, encoding string, sql ...string) (url string) {
	t.Helper()
	base := newDatabase(t)
	name := slotOf(t, base) + "_e"
	pgtest.Exec(t, maintenance(base), `create database `+name+` encoding '`+encoding+`' locale 'C' template template0`)
	url = strings.Replace(base, slotOf(t, base), name, 1)
	t.Cleanup(func() {
		awaitFreeSlot(t, url)
		pgtest.Exec(t, url, `select pg_drop_replication_slot(slot_name) from pg_replication_slots where database = current_database()`)
		pgtest.Exec(t, maintenance(base), `drop database `+name)
	})
	pgtest.Exec(t, url, sql...)
	return url
}

// In a database that is not UTF-8 every value comes as Unicode. A byte that has none makes the views of its table start over,
// and stops nobody else.
func TestP85AByteWithoutUnicodeStopsNobodyElse(t *testing.T) {
	t.Parallel()
	database := newDatabaseIn(t, "WIN1252", conversations, messages, twoTalks, film)
	g := serve(t, database, films)
	shown, other, sent := connect(t, g), connect(t, g), connect(t, g)
	v, w := shown.subscribeWithSnapshot("film", "shelf", "1"), shown.subscribeWithSnapshot("film", "shelf", "2")
	messages := other.subscribe("message", "conversation_id", "1")
	sent.subscribe("reel", "shelf", "1")
	pgtest.Exec(t, database, `set client_encoding = 'UTF8'`,
		`insert into film values (1, 1, 'Grüße – “€”'), (2, 2, 'short')`)
	shown.until("both films have come", func() bool { return len(v.rows) == 1 && len(w.rows) == 1 })
	if got := v.rows["id:1"].String(); got != `body:"Grüße – “€”" id:1 shelf:1` {
		t.Errorf("got %s", got)
	}
	const hole = `convert_from('\x6181', 'WIN1252')`
	pgtest.Exec(t, database,
		`begin; insert into film values (3, 3, `+hole+`); update film set body = 'long' where id = 2; insert into message values (1, 1, 'Ready?'); commit`,
		`insert into reel values (1, 3, `+hole+`)`)
	shown.until("fresh snapshots have come", func() bool { return v.snapshots == 2 && w.snapshots == 2 })
	if got := w.rows["id:2"].String(); got != `body:"long" id:2 shelf:2` {
		t.Errorf("got %s", got)
	}
	sent.expectClose(websocket.StatusServiceRestart, "service restart")
	other.until("the message has come", func() bool { return len(messages.events) == 1 })

	shown.send(`{"type":"subscribe","channel":"film","scope":{"col":"shelf","value":3}}`)
	for frame := ""; frame != `{"type":"error","code":"snapshot_unavailable"}`; {
		got, err := shown.receive(time.Now().Add(patience))
		if err != nil {
			t.Fatal(err)
		}
		frame = string(got)
	}
	if line := g.awaitLogged("no snapshot"); !strings.Contains(line["error"].(string), "WIN1252 that has no Unicode: mend the rows that this finds: SELECT ctid") {
		t.Errorf("logged %v", line)
	}
	line := g.awaitLogged("a change could not be read: if it commits, the views of its table start over")
	if line["table"] != "public.film" || !strings.Contains(line["fix"].(string), `SELECT ctid FROM "public"."film"`) {
		t.Errorf("logged %v", line)
	}
	_, metrics := g.ask("/metrics")
	if n := figure(t, metrics, "reactive_undecodable_rows_total"); n != 2 {
		t.Errorf("%v changes are counted", n)
	}
	if n := figure(t, metrics, "reactive_reconnects_total"); n != 0 {
		t.Error("the stream was interrupted")
	}
}
