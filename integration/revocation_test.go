package integration_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// memberList says who may see which conversation.
const memberList = `create table member (conversation_id bigint, user_id text, role text, seen int, primary key (conversation_id, user_id))`

const twoMembers = `insert into member values (1, 'ada', 'reader'), (1, 'bob', 'reader'), (2, 'ada', 'reader'), (2, 'bob', 'reader')`

// memberships are ways to ask the table of members. A removed member loses the right by each.
func memberships() map[string]string {
	return map[string]string{
		"member":          `{member: {table: member, scope: conversation_id, user: user_id}, cacheFor: 1h}`,
		"sql":             `{sql: "select exists (select 1 from member m where m.conversation_id = $scope and m.user_id = $ctx.sub)", cacheFor: 1h}`,
		"sql in any form": `{sql: "select count(*) > 0 from member where conversation_id = $scope and user_id || '' = $ctx.sub", cacheFor: 1h}`,
	}
}

// ofMembers serves messages to members. The table of members is published also where nothing makes it so.
func ofMembers(authorize string, options ...string) string {
	entry := "reactive:\n  - {table: member, channel: members, scopes: [conversation_id]}\n  - table: message\n    scopes: [conversation_id]\n    authorize: " + authorize + "\n"
	for _, option := range options {
		entry += "    " + option + "\n"
	}
	return entry
}

// untilForbidden reads frames until the one that ends a subscription, and then takes no frame of that any more.
func (c *client) untilForbidden(v *view) {
	c.t.Helper()
	for {
		frame, err := c.receive(time.Now().Add(patience))
		if err != nil {
			c.t.Fatalf("%v, want the error forbidden", err)
		}
		if string(frame) == `{"type":"error","code":"forbidden"}` {
			delete(c.views, v.channel+v.scope)
			return
		}
		if err := c.apply(frame); err != nil {
			c.t.Fatal(err)
		}
	}
}

// never fails if a view has had a message with the text.
func (v *view) never(t *testing.T, body string) {
	t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range v.events {
		if string(e.Row["body"]) == string(text) {
			t.Errorf("got %s", e.Row)
		}
	}
}

// W18: whoever is removed gets forbidden, and nothing that was committed with the removal or after it.
func TestW18RemovedWhileMessagesAreQueued(t *testing.T) {
	t.Parallel()
	for name, authorize := range memberships() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			database := newDatabase(t, conversations, messages, twoTalks, memberList, twoMembers)
			g := serve(t, database, i.settings+ofMembers(authorize))
			ada, bob := connectAs(t, g, i.token("ada", time.Hour)), connectAs(t, g, i.token("bob", time.Hour))
			removed, stays := ada.subscribe("message", "conversation_id", "1"), ada.subscribe("message", "conversation_id", "2")
			others := bob.subscribe("message", "conversation_id", "1")
			pgtest.Exec(t, database,
				`insert into message values (1, 1, 'before')`,
				`begin; insert into message values (2, 1, 'secret'); delete from member where conversation_id = 1 and user_id = 'ada'; commit`,
				`do $$ begin for i in 3..1002 loop insert into message values (i, 1, 'secret'); commit; end loop; end $$`)
			ada.untilForbidden(removed)
			if len(removed.events) != 1 {
				t.Errorf("got %v", removed.events)
			}
			bob.until("all have come to who stays", func() bool { return len(others.events) == 1002 })
			// What was answered before is not remembered.
			ada.send(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":1}}`)
			ada.expect(`{"type":"error","code":"forbidden"}`)
			pgtest.Exec(t, database, `insert into message values (2000, 1, 'secret'), (2001, 2, 'the last')`)
			ada.until("the other subscription goes on", func() bool { return len(stays.events) == 1 })
			removed.never(t, "secret")
			if _, metrics := g.ask("/metrics"); !strings.Contains(metrics, "reactive_revoked_total 1\n") {
				t.Error("no such figure in the metrics")
			}
		})
	}
}

func TestAMembershipThatIsGivenBackInTheSameTransaction(t *testing.T) {
	t.Parallel()
	for name, authorize := range memberships() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			database := newDatabase(t, conversations, messages, twoTalks, memberList, twoMembers)
			g := serve(t, database, i.settings+ofMembers(authorize))
			ada := connectAs(t, g, i.token("ada", time.Hour))
			v := ada.subscribe("message", "conversation_id", "1")
			for n := range 20 {
				pgtest.Exec(t, database,
					fmt.Sprintf(`begin; delete from member; insert into message values (%d, 1, 'with it'); %s; commit`, 2*n, twoMembers),
					fmt.Sprintf(`insert into message values (%d, 1, 'after')`, 2*n+1))
			}
			ada.until("all have come", func() bool { return len(v.events) == 40 })
			v.equals(t, database, messagesOf("1"))
		})
	}
}

// What decides is whatever the query compares, for each client by its own claims.
func TestWhatMakesAMember(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t, conversations, messages, twoTalks, memberList, twoMembers, `alter table member replica identity full`)
	g := serve(t, database, i.settings+ofMembers(`{sql: "select exists (select 1 from member where user_id = $ctx.sub and conversation_id = $scope and role = 'reader')"}`, `snapshot: {limit: 10}`))
	witness, _ := connectExtended(t, g, http.Header{"Authorization": {"Bearer " + i.token("eve", time.Hour)}})
	for name, change := range map[string]string{
		"another role":         `update member set role = 'guest' where user_id = 'ada' and conversation_id = 1`,
		"another conversation": `update member set conversation_id = 3 where user_id = 'ada' and conversation_id = 1`,
		"another user":         `update member set user_id = 'eve' where user_id = 'ada' and conversation_id = 1`,
		"nobody":               `update member set role = null where user_id = 'ada' and conversation_id = 1`,
		"truncated":            `truncate member`,
	} {
		pgtest.Exec(t, database, `truncate member`, twoMembers, `delete from message`)
		witness.awaitPassed(database) // or it would concern the subscriptions, and what is asked about at once cannot be told apart
		ada, bob := connectAs(t, g, i.token("ada", time.Hour)), connectAs(t, g, i.token("bob", time.Hour))
		removed, stays := ada.subscribeWithSnapshot("message", "conversation_id", "1"), bob.subscribeWithSnapshot("message", "conversation_id", "1")
		pgtest.Exec(t, database,
			`update member set seen = 1`, // which says nothing of anybody's rights
			`insert into message values (1, 1, 'before')`,
			change,
			`insert into message values (2, 1, 'secret')`)
		ada.untilForbidden(removed)
		removed.never(t, "secret")
		if len(removed.rows) != 1 {
			t.Errorf("%s: the view has %v", name, removed.rows)
		}
		if change == `truncate member` {
			bob.untilForbidden(stays)
			continue
		}
		bob.until(name+": who stays gets all", func() bool { return len(stays.rows) == 2 })
	}
}

// W19: a right that is lost while the subscription is decided upon. Whenever it is, what was committed after it never comes.
func TestW19RemovedWhileSubscribing(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t, conversations, messages, memberList)
	g := serve(t, database, i.settings+ofMembers(memberships()["member"], `snapshot: {limit: 10}`))
	for n := range 40 {
		talk := fmt.Sprint(n)
		pgtest.Exec(t, database, `insert into conversation values (`+talk+`, 'talk')`, `insert into member values (`+talk+`, 'ada')`)
		ada := connectAs(t, g, i.token("ada", time.Hour))
		v := newView("message", `{"col":"conversation_id","value":`+talk+`}`, "conversation_id", talk)
		ada.views[v.channel+v.scope] = v
		removed := make(chan struct{})
		go func() {
			defer close(removed)
			pgtest.Exec(t, database, fmt.Sprintf(`delete from member where conversation_id = %s`, talk), fmt.Sprintf(`insert into message values (%s, %[1]s, 'secret')`, talk))
		}()
		time.Sleep(time.Duration(n) * 500 * time.Microsecond) // at another place in the race each time; no outcome depends on it
		ada.send(`{"type":"subscribe","channel":"message","scope":` + v.scope + `}`)
		ada.untilForbidden(v)
		v.never(t, "secret")
		if len(v.rows) != 0 {
			t.Errorf("the view has %v", v.rows)
		}
		<-removed
	}
}

// The table of members has to be in the stream, with what it was before each change.
func TestMembersAreCaptured(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t, conversations, messages, `create table member (conversation_id bigint, user_id text)`) // without a key
	g := serve(t, database, i.settings+"reactive:\n  - table: message\n    scopes: [conversation_id]\n    authorize: "+memberships()["member"]+"\n")
	if got := pgtest.Query[string](t, database, `select relreplident::text from pg_class where relname = 'member'`); got != "f" {
		t.Errorf("replica identity %s", got)
	}
	if got := pgtest.Query[int](t, database, `select count(*) from pg_publication_tables where tablename = 'member'`); got != 1 {
		t.Errorf("it is published %d times", got)
	}
	c := connectAs(t, g, i.token("ada", time.Hour))
	c.send(`{"type":"subscribe","channel":"member","scope":{"col":"conversation_id","value":1}}`)
	c.expect(`{"type":"error","code":"unknown_channel"}`) // captured, not served
}

// What is not in the stream cannot take a right away: operators are told, at the start and by doctor.
func TestAuthorizersThatReadWhatIsNotPublished(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, memberList,
		`create view reader as select * from member where role = 'reader'`)
	yaml := "reactive:\n  - table: message\n    scopes: [conversation_id]\n    authorize: {sql: \"select exists (select 1 from reader where conversation_id = $scope)\"}\n"
	g := serve(t, database, yaml)
	line, ok := g.logged("setup: authorize of channel message")
	if detail, _ := line["detail"].(string); !ok || !strings.Contains(detail, "it reads public.member, whose changes are not all published") {
		t.Errorf("the log:\n%s", g.stderr)
	}
	code, stdout, stderr := doctorOf(t, database, yaml)
	if want := "warn   authorize of channel message: it reads public.member"; code != 0 || !strings.Contains(stdout, want) || !strings.Contains(stdout, `ALTER PUBLICATION "mtbreactive" ADD TABLE ONLY "public"."member";`) {
		t.Errorf("exit code %d, want %q in\n%s%s", code, want, stdout, stderr)
	}
}

// A view is no table whose rows are memberships, though its name and its columns are compared as if it were.
func TestMembersByAView(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t, conversations, messages, twoTalks, memberList, twoMembers,
		`create view reader as select * from member where role = 'reader'`)
	g := serve(t, database, i.settings+ofMembers(`{sql: "select exists (select 1 from reader where conversation_id = $scope and user_id = $ctx.sub)"}`))
	ada := connectAs(t, g, i.token("ada", time.Hour))
	v := ada.subscribe("message", "conversation_id", "1")
	pgtest.Exec(t, database,
		`update member set role = 'guest' where user_id = 'ada'`,
		`insert into message values (1, 1, 'secret')`)
	ada.untilForbidden(v)
	v.never(t, "secret")
}

// In the extended protocol a removal ends the one subscription, with its name, and takes nothing from the others: what one
// commit did to both comes without the part that may not be seen.
func TestW18RevocationInTheExtendedProtocol(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t, conversations, messages, twoTalks, memberList, `insert into member values (1, 'ada', 'reader', 0), (2, 'ada', 'reader', 0)`)
	g := serve(t, database, i.settings+"reactive:\n  - table: message\n    scopes: [conversation_id]\n    authorize: {member: {table: member, scope: conversation_id, user: user_id}}\n")
	c, _ := connectExtended(t, g, http.Header{"Authorization": {"Bearer " + i.token("ada", time.Hour)}})
	for talk := 1; talk <= 2; talk++ {
		c.send(subscribeTo(talk, ""))
		c.await("subscribed")
	}
	pgtest.Exec(t, database, `insert into message values (1, 1, 'before'), (2, 2, 'before')`)
	before := c.await("transaction")
	if len(before.Changes) != 2 {
		t.Fatalf("before: %s", before.told())
	}
	pgtest.Exec(t, database, `begin; delete from member where conversation_id = 1; insert into message values (3, 1, 'secret'), (4, 2, 'shared'); commit`,
		`insert into message values (5, 1, 'secret'), (6, 2, 'shared')`)
	got := map[string]bool{}
	for len(got) < 3 {
		text, err := c.receive(time.Now().Add(patience))
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "secret") {
			t.Fatalf("after the removal came %s", text)
		}
		var f extendedFrame
		if err := json.Unmarshal(text, &f); err != nil {
			t.Fatal(err)
		}
		switch f.Type {
		case "error":
			if f.Code != "forbidden" || string(f.Scope) != `{"col":"conversation_id","value":1}` {
				t.Fatalf("error %s", text)
			}
			got["error"] = true
		case "transaction":
			got[f.told()] = true
		}
	}
	const scope = `{"col":"conversation_id","value":2} afterInsert `
	if !got["error"] || !got[scope+"4"] || !got[scope+"6"] {
		t.Errorf("got %v", got)
	}
	c.send(subscribeTo(1, before.Cursor))
	if f := c.await("error"); f.Code != "forbidden" {
		t.Errorf("resumed: %+v", f)
	}
}
