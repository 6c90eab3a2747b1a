package integration_test

import (
	"context"
	"strings"
	"testing"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestEveryRefusalIsItsErrorFrameAndTheConnectionGoesOn(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, chat))
	for _, each := range []struct{ frame, code string }{
		{`subscribe`, "invalid_json"},
		{``, "invalid_json"},
		{`["subscribe"]`, "invalid_json"},
		{`{"type":"subscribe","type":"subscribe"}`, "invalid_json"},
		{`{}`, "unknown_message_type"},
		{`{"type":"publish"}`, "unknown_message_type"},
		{`{"type":"subscribe"}`, "unknown_channel"},
		{`{"type":"subscribe","channel":"secrets"}`, "unknown_channel"}, // the channel comes before the scope
		{`{"type":"unsubscribe","channel":"secrets","scope":[]}`, "unknown_channel"},
		{`{"type":"subscribe","channel":"secrets","scope":{"col":"id","value":1}}`, "unknown_channel"},
		{`{"type":"unsubscribe","channel":"secrets","scope":{"col":"id","value":1}}`, "unknown_channel"},
		{`{"type":"subscribe","channel":"message"}`, "invalid_scope"},
		{`{"type":"subscribe","channel":"message","scope":{"col":"body","value":"x"}}`, "invalid_scope"},
		{`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":"one"}}`, "invalid_scope"},
		{`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":1.5}}`, "invalid_scope"},
		{`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":9223372036854775808}}`, "invalid_scope"},
		{`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":null}}`, "invalid_scope"},
		{`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":1,"or":1}}`, "invalid_scope"},
	} {
		c.send(each.frame)
		c.expect(`{"type":"error","code":"` + each.code + `"}`)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.conn.Write(ctx, websocket.MessageBinary, []byte(`{"type":"subscribe"}`)); err != nil {
		t.Fatal(err)
	}
	c.expect(`{"type":"error","code":"invalid_json"}`)
	c.subscribe("message", "conversation_id", "1")
}

func TestW28ASnapshotThatCannotBeReadIsSaidSo(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, `
reactive:
  - table: message
    scopes: [conversation_id]
    snapshot: {limit: 10}
`)
	pgtest.Exec(t, database, `alter table message rename column body to text`, `alter table message rename to note`)
	c := connect(t, g)
	c.ask("message", "conversation_id", "1")
	c.expect(
		`{"type":"subscribed","channel":"message","scope":{"col":"conversation_id","value":1}}`,
		`{"type":"error","code":"snapshot_unavailable"}`)
}

func TestW06AFrameThatIsTooBigEndsTheConnection(t *testing.T) {
	t.Parallel()
	g := serve(t, newDatabase(t, conversations, messages), chat)
	c := connect(t, g)
	c.send(`{"type":"subscribe","note":"` + strings.Repeat("x", 70_000) + `"}`)
	if err := c.read(func() bool { return false }); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("the connection ended with %v, want 1009", err)
	}
}
