package integration_test

import (
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// secured is a table that shows each role its own rows by a policy that would be seen to run.
const secured = `
create table note (id int primary key, room int, owner text);
insert into note values (1, 1, 'ann'), (2, 1, 'bob');
create function mine(text) returns bool language plpgsql as $$begin raise exception 'a policy ran'; end$$;
alter table note enable row level security;
create policy own on note using (mine(owner))`

// gatewayRole makes a role that may replicate and read, and gives a URL for it.
func gatewayRole(t *testing.T, database, attributes string) (role, as string) {
	t.Helper()
	role = "gateway_" + slotOf(t, database)
	pgtest.Exec(t, database, `create role `+role+` login replication `+attributes, `grant create on database `+slotOf(t, database)+` to `+role,
		`grant select on all tables in schema public to `+role)
	t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+role) })
	t.Cleanup(func() { pgtest.Exec(t, database, `drop owned by `+role) })
	return role, strings.Replace(database, "postgres@", role+"@", 1)
}

// refused starts a gateway that has to end, and doctor, and looks for the texts in what both say.
func refused(t *testing.T, database, yaml string, texts ...string) {
	t.Helper()
	g := start(t, database, yaml)
	if code := g.wait(); code == 0 {
		t.Error("the gateway served")
	}
	_, stdout, stderr := doctorOf(t, database, yaml)
	for _, text := range texts {
		if !strings.Contains(g.stderr.String(), text) {
			t.Errorf("the start does not say %q:\n%s", text, g.stderr.String())
		}
		if !strings.Contains(stdout+stderr, text) {
			t.Errorf("doctor does not say %q:\n%s%s", text, stdout, stderr)
		}
	}
}

const rule = "rights are authorize and filterRow, not policies"

func TestP76ATableWithPoliciesIsRefused(t *testing.T) {
	t.Parallel()
	const notes = "reactive:\n  - {table: note, scopes: [room], snapshot: {limit: 10}}\n"
	for name, c := range map[string]struct{ setup, yaml, table string }{
		"its own":          {secured, notes, "public.note"},
		"without a policy": {`create table note (id int primary key, room int); alter table note enable row level security`, notes, "public.note"},
		"of a partition": {`create table note (id int primary key, room int) partition by list (id); create table note_1 partition of note for values in (1);
			alter table note_1 enable row level security`, notes, "public.note_1"},
		"of the members": {`create table note (id int primary key, room int); create table member (room int, u text, primary key (room, u)); alter table member enable row level security`,
			"reactive:\n  - {table: note, scopes: [room], authorize: {member: {table: member, scope: room, user: u}}}\n", "public.member"},
		"under a view that authorize reads": {`create table note (id int primary key, room int); create table member (room int, u text); alter table member enable row level security;
			create view members as select * from member`,
			"reactive:\n  - {table: note, scopes: [room], authorize: {sql: \"select exists (select 1 from public.members where room = $scope and u = $ctx.sub)\"}}\n", "public.member"},
		"of a child that authorize reads": {`create table note (id int primary key, room int); create table member (room int, u text); create table guest () inherits (member);
			alter table guest enable row level security`,
			"reactive:\n  - {table: note, scopes: [room], authorize: {sql: \"select exists (select 1 from public.member where room = $scope and u = $ctx.sub)\"}}\n", "public.guest"},
		"of what resolveScopes reads": {`create table note (id int primary key, list int); create table list (id int, room int); alter table list enable row level security`,
			"reactive:\n  - {table: note, scopes: [room], resolveScopes: {sql: \"select room from public.list where id = $row.list\"}}\n", "public.list"},
		"of what snapshots read": {secured, "reactive:\n  - {table: note, source: hook, scopes: [room], snapshot: {limit: 10}}\n", "public.note"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := newDatabase(t, c.setup)
			refused(t, database, c.yaml, c.table+" has row level security", rule, "rowSecurity: bypassed")
			if made := pgtest.Query[int](t, database, `select count(*) from pg_publication`); made != 0 {
				t.Error("the start has published it")
			}
			// The superuser that it is reads past them.
			serve(t, database, strings.Replace(c.yaml, "{table: note,", "{table: note, rowSecurity: bypassed,", 1))
		})
	}
}

// With row_security = off the server refuses what it would narrow. No right helps but that of the role.
func TestP76PoliciesThatApplyToTheGateway(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, secured, `create table member (room int, u text, primary key (room, u))`, `insert into member values (1, 'ada')`,
		`alter table member enable row level security`)
	serve(t, database, "reactive:\n  - {table: note, rowSecurity: bypassed, scopes: [room], authorize: {member: {table: member, scope: room, user: u}}}\n").stop(interrupt)
	awaitFreeSlot(t, database)
	role, as := gatewayRole(t, database, "")
	keepsCheckpoint(t, database, role)
	const entry = "reactive:\n  - {table: note, rowSecurity: bypassed, scopes: [room], snapshot: {limit: 10}"
	const bypass = `ALTER ROLE "`
	refused(t, as, "setup: check\n"+entry+"}\n", "apply to role "+role, rule, bypass+role+`" BYPASSRLS`)
	refused(t, as, "setup: check\n"+entry+", authorize: {member: {table: member, scope: room, user: u}}}\n", "apply to role "+role, bypass+role+`" BYPASSRLS`)
	refused(t, as, "setup: check\n"+entry+", authorize: {sql: \"select exists (select 1 from public.member where room = $scope)\"}}\n", "apply to role "+role, bypass+role+`" BYPASSRLS`)
	pgtest.Exec(t, database, `alter role `+role+` bypassrls`)
	g := serve(t, as, "setup: check\n"+entry+"}\n")
	c := connect(t, g)
	c.subscribeWithSnapshot("note", "room", "1").equals(t, database, `select * from note where room = 1`)
	// Where policies come to apply, a snapshot fails and shows nothing.
	pgtest.Exec(t, database, `alter role `+role+` nobypassrls`)
	c.subscribe("note", "room", "2")
	c.expect(`{"type":"error","code":"snapshot_unavailable"}`)
}

// A table that the role may not SELECT has no policies to blame.
func TestP76APrivilegeThatIsMissingIsNoPolicy(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create table note (id int primary key, room int)`, `create table member (room int, u text, primary key (room, u))`)
	const entry = "setup: check\nreactive:\n  - {table: note, scopes: [room], authorize: "
	const byMembers = entry + "{member: {table: member, scope: room, user: u}}}\n"
	serve(t, database, strings.Replace(byMembers, "check", "auto", 1)).stop(interrupt)
	awaitFreeSlot(t, database)
	role, as := gatewayRole(t, database, "")
	keepsCheckpoint(t, database, role)
	pgtest.Exec(t, database, `revoke select on member from `+role)
	for _, yaml := range []string{
		byMembers,
		entry + "{sql: \"select exists (select 1 from public.member where room = $scope)\"}}\n",
		entry + "{sql: \"select 1 from public.note join public.member using (room) where room = $scope\"}}\n",
	} {
		refused(t, as, yaml, "permission denied for table member", "that the gateway's role may SELECT")
		if _, stdout, stderr := doctorOf(t, as, yaml); strings.Contains(stdout+stderr, "BYPASSRLS") {
			t.Errorf("doctor blames policies:\n%s%s", stdout, stderr)
		}
	}
}

func TestP76WithoutAConfigurationTheTableIsLeftOut(t *testing.T) {
	t.Parallel()
	g := serve(t, newDatabase(t, secured, conversations), "")
	line := g.awaitLogged("setup: tables are left out: reactive-gw doctor says why, with the SQL for their owners")
	if line["level"] != "warn" || line["tables"] != "public.note" {
		t.Errorf("logged %v", line)
	}
	if _, status := g.ask("/status"); !strings.Contains(status, "tables left out") || !strings.Contains(status, rule) || !strings.Contains(status, "rowSecurity: bypassed") {
		t.Errorf("the status does not say why:\n%s", status)
	}
	c := connect(t, g)
	c.subscribe("conversation", "id", "1")
	c.send(`{"type":"subscribe","channel":"note","scope":{"col":"id","value":1}}`)
	c.expect(`{"type":"error","code":"unknown_channel"}`)
}

// What operators' queries name without a schema is looked for where nobody else may create.
func TestS1OperatorsQueriesNeedTrustedSchemas(t *testing.T) {
	t.Parallel()
	const entry = "reactive:\n  - {table: note, scopes: [room], snapshot: {limit: 10}, "
	for name, c := range map[string]struct {
		setup string
		yaml  string
		says  []string
	}{
		"a table of public": {``, `authorize: {sql: "select exists (select 1 from member where room = $scope and u = $ctx.sub)"}`,
			[]string{"schema public of the role's search_path is not searched", "PUBLIC may create in it", "public.member", "REVOKE CREATE ON SCHEMA public FROM PUBLIC", "reactive.yaml:"}},
		"a function of public": {`create function allowed(int) returns bool language sql as 'select true'`, `authorize: {sql: "select allowed($scope)"}`,
			[]string{"PUBLIC may create in it", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"}},
		"a table of public, by resolveScopes": {``, `resolveScopes: {sql: "select room from member where u = $row.body"}`,
			[]string{"PUBLIC may create in it", "public.member", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"}},
		"citext of public": {`create extension citext; create table account (mail citext primary key)`,
			`authorize: {sql: "select exists (select 1 from public.account where mail = $ctx.sub and $scope > 0)"}`,
			[]string{"column mail of public.account is of type public.citext", "PUBLIC may create in it", "OPERATOR(public.=)", "public.account", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"}},
		"citext of public, by a view and a domain": {`create extension citext; create domain address as citext; create table account (mail address primary key); create view known as select mail as m from account`,
			`authorize: {sql: "select $ctx.sub in (select m from public.known) and $scope > 0"}`,
			[]string{"column m of public.known is of type public.citext", "OPERATOR(public.=)"}},
		"a value as citext": {`create extension citext`, `authorize: {sql: "select $ctx.sub::public.citext = 'Ada' and $scope > 0"}`, []string{"of type public.citext", "OPERATOR(public.=)"}},
		"a role's own schema": {`create schema postgres; create table postgres.vip (u text); create role lender_%[1]s; grant all on schema postgres to lender_%[1]s`,
			`authorize: {sql: "select exists (select 1 from vip where u = $ctx.sub) and $scope > 0"}`,
			[]string{"schema postgres of the role's search_path is not searched", "lender_", "postgres.vip", "REVOKE CREATE ON SCHEMA postgres FROM lender_"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			database := newDatabase(t, `create table note (id int primary key, room int, body text)`, `create table member (room int, u text)`)
			if strings.Contains(c.setup, "%[1]s") {
				role := "lender_" + slotOf(t, database)
				t.Cleanup(func() { pgtest.Exec(t, maintenance(database), `drop role `+role) })
				t.Cleanup(func() { pgtest.Exec(t, database, `drop owned by `+role) })
			}
			pgtest.Exec(t, database, strings.ReplaceAll(c.setup, "%[1]s", slotOf(t, database)), `grant create on schema public to public`)
			yaml := newIssuer(t).settings + entry + c.yaml + "}\n"
			refused(t, database, yaml, c.says...)
			// Both remedies work.
			if strings.Contains(c.yaml, "exists") && strings.Contains(c.yaml, "public.account") {
				serve(t, database, strings.Replace(yaml, "mail = ", "mail OPERATOR(public.=) ", 1)).stop(interrupt)
				awaitFreeSlot(t, database)
			}
			if strings.Contains(c.yaml, "from member") {
				serve(t, database, strings.Replace(yaml, "from member", "from public.member", 1)).stop(interrupt)
				awaitFreeSlot(t, database)
			}
			if !strings.Contains(c.yaml, "vip") {
				pgtest.Exec(t, database, `revoke create on schema public from public`)
				serve(t, database, yaml)
			}
		})
	}
}

// With its own operator, citext compares as citext does, wherever it is.
func TestS1MembersAreComparedByTheirTypesOwnOperator(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create schema ext`, `create extension citext schema ext`, `create type public.mood as enum ('glad', 'sad')`, `create domain public.feeling as public.mood`,
		`create table note (id int primary key, f feeling)`, `create table member (f feeling, u ext.citext)`, `insert into member values ('glad', 'ada')`)
	i := newIssuer(t)
	g := serve(t, database, i.settings+"reactive:\n  - {table: note, scopes: [f], snapshot: {limit: 10}, authorize: {member: {table: member, scope: f, user: u}}}\n")
	c := connectAs(t, g, i.token("ada", time.Hour))
	c.subscribeWithSnapshot("note", "f", `"glad"`)
	c.send(`{"type":"subscribe","channel":"note","scope":{"col":"f","value":"sad"}}`)
	c.expect(`{"type":"error","code":"forbidden"}`)
	other := connectAs(t, g, i.token("ADA", time.Hour)) // equal to citext, and another user
	other.send(`{"type":"subscribe","channel":"note","scope":{"col":"f","value":"glad"}}`)
	other.expect(`{"type":"error","code":"forbidden"}`)
}
