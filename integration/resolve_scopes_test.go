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
	if got := pgtest.Query[string](t, database, `select relreplident::text from pg_class where relname = 'transfer'`); got != "f" {
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
	pgtest.Exec(t, database, `insert into transfer values (1, 471108150, 2, 100, '{}')`)
	c.expectClose(websocket.StatusServiceRestart, "service restart")
	if _, metrics := g.ask("/metrics"); !strings.Contains(metrics, `reactive_resolve_scopes_errors_total{channel="transfer"} 1`) {
		t.Errorf("no such figure in the metrics")
	}
	if g.awaitLogged("resolveScopes gave no answer, so the channel's views begin anew"); strings.Contains(g.stderr.String(), "471108150") {
		t.Errorf("the log:\n%s", g.stderr)
	}
}

func TestResolveScopesThatCannotWorkEndsTheStart(t *testing.T) {
	onAnyServer(t)
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
		"scopes: [account]\n    snapshot: {limit: 5}\n    resolveScopes: [\"{'col': 'account', 'value': row.sender + 1}\"]": "reactive.yaml:5:21: no snapshot can be read by scope account, for what it comes to is more than a column: write {'col': 'account', 'value': row.COLUMN}, or {col: account, sql: ",
		"scopes: [receiver]\n    snapshot: {limit: 5}\n    resolveScopes: [\"{'col': 'receiver', 'value': row.labels}\"]":   "reactive.yaml:5:21: no snapshot can be read by scope receiver",
	} {
		g := start(t, database, "reactive:\n  - table: transfer\n    "+entry+"\n")
		if code := g.wait(); code != 2 || !strings.Contains(g.stderr.String(), want) {
			t.Errorf("%s: exit code %d, want 2 and %q in\n%s", entry, code, want, g.stderr)
		}
	}
}

// tasks are in lists, and lists in projects.
var tasks = []string{
	`create table task_list (id int primary key, project_id bigint, title text)`,
	`create table task (id int primary key, list_id int references task_list on delete cascade, body text)`,
	`insert into task_list values (1, 10, 'today'), (2, 20, 'later'), (3, null, 'never')`,
	`insert into task values (1, 1, 'a'), (2, 1, 'b'), (3, 2, 'c'), (4, 3, 'd')`,
}

// byProject serves tasks by their lists' projects. The table of lists is published, as another channel.
func byProject(sql string, options ...string) string {
	entry := "reactive:\n  - {table: task_list, scopes: [id]}\n  - table: task\n    scopes: [project]\n    resolveScopes: {sql: \"" + sql + "\"}\n"
	for _, option := range options {
		entry += "    " + option + "\n"
	}
	return entry
}

func tasksOf(project string) string {
	return `select t.* from task t join task_list l on l.id = t.list_id where l.project_id = ` + project
}

// lookups are queries for the project of a task: of the form whose changes are understood, and of any other.
func lookups() map[string]string {
	return map[string]string{
		"by equality": "select project_id from task_list where id = $row.list_id",
		"in any form": "select l.project_id + 0 as p from task_list l where l.id in ($row.list_id) -- any",
	}
}

func TestScopesByAJoinTable(t *testing.T) {
	t.Parallel()
	for name, sql := range lookups() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := newDatabase(t, tasks...)
			c := connect(t, serve(t, database, byProject(sql, `snapshot: {limit: 100, orderBy: body}`)))
			views := map[string]*view{}
			for _, project := range []string{"10", "20", "30"} {
				v := newView("task", `{"col":"project","value":`+project+`}`, "", "")
				c.views[v.channel+v.scope] = v
				c.send(`{"type":"subscribe","channel":"task","scope":` + v.scope + `}`)
				c.until("the snapshot has come", func() bool { return v.snapshots == 1 })
				v.equals(t, database, tasksOf(project))
				views[project] = v
			}
			for n, change := range []string{
				`insert into task values (5, 1, 'e'), (6, 2, 'f'), (7, null, 'g')`,
				`update task set list_id = 2 where id = 1`,
				`update task set body = 'new' where id = 2`,
				`update task_list set title = 'tomorrow' where id = 2`,
				`delete from task where id = 3`,
				`update task_list set project_id = 30 where id = 2`,
				`begin; insert into task_list values (4, 10); insert into task values (8, 4, 'h'); commit`,
				`begin; update task_list set project_id = 20 where id = 1; update task set body = 'moved' where list_id = 1; commit`,
				`delete from task_list where id = 4`,
				`truncate task_list cascade`,
				`begin; insert into task_list values (1, 10), (2, 20), (3, 30); insert into task values (1, 1), (2, 2), (3, 3); commit`,
			} {
				mark := fmt.Sprint(100 + n)
				pgtest.Exec(t, database, change,
					`begin; insert into task_list values (`+mark+`, 10), (`+mark+`000, 20), (`+mark+`001, 30); insert into task values (`+mark+`, `+mark+`), (`+mark+`000, `+mark+`000), (`+mark+`001, `+mark+`001); commit`)
				c.until(change, func() bool {
					return views["10"].rows["id:"+mark] != nil && views["20"].rows["id:"+mark+"000"] != nil && views["30"].rows["id:"+mark+"001"] != nil
				})
				for project, v := range views {
					if v.equals(t, database, tasksOf(project)); t.Failed() {
						t.Fatalf("project %s after %s", project, change)
					}
				}
			}
		})
	}
}

// What is of no consequence for a view leaves it alone: changes of other columns, and lists that nothing can be in yet.
func TestViewsThatAJoinTableLeavesAlone(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, tasks...)
	c := connect(t, serve(t, database, byProject(lookups()["by equality"], `snapshot: {limit: 100}`)))
	v := c.subscribeTo("task", "project", "10")
	pgtest.Exec(t, database,
		`update task_list set title = 'tomorrow'`,
		`insert into task_list values (4, 10)`,
		`update task_list set project_id = 30 where id = 2`, // another project's
		`insert into task values (5, 4, 'the last')`)
	c.until("the last has come", func() bool { return v.rows["id:5"] != nil })
	if v.snapshots != 1 || len(v.events) != 1 {
		t.Errorf("%d snapshots, %v", v.snapshots, v.events)
	}
}

// subscribeTo is subscribeWithSnapshot for a scope that the rows have no column of.
func (c *client) subscribeTo(channel, column, value string) *view {
	c.t.Helper()
	v := newView(channel, fmt.Sprintf(`{"col":%q,"value":%s}`, column, value), "", "")
	c.views[v.channel+v.scope] = v
	c.send(fmt.Sprintf(`{"type":"subscribe","channel":%q,"scope":%s}`, channel, v.scope))
	c.until("the snapshot has come", func() bool { return v.snapshots == 1 })
	return v
}

// A query that fails says nothing of a row: views begin anew, and the stream goes on.
func TestALookupThatFails(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, tasks...)
	g := serve(t, database, byProject("select 100 / nullif($row.list_id - 13, -13)")) // list 13 divides by zero
	c := connect(t, g)
	v := newView("task", `{"col":"project","value":100}`, "", "")
	c.views[v.channel+v.scope] = v
	c.send(`{"type":"subscribe","channel":"task","scope":` + v.scope + `}`)
	c.until("the subscription begins", func() bool { return v.subscribed == 1 })
	pgtest.Exec(t, database, `insert into task_list values (13), (14)`, `insert into task values (14, 14, 'in')`)
	c.until("the task has come", func() bool { return len(v.events) == 1 })
	pgtest.Exec(t, database, `insert into task values (13, 13, 'hunter2')`)
	c.expectClose(websocket.StatusServiceRestart, "service restart")
	if line := g.awaitLogged("resolveScopes gave no answer, so the channel's views begin anew"); line["error"] != "a query for scopes failed with SQLSTATE 22012" {
		t.Errorf("the log:\n%s", g.stderr)
	}
}

// Where the table that a query reads is not in the stream, operators are told.
func TestALookupInATableThatIsNotPublished(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, tasks...)
	yaml := "reactive:\n  - {table: task, scopes: [project], resolveScopes: [{sql: \"" + lookups()["by equality"] + "\"}]}\n"
	g := serve(t, database, yaml)
	line, ok := g.logged("setup: resolveScopes of channel task")
	if detail, _ := line["detail"].(string); !ok || !strings.Contains(detail, "it reads public.task_list, whose changes are not all published") {
		t.Errorf("the log:\n%s", g.stderr)
	}
	if code, stdout, _ := doctorOf(t, database, yaml); code != 0 || !strings.Contains(stdout, "warn   resolveScopes of channel task: it reads public.task_list") {
		t.Errorf("exit code %d:\n%s", code, stdout)
	}
}

func TestLookupsThatCannotWorkEndTheStart(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, tasks...)
	for sql, want := range map[string]string{
		"select project_id from task_lists where id = $row.list_id":        "reactive.yaml:4:20: describe a query: ERROR: relation \"task_lists\" does not exist",
		"select project_id from task_list where id = $row.list":            "reactive.yaml:4:20: table public.task has no column list: write list_id",
		"select project_id from task_list where id = $ctx.sub":             "reactive.yaml:4:20: resolveScopes by SQL: $ctx.sub stands for nothing: write $row.column",
		"select project_id from task_list":                                 "reactive.yaml:4:20: resolveScopes by SQL: the query does not look at the row",
		"select id, project_id from task_list where id = $row.list_id":     "reactive.yaml:4:20: the query returns 2 columns: select the scope's value alone",
		"select project_id / 1.5 from task_list where id = $row.list_id":   "reactive.yaml:4:20: the query returns numeric, whose values cannot be compared by their text: cast it to text",
		"select project_id from task_list where id = $row.list_id; select": "reactive.yaml:4:20: resolveScopes by SQL: the query has a ;",
	} {
		g := start(t, database, "reactive:\n  - table: task\n    scopes: [project]\n    resolveScopes: {sql: \""+sql+"\"}\n")
		if code := g.wait(); code != 2 || !strings.Contains(g.stderr.String(), want) {
			t.Errorf("%s: exit code %d, want 2 and %q in\n%s", sql, code, want, g.stderr)
		}
	}
	g := start(t, database, "reactive:\n  - table: task\n    scopes: [project, id]\n    resolveScopes: [{sql: \"select 1 where $row.id = 1\"}]\n")
	if want := "reactive.yaml:4:21: there are several scopes, and none of them is named here: write {col: "; g.wait() != 2 || !strings.Contains(g.stderr.String(), want) {
		t.Errorf("no %q in\n%s", want, g.stderr)
	}
}
