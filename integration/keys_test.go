package integration_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestARowWithANewKeyIsAnotherRow(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	c := connect(t, serve(t, database, chat))
	v := c.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 1, 'Ready?')`, `update message set id = 2`)
	c.until("the row has left and come", func() bool { return len(v.events) == 3 })
	gone, came := v.events[1], v.events[2]
	if gone.Type != "afterDelete" || string(gone.PrimaryKey["id"]) != "1" || came.Type != "afterInsert" || string(came.PrimaryKey["id"]) != "2" {
		t.Errorf("%s of %s, then %s of %s", gone.Type, gone.PrimaryKey, came.Type, came.PrimaryKey)
	}
	v.equals(t, database, messagesOf("1"))
}

func TestCompositeKeys(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create table order_item (line int, order_id int, quantity int not null, primary key (order_id, line))`)
	c := connect(t, serve(t, database, `
reactive:
  - table: order_item
    channel: order-items
    scopes: [order_id]
`))
	v := c.subscribe("order-items", "order_id", "5")
	pgtest.Exec(t, database,
		`insert into order_item values (1, 5, 2), (2, 5, 1), (1, 6, 9)`,
		`update order_item set quantity = 3 where order_id = 5 and line = 2`,
		`update order_item set line = 4 where order_id = 5 and line = 1`)
	c.until("all has come", func() bool { return len(v.events) == 5 })
	if got := v.events[2].PrimaryKey.String(); got != "line:2 order_id:5" {
		t.Errorf("primary key {%s}, want both columns", got)
	}
	v.equals(t, database, `select * from order_item where order_id = 5`)
}
