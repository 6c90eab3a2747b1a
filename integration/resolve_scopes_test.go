package integration_test

import (
	"fmt"
	"strings"
	"testing"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// transfers go from one account to another, or from nobody: each is in the views of both.
const transfers = `create table transfer (id int primary key, sender int, receiver int, cents int, labels text[])`

const byAccount = `
reactive:
  - table: transfer
    scopes: [id, account]
    resolveScopes:
      - "{'col': 'account', 'value': row.sender}"
      - "{'col': 'account', 'value': row.receiver}"
`

// ofAccount is a view whose rows need not have a column of the scope's name.
func (c *client) ofAccount(channel, account string) *view {
	c.t.Helper()
	scope := fmt.Sprintf(`{"col":"account","value":%s}`, account)
	v := newView(channel, scope, "", "")
	c.views[channel+scope] = v
	c.send(fmt.Sprintf(`{"type":"subscribe","channel":%q,"scope":%s}`, channel, scope))
	c.until("the subscription begins", func() bool { return v.subscribed > 0 })
	return v
}

func transfersOf(account string) string {
	return fmt.Sprintf(`select * from transfer where sender = %[1]s or receiver = %[1]s`, account)
}

func TestARowIsInTheViewsOfAllItsScopes(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, transfers, `insert into transfer values (1, 1, 2, 100), (2, 2, 1, 200), (3, 2, 2, 300), (4, null, 3, 400)`)
	g := serve(t, database, byAccount+"    snapshot: {limit: 100}\n")
	if got := query[string](t, database, `select relreplident::text from pg_class where relname = 'transfer'`); got != "f" {
		t.Errorf("replica identity %s", got)
	}
	c := connect(t, g)
	views := map[string]*view{}
	for _, account := range []string{"1", `"2"`, "3"} {
		v := c.ofAccount("transfer", account)
		c.until("the snapshot has come", func() bool { return v.snapshots == 1 })
		views[strings.Trim(account, `"`)] = v
		v.equals(t, database, transfersOf(strings.Trim(account, `"`)))
	}
	byID := c.subscribeWithSnapshot("transfer", "id", "1") // a scope that is not resolved is a column
	pgtest.Exec(t, database,
		`insert into transfer values (5, 1, 3, 500)`,
		`update transfer set cents = 101 where id = 1`,
		`update transfer set receiver = 3 where id = 2`,
		`update transfer set sender = receiver, receiver = sender where id = 5`,
		`update transfer set id = 40 where id = 4`,
		`delete from transfer where id = 3`,
		`insert into transfer values (9, 1, 2, 0), (10, 3, null, 0)`)
	c.until("the last have come", func() bool {
		return views["1"].rows["id:9"] != nil && views["2"].rows["id:9"] != nil && views["3"].rows["id:10"] != nil
	})
	for account, v := range views {
		v.equals(t, database, transfersOf(account))
	}
	if len(byID.events) != 1 || byID.events[0].Type != "afterUpdate" {
		t.Errorf("by id: %v", byID.events)
	}
}

func TestScopesThatAnExpressionComputes(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, transfers)
	g := serve(t, database, `
reactive:
  - table: transfer
    scopes: [account]
    resolveScopes: ["row.labels == null ? [] : row.labels.map(l, {'col': 'account', 'value': l})"]
`)
	c := connect(t, g)
	rent, gift := c.ofAccount("transfer", `"rent"`), c.ofAccount("transfer", `"gift"`)
	pgtest.Exec(t, database,
		`insert into transfer values (1, 1, 2, 100, '{rent}'), (2, 1, 2, 100, '{gift,rent}'), (3, 1, 2, 100, null), (4, 1, 2, 100, '{}')`,
		`update transfer set labels = '{gift}' where id in (1, 3)`,
		`insert into transfer values (9, 1, 2, 0, '{rent,gift}')`)
	c.until("the last has come", func() bool { return rent.rows["id:9"] != nil && gift.rows["id:9"] != nil })
	rent.equals(t, database, `select * from transfer where 'rent' = any(labels)`)
	gift.equals(t, database, `select * from transfer where 'gift' = any(labels)`)
}

// Nobody can be told of a row whose scopes are not known: who looks at the channel is sent away, and operators see why.
func TestScopesThatAreNotKnownEndTheChannelsViews(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, transfers)
	g := serve(t, database, "reactive:\n  - {table: transfer, scopes: [account], resolveScopes: [\"{'col': 'account', 'value': row.labels[0]}\"]}\n")
	c := connect(t, g)
	c.ofAccount("transfer", `"rent"`)
	pgtest.Exec(t, database, `insert into transfer values (1, 4711, 2, 100, '{}')`)
	c.expectClose(websocket.StatusServiceRestart, "service restart")
	if _, metrics := g.ask("/metrics"); !strings.Contains(metrics, `reactive_resolve_scopes_errors_total{channel="transfer"} 1`) {
		t.Errorf("no such figure in the metrics")
	}
	if _, ok := g.logged("resolveScopes gave no answer, so the channel's views begin anew"); !ok || strings.Contains(g.stderr.String(), "4711") {
		t.Errorf("the log:\n%s", g.stderr)
	}
}

func TestResolveScopesThatCannotWorkEndsTheStart(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, transfers)
	for entry, want := range map[string]string{
		"scopes: [account]\n    resolveScopes: [\"{'col': 'acount', 'value': row.sender}\"]":                                "reactive.yaml:4:21: acount is none of the scopes: write acount into scopes",
		"scopes: [account]\n    resolveScopes: [\"{'col': 'account', 'value': row.sendr}\"]":                                "reactive.yaml:4:21: table public.transfer has no column sendr: write sender",
		"scopes: [account]\n    resolveScopes: [\"{'col': row.id, 'value': row.sender}\"]":                                  "reactive.yaml:4:21: resolveScopes: it names no scope: write out {'col': ",
		"scopes: [account]\n    resolveScopes: [\"row.sender\"]":                                                            "reactive.yaml:4:21: resolveScopes: it names no scope",
		"scopes: [account]\n    resolveScopes: [\"{'col': 'account'\"]":                                                     "reactive.yaml:4:21: resolveScopes, line 1, column 18: Syntax error",
		"scopes: [account]\n    resolveScopes: []":                                                                          "reactive.yaml:4:20: resolveScopes is an empty list: list at least one",
		"resolveScopes: [\"{'col': 'account', 'value': row.sender}\"]":                                                      "reactive.yaml:3:20: resolveScopes has no scopes to come to: name them in scopes",
		"scopes: [account, x]\n    resolveScopes: [\"{'col': 'account', 'value': row.id}\"]":                                "reactive.yaml:3:23: table public.transfer has no column x",
		"scopes: [account]\n    snapshot: {limit: 5}\n    resolveScopes: [\"{'col': 'account', 'value': row.sender + 1}\"]": "reactive.yaml:5:21: no snapshot can be read by scope account, for what it comes to is more than a column: write {'col': 'account', 'value': row.COLUMN}",
		"scopes: [receiver]\n    snapshot: {limit: 5}\n    resolveScopes: [\"{'col': 'receiver', 'value': row.labels}\"]":   "reactive.yaml:5:21: no snapshot can be read by scope receiver",
	} {
		g := start(t, database, "reactive:\n  - table: transfer\n    "+entry+"\n")
		if code := g.wait(); code != 2 || !strings.Contains(g.stderr.String(), want) {
			t.Errorf("%s: exit code %d, want 2 and %q in\n%s", entry, code, want, g.stderr)
		}
	}
}
