package auth

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// postgres is a Database as the gateway has one. It counts the round trips, of queries and of what asks what they are.
type postgres struct {
	pool  *pgxpool.Pool
	trips atomic.Int64
}

func (p *postgres) With(ctx context.Context, f func(Connection) error) error {
	return p.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) error { return f(postgresConnection{p, c.Conn().PgConn()}) })
}

type postgresConnection struct {
	*postgres
	conn *pgconn.PgConn
}

func (c postgresConnection) Describe(ctx context.Context, sql string) (d Description, err error) {
	c.trips.Add(1)
	told, err := c.conn.Prepare(ctx, "", sql, nil)
	if err != nil {
		return d, err
	}
	d.Parameters = told.ParamOIDs
	for _, field := range told.Fields {
		d.Columns = append(d.Columns, field.DataTypeOID)
	}
	if told.Fields != nil && d.Columns == nil {
		d.Columns = []uint32{}
	}
	return d, nil
}

func (c postgresConnection) Ask(ctx context.Context, sql string, arguments [][]*string) (answers []Answer, err error) {
	c.trips.Add(1)
	found, err := wal.Ask(ctx, c.conn, sql, arguments)
	for _, a := range found {
		answers = append(answers, Answer(a))
	}
	return answers, err
}

// database gives a fresh database.
func database(t *testing.T, setup ...string) *postgres {
	t.Helper()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, setup...)
	return open(t, url)
}

func open(t *testing.T, url string) *postgres {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 4
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &postgres{pool: pool}
}

const (
	adaUUID = "0b5e9d4c-8f1a-4c57-9a51-6f0d3b2a1c00"
	eveUUID = "c0ffee00-8f1a-4c57-9a51-6f0d3b2a1c00"
)

func TestSQLOnPostgreSQL(t *testing.T) {
	db := database(t,
		`create type plan as enum ('free', 'paid')`,
		`create table member (conversation_id bigint, user_id uuid, name text, level int, plan plan, active bool, role text)`,
		`insert into member values (9007199254740993, '`+adaUUID+`', 'ada', 3, 'paid', true, 'editor'), (2, '`+adaUUID+`', 'ada', 1, 'free', false, 'reader')`,
	)
	ada := principal(t, map[string]any{
		"sub": adaUUID, "name": "ada", "level": 2, "plan": "paid", "roles": []any{"owner", "editor"}, "active": true, "f": 2.5,
		"evil": "' or true --", "number": "1 or 1=1",
	})
	eve := principal(t, map[string]any{
		"sub": strings.ToUpper(eveUUID), "name": "eve", "level": 9, "plan": "none", "roles": []any{}, "active": true, "f": 1e300,
		"evil": "' or true --", "number": "1 or 1=1",
	})
	const where = "select exists (select 1 from member where conversation_id = $scope and "
	for statement, want := range map[string]struct{ ada, eve Reason }{
		where + "user_id = $ctx.sub)":                        {"", Forbidden},
		where + "name = $ctx.name)":                          {"", Forbidden},
		where + "level > $ctx.level)":                        {"", Forbidden},
		where + "level > $ctx.f)":                            {UnusableClaims, UnusableClaims}, // 2.5 is no int
		where + "level > $ctx.f::float8)":                    {"", Forbidden},
		where + "plan = $ctx.plan)":                          {"", UnusableClaims}, // none is no plan
		where + "active = $ctx.active and name = $ctx.name)": {"", Forbidden},
		where + "role = any($ctx.roles))":                    {"", Forbidden},
		where + "name = $ctx.evil)":                          {Forbidden, Forbidden},
		where + "level = $ctx.number)":                       {UnusableClaims, UnusableClaims},
		where + "user_id = $ctx.sub and $scope.col = 'conversation_id' and $channel = 'message')": {"", Forbidden},
		where + "user_id = $ctx.sub and name <> '$ctx.nobody' /* $it's */)":                       {"", Forbidden},
		"select active from member where conversation_id = $scope and user_id = $ctx.sub":         {"", Forbidden}, // no row
		"select null::bool from member where conversation_id = $scope":                            {Forbidden, Forbidden},
		"select false union all select true where $scope = '1'":                                   {Forbidden, Forbidden},
		"select name from member where conversation_id = $scope":                                  {"", ""},
		"select name from member where conversation_id = $scope and user_id = $ctx.sub;":          {"", Forbidden},
		"select 1 from member where user_id = $ctx.sub order by level limit 1 -- one is enough":   {"", Forbidden},
		"select from member where user_id = $ctx.sub":                                             {"", Forbidden},
		"select * from member a, member b where a.user_id = $ctx.sub and b.level < $ctx.level":    {"", Forbidden},
		"select 1 from member where user_id = $ctx.sub limit $ctx.level::int":                     {"", Forbidden}, // not together
		"select count(*) > 1 from member where user_id = $ctx.sub":                                {"", Forbidden},
		"select bool_or($ctx.sub = user_id::text) from member":                                    {"", Forbidden},
		"select max($ctx.level::int) = 2 from member":                                             {"", Forbidden}, // not together
		"with m as (select * from member where user_id = $ctx.sub) select exists (select from m)": {"", Forbidden},
		"values ($ctx.name = 'ada')":                                                              {"", Forbidden},
		"select 1 from member where user_id = $ctx.sub union select 2 where $ctx.name = 'eve'":    {"", ""},
		"(select active from member where user_id = $ctx.sub order by level desc)":                {"", Forbidden},
		"(select active from member where user_id = $ctx.sub order by level)":                     {Forbidden, Forbidden},
		"select 1 / 0 = 1":         {Unavailable, Unavailable},
		"select true; select true": {Unavailable, Unavailable},
		"selec":                    {Unavailable, Unavailable},
	} {
		t.Run(statement, func(t *testing.T) {
			a := newSQLAuthorizer(t, SQLOptions{Database: db, Statement: statement, Column: "conversation_id", Timeout: time.Minute})
			about := conversation(int64(9007199254740993))
			var arguments [][]*string
			for i, p := range []*Principal{ada, eve} {
				err := a.Authorize(t.Context(), p, about)
				wantDenied(t, err, []Reason{want.ada, want.eve}[i])
				if err != nil && (strings.Contains(err.Error(), "1=1") || strings.Contains(err.Error(), "none is")) {
					t.Errorf("the error shows a claim: %v", err)
				}
				values, err := a.statement.bind(p, about)
				if err != nil {
					t.Fatal(err)
				}
				arguments = append(arguments, pointers(values))
			}
			// Asked together, each gets the answer that it gets alone.
			err := db.With(t.Context(), func(c Connection) error {
				verdicts, err := a.asker.query.run(t.Context(), c, [][]*string{arguments[1], arguments[0], arguments[1], arguments[0]})
				for i, v := range verdicts {
					want := []Reason{want.eve, want.ada}[i%2]
					if v.allowed != (want == "") || (v.err != nil) != (want == Unavailable || want == UnusableClaims) {
						t.Errorf("together, %d: %+v, want %q", i, v, want)
					}
				}
				return err
			})
			if err != nil && !coded(err) {
				t.Error(err)
			}
		})
	}
}

func pointers(values []string) []*string {
	pointers := make([]*string, len(values))
	for i := range values {
		pointers[i] = &values[i]
	}
	return pointers
}

func TestCheckFindsWhatIsWrongBeforeAClientDoes(t *testing.T) {
	db := database(t, `create table member (conversation_id bigint, user_id uuid)`,
		`create function strictly(n bigint) returns bool language plpgsql as $$ begin if n is null then raise 'no number'; end if; return true; end $$`)
	for statement, wrong := range map[string]string{
		"select exists (select 1 from member where conversation_id = $scope and user_id = $ctx.sub)": "",
		"select exists (select 1 from members where conversation_id = $scope)":                       "members",
		"select exists (select 1 from member where conversation = $scope)":                           "conversation",
		"select true where false and $scope = ''":                                                    "",
		"select 1 from member where conversation_id = $scope":                                        "",
		"select from member where conversation_id = $scope":                                          "",
		"select conversation_id from member group by 1 having count(*) > $ctx.n::int":                "",
		"select a.c from (select count(*) c from member where user_id = $ctx.sub) a where a.c > 0":   "",
		"select strictly($scope)":                                                                "", // NULL is not what clients have
		"select 1 where $ctx.sub = 'ada'":                                                        "",
		"select * from member where conversation_id = $scope":                                    "",
		"select count(*) from member where conversation_id = $scope":                             "a row for every client",
		"select coalesce(max(user_id::text), 'none') from member where conversation_id = $scope": "a row for every client",
		"select (select 1 from member where conversation_id = $scope)":                           "a row for every client",
		"select 1": "a row for every client",
		"select exists (select 1 from member where conversation_id = $scope)::text":          "a row for every client",
		"select count(*) from member where conversation_id = $scope order by 1 limit 1":      "a row for every client",
		"select user_id is null, conversation_id from member where conversation_id = $scope": "select the boolean alone",
		"update member set user_id = null where conversation_id = $scope":                    "neither",
		"select true; select true": "42601",
		"":                         "neither",
	} {
		a := newSQLAuthorizer(t, SQLOptions{Database: db, Statement: statement, Column: "conversation_id"})
		err := a.Check(t.Context())
		if (wrong == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), wrong)) {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestMembersOnPostgreSQL(t *testing.T) {
	db := database(t,
		`create schema "Chat"`,
		`create table "Chat"."the ""member""" ("Conversation" bigint, "user id" uuid)`,
		`insert into "Chat"."the ""member""" values (9007199254740993, '`+adaUUID+`'), (2, null), (null, '`+adaUUID+`')`,
	)
	options := MemberOptions{
		Schema: "Chat", Table: `the "member"`, Scope: "Conversation", User: "user id", Column: "conversation_id", Claim: []string{"user", "id"},
	}
	user := func(id any) *Principal { return principal(t, map[string]any{"user": map[string]any{"id": id}}) }
	options.Database = db
	m, err := NewMember(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for i, c := range []struct {
		p     *Principal
		about Subscription
		want  Reason
	}{
		{user(adaUUID), conversation(int64(9007199254740993)), ""},
		{user(adaUUID), conversation("9007199254740993"), ""},
		{user(adaUUID), conversation(int64(9007199254740992)), Forbidden},
		{user(adaUUID), conversation(int64(2)), Forbidden},
		{user(eveUUID), conversation(int64(9007199254740993)), Forbidden},
		// Another way to write the same UUID is another user: a change of the table would not be seen to concern it.
		{user(strings.ToUpper(adaUUID)), conversation(int64(9007199254740993)), Forbidden},
		{user(adaUUID), conversation("09007199254740993"), Forbidden},
		{user("nobody"), conversation(int64(9007199254740993)), UnusableClaims},
		{user(nil), conversation(int64(9007199254740993)), UnusableClaims},
		{user(adaUUID), Subscription{"message", Scope{"author_id", int64(9007199254740993)}}, Forbidden},
		{nil, conversation(int64(9007199254740993)), Forbidden},
	} {
		t.Run(fmt.Sprint(i), func(t *testing.T) { wantDenied(t, m.Authorize(t.Context(), c.p, c.about), c.want) })
	}
}

// TestWhatIsRememberedIsForgotten is what a hub does when a table of members has changed.
func TestWhatIsRememberedIsForgotten(t *testing.T) {
	url := pgtest.Database(t)
	pgtest.Exec(t, url, `create table member (conversation_id bigint, user_id text)`, `insert into member values (7, 'ada'), (7, 'eve')`)
	m, err := NewMember(MemberOptions{
		Database: open(t, url),
		Schema:   "public", Table: "member", Scope: "conversation_id", User: "user_id", CacheFor: time.Hour,
	})
	if err != nil {
		t.Fatal(err)
	}
	ada, eve := principal(t, map[string]any{"sub": "ada"}), principal(t, map[string]any{"sub": "eve"})
	about := conversation(int64(7))
	wantDenied(t, m.Authorize(t.Context(), ada, about), "")
	wantDenied(t, m.Authorize(t.Context(), eve, about), "")
	pgtest.Exec(t, url, `delete from member where user_id = 'ada'`)
	wantDenied(t, m.Authorize(t.Context(), ada, about), "") // remembered
	m.Forget()
	wantDenied(t, m.Authorize(t.Context(), ada, about), Forbidden)
	wantDenied(t, m.Authorize(t.Context(), eve, about), "")
}

// TestTheStatementIsReadAsPostgreSQLReadsIt compares the two: a placeholder that is really inside a literal or a comment
// must stay, so PostgreSQL must see as many parameters as were found.
func TestTheStatementIsReadAsPostgreSQLReadsIt(t *testing.T) {
	conn, err := pgx.Connect(t.Context(), pgtest.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	for i, sql := range []string{
		`select $scope = 'a' and '$scope' <> 'x'`, `select 'it''s $scope' = $scope`, `select '\' = $scope or ' $x' = ''`,
		`select E'\' $scope' = $scope`, `select e'\\' = $scope`, "select E'a'\n '\\' $scope' = $scope",
		"select E'a' -- x\n '\\' $scope' = $scope", "select E'a'\n -- 'x\n '\\' $scope' = $scope", "select 'a'\n '\\' = $scope",
		`select U&'\0024scope' = $scope`, `select 1 as "$scope" where 'a' = $scope`, `select $$ $scope $$ = $scope`,
		`select $a$ $scope $$ $b$ $a$ = $scope`, `select $scope$ $ctx.a $scope$ = $scope`, "select -- $scope\n$scope = 'a'",
		`select /* /* $scope */ $scope */ $scope = 'a'`, `select 1 as price$scope where 'a' = $scope`, "select -1 --$scope\n-$scope::int",
		`select array[$scope] = '{}'`, `select '{"a": 1}'::jsonb->>'$scope' = $scope`, `select B'1' = $scope::bit, N'$scope' = 'a'`,
	} {
		s, err := parseStatement(sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		description, err := conn.Prepare(t.Context(), fmt.Sprint("s", i), s.text)
		if err != nil {
			t.Errorf("%s\n became %s: %v", sql, s.text, err)
			continue
		}
		if len(description.ParamOIDs) != 1 || len(s.parameters) != 1 {
			t.Errorf("%s\n became %s with %d parameters, and PostgreSQL sees %d", sql, s.text, len(s.parameters), len(description.ParamOIDs))
		}
	}
}

// A column that the query names and that is dropped makes it fail, also where many questions are asked together.
func TestW34AColumnThatIsGoneLetsNobodyIn(t *testing.T) {
	db := database(t, `create table member (conversation_id bigint, p2 text, n bigint)`, `insert into member values (1, 'somebody', 1)`)
	s, err := parseStatement("select 1 from member where conversation_id = $scope and p2 = $ctx.sub and n > 0")
	if err != nil {
		t.Fatal(err)
	}
	q := &query{statement: s}
	one, ada, eve := "1", "ada", "eve"
	ask := func() (verdicts []verdict, err error) {
		err = db.With(t.Context(), func(c Connection) (err error) {
			verdicts, err = q.run(t.Context(), c, [][]*string{{&one, &ada}, {&one, &eve}})
			return err
		})
		return verdicts, err
	}
	if verdicts, err := ask(); err != nil || verdicts[0].allowed || verdicts[1].allowed || q.shape.together == "" {
		t.Fatalf("before: %v, %v", verdicts, err)
	}
	if _, err := db.pool.Exec(t.Context(), "alter table member drop column p2, drop column n"); err != nil {
		t.Fatal(err)
	}
	if verdicts, err := ask(); err == nil {
		t.Errorf("without the columns: %v", verdicts)
	}
}
