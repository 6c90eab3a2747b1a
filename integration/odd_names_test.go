package integration_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestOddNamesOfSchemasTablesAndColumns(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create schema "Häuser & ""Co"""`,
		`create table "Häuser & ""Co"""."Order Items" ("ID" int primary key, "select" int, "it's \ odd""%" text)`,
		`insert into "Häuser & ""Co"""."Order Items" values (1, 7, 'before')`)
	c := connect(t, serve(t, database, `
reactive:
  - table: '"Häuser & ""Co"""."Order Items"'
    channel: "Order Items 🛒"
    scopes: [select]
    snapshot: {limit: 10, orderBy: '"ID"'}
`))
	v := c.ask("Order Items 🛒", "select", "7")
	v.keys = []string{"ID"}
	c.until("the snapshot has come", func() bool { return v.snapshots == 1 })
	pgtest.Exec(t, database, `update "Häuser & ""Co"""."Order Items" set "it's \ odd""%" = 'after'`)
	c.until("the update has come", func() bool { return len(v.events) == 1 })
	if e := v.events[0]; e.SchemaName != `Häuser & "Co"` || e.TableName != "Order Items" || e.Changed.String() != `it's \ odd"%:"after"` {
		t.Errorf("%s.%s changed {%s}", e.SchemaName, e.TableName, e.Changed)
	}
	v.equals(t, database, `select * from "Häuser & ""Co"""."Order Items"`)
}
