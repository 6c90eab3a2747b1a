package auth

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// database gives a fresh database and, by name, the ways in which pgx may send a query.
func database(t *testing.T, setup ...string) map[string]QueryRow {
	t.Helper()
	url := pgtest.Database(t)
	pgtest.Exec(t, url, setup...)
	modes := map[string]QueryRow{}
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeExec, pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec} {
		config, err := pgxpool.ParseConfig(url)
		if err != nil {
			t.Fatal(err)
		}
		config.ConnConfig.DefaultQueryExecMode = mode
		pool, err := pgxpool.NewWithConfig(t.Context(), config)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(pool.Close)
		modes[mode.String()] = func(ctx context.Context, sql string, args ...any) RowScanner { return pool.QueryRow(ctx, sql, args...) }
	}
	return modes
}

const (
	adaUUID = "0b5e9d4c-8f1a-4c57-9a51-6f0d3b2a1c00"
	eveUUID = "c0ffee00-8f1a-4c57-9a51-6f0d3b2a1c00"
)

func TestSQLOnPostgreSQL(t *testing.T) {
	modes := database(t,
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
		where + "level > $ctx.f)":                            {Unavailable, Unavailable}, // 2.5 is no int
		where + "level > $ctx.f::float8)":                    {"", Forbidden},
		where + "plan = $ctx.plan)":                          {"", Unavailable}, // none is no plan
		where + "active = $ctx.active and name = $ctx.name)": {"", Forbidden},
		where + "role = any($ctx.roles))":                    {"", Forbidden},
		where + "name = $ctx.evil)":                          {Forbidden, Forbidden},
		where + "level = $ctx.number)":                       {Unavailable, Unavailable},
		where + "user_id = $ctx.sub and $scope.col = 'conversation_id' and $channel = 'message')": {"", Forbidden},
		where + "user_id = $ctx.sub and name <> '$ctx.nobody' /* $it's */)":                       {"", Forbidden},
		"select active from member where conversation_id = $scope and user_id = $ctx.sub":         {"", Forbidden}, // no row
		"select null::bool from member where conversation_id = $scope":                            {Forbidden, Forbidden},
		"select false union all select true where $scope = '1'":                                   {Forbidden, Forbidden},
		"select name from member where conversation_id = $scope":                                  {Unavailable, Unavailable},
		"select 1 / 0 = 1":         {Unavailable, Unavailable},
		"select true; select true": {Unavailable, Unavailable},
		"selec":                    {Unavailable, Unavailable},
	} {
		for mode, query := range modes {
			t.Run(mode+"/"+statement, func(t *testing.T) {
				a := newSQLAuthorizer(t, SQLOptions{Query: query, Statement: statement, Column: "conversation_id", Timeout: time.Minute})
				about := conversation(int64(9007199254740993))
				for p, want := range map[*Principal]Reason{ada: want.ada, eve: want.eve} {
					err := a.Authorize(t.Context(), p, about)
					wantDenied(t, err, want)
					if err != nil && (strings.Contains(err.Error(), "1=1") || strings.Contains(err.Error(), "none is")) {
						t.Errorf("the error shows a claim: %v", err)
					}
				}
			})
		}
	}
}

func TestCheckFindsWhatIsWrongBeforeAClientDoes(t *testing.T) {
	modes := database(t, `create table member (conversation_id bigint, user_id uuid)`)
	for statement, wrong := range map[string]string{
		"select exists (select 1 from member where conversation_id = $scope and user_id = $ctx.sub)": "",
		"select exists (select 1 from members where conversation_id = $scope)":                       "members",
		"select exists (select 1 from member where conversation = $scope)":                           "conversation",
		"select true where false and $scope = ''":                                                    "",
		"select 'yes' where $scope::text is null":                                                    "bool",
	} {
		for mode, query := range modes {
			a := newSQLAuthorizer(t, SQLOptions{Query: query, Statement: statement, Column: "conversation_id"})
			err := a.Check(t.Context())
			if (wrong == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), wrong)) {
				t.Errorf("%s: %s: %v", mode, statement, err)
			}
		}
	}
}

func TestMembersOnPostgreSQL(t *testing.T) {
	modes := database(t,
		`create schema "Chat"`,
		`create table "Chat"."the ""member""" ("Conversation" bigint, "user id" uuid)`,
		`insert into "Chat"."the ""member""" values (9007199254740993, '`+adaUUID+`'), (2, null), (null, '`+adaUUID+`')`,
	)
	options := MemberOptions{
		Schema: "Chat", Table: `the "member"`, Scope: "Conversation", User: "user id", Column: "conversation_id", Claim: []string{"user", "id"},
	}
	user := func(id any) *Principal { return principal(t, map[string]any{"user": map[string]any{"id": id}}) }
	for mode, query := range modes {
		t.Run(mode, func(t *testing.T) {
			options.Query = query
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
				{user("nobody"), conversation(int64(9007199254740993)), Unavailable},
				{user(nil), conversation(int64(9007199254740993)), UnusableClaims},
				{user(adaUUID), Subscription{"message", Scope{"author_id", int64(9007199254740993)}}, Forbidden},
				{nil, conversation(int64(9007199254740993)), Forbidden},
			} {
				t.Run(fmt.Sprint(i), func(t *testing.T) { wantDenied(t, m.Authorize(t.Context(), c.p, c.about), c.want) })
			}
		})
	}
}

// TestWhatIsRememberedIsForgotten is what a hub does when a table of members has changed.
func TestWhatIsRememberedIsForgotten(t *testing.T) {
	url := pgtest.Database(t)
	pgtest.Exec(t, url, `create table member (conversation_id bigint, user_id text)`, `insert into member values (7, 'ada'), (7, 'eve')`)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	m, err := NewMember(MemberOptions{
		Query:  func(ctx context.Context, sql string, args ...any) RowScanner { return pool.QueryRow(ctx, sql, args...) },
		Schema: "public", Table: "member", Scope: "conversation_id", User: "user_id", CacheFor: time.Hour,
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
