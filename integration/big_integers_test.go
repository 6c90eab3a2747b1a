package integration_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

const invoices = `create table invoice (id bigint primary key, customer_id bigint, total numeric(30, 2))`

// No float is in the way: 2^53 and 2^53+1, which are one number to JavaScript, are two scopes.
func TestW10IntegersBeyond2To53AreExact(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, invoices)
	c := connect(t, serve(t, database, "reactive:\n  - table: invoice\n    scopes: [customer_id]\n    snapshot: {limit: 10}\n"))
	even := c.subscribeWithSnapshot("invoice", "customer_id", "9007199254740992")
	odd := c.subscribeWithSnapshot("invoice", "customer_id", "9007199254740993")
	pgtest.Exec(t, database,
		`insert into invoice values (9223372036854775807, 9007199254740993, 12345678901234567890.12)`,
		`insert into invoice values (1, 9007199254740992, 0.10)`)
	c.until("both have come", func() bool { return len(even.events) == 1 && len(odd.events) == 1 })
	odd.equals(t, database, `select * from invoice where id = 9223372036854775807`)
	even.equals(t, database, `select * from invoice where id = 1`)
}

func TestBigintAsString(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, invoices, `insert into invoice values (1, 9007199254740993, 0.10)`)
	c := connect(t, serve(t, database, "bigintAs: string\nreactive:\n  - table: invoice\n    scopes: [customer_id]\n    snapshot: {limit: 10}\n"))
	c.ask("invoice", "customer_id", `"9007199254740993"`)
	const scope = `"channel":"invoice","scope":{"col":"customer_id","value":"9007199254740993"}`
	c.expect(
		`{"type":"subscribed",`+scope+`}`,
		`{"type":"snapshot",`+scope+`,"rows":[{"id":"1","customer_id":"9007199254740993","total":"0.10"}]}`)
	pgtest.Exec(t, database, `update invoice set total = 1e20 where id = 1`)
	c.expect(`{"type":"change",` + scope + `,"event":{"type":"afterUpdate","schemaName":"public","tableName":"invoice","primaryKey":{"id":"1"},
		"row":{"id":"1","customer_id":"9007199254740993","total":"100000000000000000000.00"},"changed":{"total":"100000000000000000000.00"}}}`)
}
