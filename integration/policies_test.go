package integration_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

const (
	// purchases belong to customers, who have a number, and whose tokens have it as text.
	purchases = `create type stage as enum ('open', 'paid');
		create table purchase (id int primary key, shop_id int, customer_id int, payer uuid, stage stage, note text, private bool)`
	buyers = `create table buyer (shop_id int, customer_id int, primary key (shop_id, customer_id))`
)

// W34: a policy that can never be true, or always is, ends the start with its place, both types and what to write.
func TestW34PoliciesThatCanNeverBeTrueAreRefused(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, purchases, buyers)
	i := newIssuer(t)
	lines := strings.Count(i.settings, "\n")
	for policy, want := range map[string][]string{ // the keys of the entry, and parts of what is said
		`filterRow: "row.customer_id == 'ada'"`:                                                            {"row.customer_id (integer)", "'ada' (string)", "a number, without quotes"},
		`filterRow: "row.private == ctx.sub"`:                                                              {"row.private (boolean)", "ctx.sub (string)", "bool(ctx.sub)"},
		`filterRow: "row.stage == 'shipped'"`:                                                              {"row.stage (public.stage)", "no such label", "write one of open, paid"},
		`filterRow: "row.note == row.customer_id"`:                                                         {"row.note (text)", "row.customer_id (integer)", "string(row.customer_id)"},
		`filterRow: "row.note in ctx.roles"`:                                                               {"row.note (text)", "ctx.roles (int)"},
		`filterRow: "row.customer_id == ctx.tenant"`:                                                       {"row.customer_id (integer)", "ctx.tenant (bool)"},
		`authorize: {cel: "scope.value == 'main street'"}`:                                                 {"scope.value (integer)", "'main street' (string)"},
		`authorize: {cel: "ctx.tenant == scope.value"}`:                                                    {"ctx.tenant (bool)", "scope.value (integer)"},
		`authorize: {sql: "update buyer set customer_id = 1"}`:                                             {"neither a boolean nor rows", "select 1 from member where"},
		`authorize: {sql: "select count(*) from buyer where shop_id = $scope and customer_id = $ctx.sub"}`: {"a row for every client", "count(*) > 0"},
		`authorize: {sql: "select $nothing"}`:                                                              {"$nothing stands for nothing", "write one query"},
		`authorize: {sql: "select 'open"}`:                                                                 {"a string does not end", "write one query"},
		`authorize: {member: {table: buyer, scope: shop_id, user: email}}`:                                 {"table public.buyer", "no column email", "name a table"},
		`authorize: {sql: "select true; select false"}`:                                                    {"SQLSTATE 42601", "write one query"},
		`authorize: {sql: "select shop_id = $scope, customer_id from buyer where customer_id = $ctx.sub"}`: {"select the boolean alone"},
	} {
		t.Run(policy, func(t *testing.T) {
			g := start(t, database, i.settings+"  claims: {tenant: bool, roles: [int]}\n"+
				"reactive:\n  - table: purchase\n    scopes: [shop_id]\n    "+policy+"\n")
			if code := g.wait(); code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
			for _, part := range append(want, fmt.Sprintf("reactive.yaml:%d:", lines+5)) {
				if !strings.Contains(g.stderr.String(), part) {
					t.Errorf("the error lacks %s:\n%s", part, g.stderr)
				}
			}
		})
	}
}

// W34: a claim that is a string of digits is the number that it looks like, in a filter, in CEL and in SQL that returns rows.
func TestW34AClaimOfDigitsIsANumber(t *testing.T) {
	t.Parallel()
	for name, authorize := range map[string]string{
		"rows": `{sql: "select 1 from buyer where shop_id = $scope and customer_id = $ctx.sub", cacheFor: 1h}`,
		"cel":  `{cel: "ctx.sub == '7' && scope.value in [1, 2]"}`,
		"all":  "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			database := newDatabase(t, purchases, buyers, `insert into buyer values (1, 7)`,
				`insert into purchase values (1, 1, 7, null, 'open', 'mine', true), (2, 1, 8, null, 'open', 'hidden', true), (3, 1, 8, null, 'paid', 'public', false)`)
			entry := "reactive:\n  - table: purchase\n    scopes: [shop_id]\n    snapshot: {limit: 10}\n    filterRow: \"!row.private || row.customer_id == ctx.sub\"\n"
			if authorize != "" {
				entry += "    authorize: " + authorize + "\n"
			}
			if name == "rows" {
				entry += "  - {table: buyer, scopes: [shop_id]}\n"
			}
			g := serve(t, database, i.settings+entry)
			c := connectAs(t, g, i.token("7", time.Hour))
			v := c.subscribeWithSnapshot("purchase", "shop_id", "1")
			v.equals(t, database, `select * from purchase where id in (1, 3)`)
			pgtest.Exec(t, database, `insert into purchase values (4, 1, 77, null, 'open', 'hidden', true), (5, 1, 7, null, 'open', 'mine too', true)`)
			c.until("the new one has come", func() bool { return v.rows["id:5"] != nil })
			v.equals(t, database, `select * from purchase where id in (1, 3, 5)`)
			other := connectAs(t, g, i.token("8", time.Hour))
			if authorize != "" {
				other.send(`{"type":"subscribe","channel":"purchase","scope":{"col":"shop_id","value":1}}`)
				other.expect(`{"type":"error","code":"forbidden"}`)
			}
			if name == "rows" { // a query that returns rows is one whose rights are taken away as those of any other are
				pgtest.Exec(t, database, `delete from buyer`, `insert into purchase values (6, 1, 7, null, 'open', 'too late', true)`)
				c.untilForbidden(v)
				v.never(t, "too late")
			}
		})
	}
}

// W30: a client whose right cannot be found out is told to try again, and never that it has none.
func TestW30AuthorizeWithoutAnAnswerIsNotForbidden(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t, conversations, messages, twoTalks, memberList, twoMembers)
	g := serve(t, database, i.settings+ofMembers(`{member: {table: member, scope: conversation_id, user: user_id}, timeout: 300ms}`))
	token := i.token("ada", time.Hour)
	base := connectAs(t, g, token)
	extended, _ := connectExtended(t, g, http.Header{"Authorization": {"Bearer " + token}})
	extended.send(subscribeTo(2, ""))
	extended.await("subscribed")
	pgtest.Exec(t, database, `alter table member rename to members`) // by somebody's migration, for a moment
	extended.send(subscribeTo(1, ""))
	if f := extended.await("error"); f.Code != "unavailable" {
		t.Errorf("%+v", f)
	}
	base.send(subscribeTo(1, ""))
	base.expectClose(1013, "try again later")
	pgtest.Exec(t, database, `alter table members rename to member`)
	extended.send(subscribeTo(1, ""))
	extended.await("subscribed")
	connectAs(t, g, token).subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database, `insert into message values (1, 2, 'Still here')`)
	extended.await("transaction")
}

// The README's configurations and expressions are good for a database that has their tables.
func TestW34TheReadmesExamplesAreGood(t *testing.T) {
	onAnyServer(t)
	readme, err := os.ReadFile(filepath.Join("..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	database := newDatabase(t,
		`create table conversation (id int primary key)`,
		`create table message (id int primary key, conversation_id int references conversation, author_id int, body text, secret text, private bool, created_at timestamptz)`,
		`create table member (conversation_id int, user_id text, primary key (conversation_id, user_id))`,
		`create table task (id int primary key, list_id int)`, `create table task_list (id int, project_id int)`)
	i := newIssuer(t)
	examples := map[string]string{}
	for n, block := range regexp.MustCompile("(?ms)^```yaml\n(.*?)^```").FindAllSubmatch(readme, -1) {
		examples[fmt.Sprint("block ", n+1)] = string(block[1])
	}
	for _, expression := range regexp.MustCompile("`\"([^`\"]*row\\.[^`\"]*)\"`").FindAllSubmatch(readme, -1) {
		examples[string(expression[1])] = fmt.Sprintf("%sreactive:\n  - {table: message, scopes: [conversation_id], filterRow: %q}\n", i.settings, expression[1])
	}
	if len(examples) < 4 {
		t.Errorf("only %d examples were found", len(examples))
	}
	for name, yaml := range examples {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			yaml = regexp.MustCompile(`(?m)^(databaseUrl|slot):.*\n`).ReplaceAllString(yaml, "")
			write(t, filepath.Join(dir, "reactive.yaml"), yaml)
			p := run(t, dir, nil, "doctor", "--database-url", database, "--slot", slotOf(t, database))
			if code := p.wait(); code == 2 {
				t.Errorf("refused:\n%s", p.stderr)
			}
		})
	}
}

// W30: many who may subscribe come at once, with few connections to a database that is 3 ms away. Nobody is refused.
func TestW30AuthorizeAStormOfClients(t *testing.T) {
	t.Parallel()
	const users = 600
	i := newIssuer(t)
	database := newDatabase(t, conversations, messages, twoTalks, memberList, `insert into member select 1, 'user ' || i, 'reader', 0 from generate_series(1, 600) i`)
	address := regexp.MustCompile(`@([^/]+)/`).FindStringSubmatch(database)[1]
	far := newProxy(t, address)
	far.set(pace{delay: 3 * time.Millisecond})
	g := serve(t, strings.Replace(database, address, far.address, 1), i.settings+ofMembers(`{member: {table: member, scope: conversation_id, user: user_id}}`),
		"--database-pool", "4")
	clients := make([]*client, users)
	for n := range clients {
		clients[n] = connectAs(t, g, i.token(fmt.Sprint("user ", n+1), time.Hour))
	}
	views := make([]*view, users)
	for n, c := range clients {
		views[n] = c.ask("message", "conversation_id", "1")
	}
	for n, c := range clients {
		c.until("it is subscribed", func() bool { return views[n].subscribed == 1 })
	}
}
