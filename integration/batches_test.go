package integration_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestABatchIsOneFrameWithTheEventsInTheirOrder(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, `
reactive:
  - table: message
    scopes: [conversation_id]
    batchMs: 50
`))
	c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `begin; insert into message values (1, 1, 'Ready?'); update message set body = 'Go'; delete from message; commit`)
	c.expect(`{"type":"change","channel":"message","scope":{"col":"conversation_id","value":1},"events":[
		{"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"Ready?"}},
		{"type":"afterUpdate","schemaName":"public","tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"Go"},"changed":{"body":"Go"}},
		{"type":"afterDelete","schemaName":"public","tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"Go"}}]}`)
}

// The client that leaves the batch open is sent what is in it before it is sent away.
func TestABatchIsNotLostInAShutdown(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, `
reactive:
  - table: message
    scopes: [conversation_id]
    batchMs: 60000
`)
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'Ready?')`)
	eventually(t, "the change is in the batch", func() bool { return g.metric("reactive_events_total") == 1 })
	g.signal(interrupt)
	c.expectClose(1001, "going away")
	if code := g.wait(); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if len(v.events) != 1 {
		t.Errorf("%d events before the end, want the one that waited", len(v.events))
	}
}
