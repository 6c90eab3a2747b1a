package integration_test

import (
	"fmt"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// The tables of a chat, and how they are served: without snapshots, so that a view begins with the first change.
const (
	conversations = `create table conversation (id bigint primary key, title text not null)`
	messages      = `create table message (id bigint primary key, conversation_id bigint not null references conversation, body text not null)`
	twoTalks      = `insert into conversation values (1, 'Launch day'), (2, 'Lunch')`

	chat = `
reactive:
  - table: message
    scopes: [conversation_id]
  - table: conversation
    scopes: [id]
`
)

func TestInsertUpdateAndDeleteReachTheSubscriber(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, chat))
	c.send(`{"type": "subscribe", "channel": "message", "scope": {"col": "conversation_id", "value": 1}}`)
	c.views[`message{"col":"conversation_id","value":1}`] = newView("message", `{"col":"conversation_id","value":1}`, "conversation_id", "1")
	c.expect(`{"type":"subscribed","channel":"message","scope":{"col":"conversation_id","value":1}}`)

	pgtest.Exec(t, database,
		`insert into message values (7, 1, 'Ready?')`,
		`update message set body = 'Ready? 🚀' where id = 7`,
		`delete from message where id = 7`)
	const frame = `{"type":"change","channel":"message","scope":{"col":"conversation_id","value":1},"event":{"type":"%s","schemaName":"public","tableName":"message","primaryKey":{"id":7},"row":{"id":7,"conversation_id":1,"body":"%s"}%s}}`
	c.expect(
		fmt.Sprintf(frame, "afterInsert", "Ready?", ""),
		fmt.Sprintf(frame, "afterUpdate", "Ready? 🚀", `,"changed":{"body":"Ready? 🚀"}`),
		fmt.Sprintf(frame, "afterDelete", "Ready? 🚀", ""))
}

func TestOnlyTheScopesSubscribersGetAChange(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, chat))
	lunch := c.subscribe("message", "conversation_id", "2")
	pgtest.Exec(t, database,
		`insert into message values (1, 1, 'Ready?')`, // a foreign scope: the client would refuse it
		`insert into message values (2, 2, 'Soup')`)
	c.until("the message of lunch has come", func() bool { return len(lunch.events) > 0 })
	lunch.equals(t, database, `select * from message where conversation_id = 2`)
}

func TestRolledBackChangesReachNobody(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, chat))
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database,
		`begin; insert into message values (1, 1, 'never said'); rollback`,
		`begin; insert into message values (2, 1, 'said'); savepoint s; insert into message values (3, 1, 'taken back'); rollback to s; commit`,
		`insert into message values (4, 1, 'the last')`)
	c.until("the last message has come", func() bool { return len(v.events) >= 2 })
	v.equals(t, database, `select * from message where conversation_id = 1`)
}

func TestATransactionsChangesComeInTheirOrder(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, chat))
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database,
		`begin;
		 insert into message select n, 1, 'draft ' || n from generate_series(1, 100) n;
		 update message set body = 'message ' || id;
		 delete from message where id % 2 = 0;
		 insert into message values (101, 1, 'the last');
		 commit`)
	c.until("the whole transaction has come", func() bool { return len(v.events) == 251 })
	for i, e := range v.events {
		want, id := "afterInsert", i+1
		switch {
		case i == 250:
			id = 101
		case i >= 200:
			want, id = "afterDelete", 2*(i-199)
		case i >= 100:
			want, id = "afterUpdate", i-99
		}
		if got := string(e.PrimaryKey["id"]); e.Type != want || got != fmt.Sprint(id) {
			t.Fatalf("event %d is %s of message %s, want %s of %d", i, e.Type, got, want, id)
		}
	}
	v.equals(t, database, `select * from message where conversation_id = 1`)
}

func TestTwoTablesOfOneTransactionComeInItsOrder(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages)
	c := connect(t, serve(t, database, chat))
	c.subscribe("conversation", "id", "5")
	c.subscribe("message", "conversation_id", "5")
	pgtest.Exec(t, database, `begin;
		insert into conversation values (5, 'Release');
		insert into message values (50, 5, 'Shipped');
		update conversation set title = 'Release 1.0' where id = 5;
		commit`)
	c.expect(
		`{"type":"change","channel":"conversation","scope":{"col":"id","value":5},"event":{"type":"afterInsert","schemaName":"public","tableName":"conversation","primaryKey":{"id":5},"row":{"id":5,"title":"Release"}}}`,
		`{"type":"change","channel":"message","scope":{"col":"conversation_id","value":5},"event":{"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey":{"id":50},"row":{"id":50,"conversation_id":5,"body":"Shipped"}}}`,
		`{"type":"change","channel":"conversation","scope":{"col":"id","value":5},"event":{"type":"afterUpdate","schemaName":"public","tableName":"conversation","primaryKey":{"id":5},"row":{"id":5,"title":"Release 1.0"},"changed":{"title":"Release 1.0"}}}`)
}

func TestChangesThatChangeNothingOfTheRowSaySo(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, chat))
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'Ready?')`, `update message set body = body`)
	c.until("the update has come", func() bool { return len(v.events) == 2 })
	if got := v.events[1].Changed; got == nil || len(got) != 0 {
		t.Errorf("changed is %v, want an empty object", got)
	}
}
