package auth

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func conversation(id any) Subscription {
	return Subscription{Channel: "message", Scope: Scope{Column: "conversation_id", Value: id}}
}

func TestAuthorizeByExpression(t *testing.T) {
	ada := principal(t, map[string]any{"sub": "ada", "org": map[string]any{"id": 7}, "conversations": []any{1, 2}})
	for source, c := range map[string]struct {
		about Subscription
		want  Reason
	}{
		"scope.value in ctx.conversations":                       {conversation(int64(2)), ""},
		"scope.value in ctx.conversations || false":              {conversation(int64(3)), Forbidden},
		"scope.value == ctx.org.id":                              {conversation(int64(7)), ""},
		"ctx.org.id == scope.value":                              {conversation("7"), Forbidden},
		"scope.col == 'conversation_id' && channel == 'message'": {conversation("x"), ""},
		"channel != 'message'":                                   {conversation("x"), Forbidden},
		"scope.value == true":                                    {conversation(true), ""},
		"scope.none == 1":                                        {conversation(true), EvaluationFailed},
		"ctx.none || channel == 'message'":                       {conversation("x"), ""},
		"ctx.none":                                               {conversation("x"), EvaluationFailed},
		"ctx.sub":                                                {conversation("x"), EvaluationFailed},
		"channel == 'message' && true":                           {conversation(1.5), Forbidden}, // no scope has such a value
		"[1,2,3,4,5,6,7,8,9].all(a, [1,2,3,4,5,6,7,8,9].all(b, [1,2,3,4,5,6,7,8,9].all(c, [1,2,3,4,5,6,7,8,9].all(d, a+b+c+d != 0))))": {conversation("x"), TooCostly},
	} {
		a, err := NewCEL(source, nil)
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		t.Run(source, func(t *testing.T) {
			wantDenied(t, a.Authorize(t.Context(), ada, c.about), c.want)
			wantDenied(t, a.Authorize(t.Context(), nil, c.about), Forbidden)
		})
	}
	for _, source := range []string{"row.private", "'yes'", "scope.value ==", "user.id == 1"} {
		if _, err := NewCEL(source, nil); err == nil || !strings.HasPrefix(err.Error(), "authorize") {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// answers is a database that gives one answer to every query, which is a boolean.
type answers struct {
	mu     sync.Mutex
	asked  [][]any
	answer func(ctx context.Context) (allowed *bool, err error)
}

func (a *answers) With(_ context.Context, f func(Connection) error) error { return f(a) }

// Describe says of no parameter what type it has, so that every question is asked alone.
func (a *answers) Describe(_ context.Context, sql string) (Description, error) {
	return Description{Parameters: make([]uint32, strings.Count(sql, "$")), Columns: []uint32{boolOID}}, nil
}

func (a *answers) Ask(ctx context.Context, _ string, arguments [][]*string) (answers []Answer, err error) {
	for _, list := range arguments {
		var values []any
		for _, text := range list {
			values = append(values, *text)
		}
		a.mu.Lock()
		a.asked = append(a.asked, values)
		a.mu.Unlock()
		allowed, err := a.answer(ctx)
		if err != nil {
			return nil, err
		}
		given := Answer{Row: true}
		if allowed != nil {
			text := strconv.FormatBool(*allowed)[:1]
			given.First = &text
		}
		answers = append(answers, given)
	}
	return answers, nil
}

func (a *answers) count() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return len(a.asked)
}

func allow(context.Context) (*bool, error) {
	yes := true
	return &yes, nil
}

func newSQLAuthorizer(t testing.TB, options SQLOptions) *SQL {
	t.Helper()
	a, err := NewSQL(options)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func TestWhatIsBound(t *testing.T) {
	db := &answers{answer: allow}
	a := newSQLAuthorizer(t, SQLOptions{
		Database: db, Statement: "select f($scope, $scope.col, $channel, $ctx.sub, $ctx.n, $ctx.f, $ctx.b, $ctx.roles, $ctx.org.id)",
	})
	claims := map[string]any{
		"sub": "ada'; drop table member; --", "n": int64(9007199254740993), "f": 1e21, "b": false,
		"roles": []any{`a"b\c`, "", "NULL", 7, true}, "org": map[string]any{"id": "o"},
	}
	wantDenied(t, a.Authorize(t.Context(), principal(t, claims), conversation(int64(42))), "")
	want := []any{
		"42", "conversation_id", "message", "ada'; drop table member; --", "9007199254740993", "1e+21", "false",
		`{"a\"b\\c","","NULL","7","true"}`, "o",
	}
	if !reflect.DeepEqual(db.asked[0], want) {
		t.Errorf("bound %v", db.asked[0])
	}
	for name, broken := range map[string]any{
		"missing": "", "null": nil, "an object": map[string]any{}, "a list of lists": []any{[]any{}}, "a list with null": []any{nil}, "NUL": "a\x00b",
	} {
		claims := map[string]any{"sub": "s", "n": 1, "f": 1, "b": 1, "roles": broken, "org": map[string]any{"id": "o"}}
		if name == "missing" {
			delete(claims, "roles")
		}
		wantDenied(t, a.Authorize(t.Context(), principal(t, claims), conversation(int64(42))), UnusableClaims)
	}
	wantDenied(t, a.Authorize(t.Context(), principal(t, claims), conversation("a\x00b")), Forbidden)
	wantDenied(t, a.Authorize(t.Context(), principal(t, claims), conversation(nil)), Forbidden)
	wantDenied(t, a.Authorize(t.Context(), nil, conversation("a")), Forbidden)
	if db.count() != 1 {
		t.Errorf("asked %d times", db.count())
	}
}

func TestADatabaseThatFailsDenies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ada := principal(t, map[string]any{"sub": canary})
		for name, c := range map[string]struct {
			answer func(context.Context) (*bool, error)
			want   Reason
		}{
			"NULL":       {func(context.Context) (*bool, error) { return nil, nil }, Forbidden},
			"an error":   {func(context.Context) (*bool, error) { return nil, errors.New("invalid input: " + canary) }, Unavailable},
			"too slow":   {func(ctx context.Context) (*bool, error) { <-ctx.Done(); return nil, ctx.Err() }, Unavailable},
			"both":       {func(context.Context) (*bool, error) { yes := true; return &yes, errors.New(canary) }, Unavailable},
			"true again": {allow, ""},
		} {
			db := &answers{answer: c.answer}
			a := newSQLAuthorizer(t, SQLOptions{Database: db, Statement: "select f($ctx.sub)", CacheFor: time.Minute})
			for range 2 {
				began := time.Now()
				err := a.Authorize(t.Context(), ada, conversation(int64(1)))
				wantDenied(t, err, c.want)
				if err != nil && strings.Contains(err.Error(), canary) {
					t.Errorf("%s: the error shows the claim: %v", name, err)
				}
				if took := time.Since(began); took > 2*time.Second {
					t.Errorf("%s: it took %s", name, took)
				}
			}
			// A no is remembered as a yes is; a failure is not, and is asked about again where the connection may be at fault.
			want := map[string]int{"an error": 4, "both": 4, "too slow": 2}[name]
			if want = max(want, 1); db.count() != want {
				t.Errorf("%s: asked %d times, want %d", name, db.count(), want)
			}
		}
	})
}

func TestAnswersOfADatabaseHoldForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db := &answers{answer: allow}
		a := newSQLAuthorizer(t, SQLOptions{
			Database: db, Statement: "select f($scope, $ctx.sub)", Column: "conversation_id", CacheFor: time.Minute,
		})
		ada, eve := principal(t, map[string]any{"sub": "ada", "jti": "1"}), principal(t, map[string]any{"sub": "eve"})
		again := principal(t, map[string]any{"sub": "ada", "jti": "2"})
		for range 3 {
			for _, p := range []*Principal{ada, eve, again} {
				wantDenied(t, a.Authorize(t.Context(), p, conversation(int64(1))), "")
				wantDenied(t, a.Authorize(t.Context(), p, conversation(int64(2))), "")
			}
		}
		if db.count() != 4 {
			t.Errorf("asked %d times about 2 users and 2 conversations", db.count())
		}
		time.Sleep(time.Minute)
		wantDenied(t, a.Authorize(t.Context(), ada, conversation(int64(1))), "")
		if db.count() != 5 {
			t.Errorf("asked %d times", db.count())
		}
		wantDenied(t, a.Authorize(t.Context(), ada, Subscription{"message", Scope{"author_id", int64(1)}}), Forbidden)
	})
}

func TestSQLThatNobodyShouldStartWith(t *testing.T) {
	query := &answers{answer: allow}
	for name, options := range map[string]SQLOptions{
		"no database":       {Statement: "select true"},
		"an open string":    {Database: query, Statement: "select '"},
		"whose scope":       {Database: query, Statement: "select f($scope)"},
		"a negative time":   {Database: query, Statement: "select true", Timeout: -1},
		"a negative memory": {Database: query, Statement: "select true", CacheFor: -1},
	} {
		if _, err := NewSQL(options); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, options := range []SQLOptions{
		{Database: query, Statement: "select f($scope, $scope.col)"}, {Database: query, Statement: "select f($scope)", Column: "id"},
		{Database: query, Statement: "select $ctx.admin::bool"},
	} {
		if _, err := NewSQL(options); err != nil {
			t.Error(err)
		}
	}
	for _, options := range []MemberOptions{{}, {Database: query, Schema: "public", Table: "member", Scope: "id"}, {Schema: "s", Table: "t", Scope: "a", User: "b"}} {
		if _, err := NewMember(options); err == nil {
			t.Errorf("%v is accepted", options)
		}
	}
}

func TestAuthorizeByWebhook(t *testing.T) {
	ada := principal(t, map[string]any{"sub": canary, "org": map[string]any{"id": int64(9007199254740993)}})
	for name, c := range map[string]struct {
		status int
		body   string
		want   Reason
		asked  int // in two calls
	}{
		"yes":            {200, `{"allowed":true}`, "", 1},
		"no":             {200, `{"allowed":false}`, Forbidden, 1},
		"nothing":        {200, `{}`, Unavailable, 2},
		"a text":         {200, `{"allowed":"true"}`, Unavailable, 2},
		"another name":   {200, `{"Allowed":true}`, Unavailable, 2},
		"an object":      {200, `{"allowed":{"x":true}}`, Unavailable, 2},
		"true alone":     {200, `true`, Unavailable, 2},
		"empty":          {200, ``, Unavailable, 2},
		"forbidden":      {403, `{"allowed":true}`, Forbidden, 2},
		"an error":       {500, `{"allowed":true}`, Unavailable, 2},
		"a redirect":     {302, `{"allowed":true}`, Unavailable, 2},
		"created":        {201, `{"allowed":true}`, Unavailable, 2},
		"nobody":         {0, ``, Unavailable, 2},
		"way too large":  {200, `{"allowed":true}` + strings.Repeat(" ", maxWebhookAnswer), Unavailable, 2},
		"null":           {200, `null`, Unavailable, 2},
		"two answers":    {200, `{"allowed":true}{"allowed":false}`, Unavailable, 2},
		"no JSON at all": {200, canary, Unavailable, 2},
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{}
			s.says(c.status, []byte(c.body))
			a, err := NewAuthorizeWebhook(AuthorizeWebhookOptions{URL: "https://app.example.com/may", CacheFor: time.Minute, Transport: s})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				err = a.Authorize(t.Context(), ada, conversation(int64(42)))
				wantDenied(t, err, c.want)
				if err != nil && strings.Contains(err.Error(), canary) {
					t.Errorf("the error shows what was asked or answered: %v", err)
				}
			}
			if s.asked() != c.asked {
				t.Errorf("asked %d times, want %d", s.asked(), c.asked)
			}
			var posted map[string]any
			decoder := json.NewDecoder(strings.NewReader(s.bodies[0]))
			decoder.UseNumber()
			if err := decoder.Decode(&posted); err != nil {
				t.Fatal(err)
			}
			want := map[string]any{
				"ctx":     map[string]any{"sub": canary, "org": map[string]any{"id": json.Number("9007199254740993")}},
				"channel": "message", "scope": map[string]any{"col": "conversation_id", "value": json.Number("42")},
			}
			if !reflect.DeepEqual(posted, want) || s.requests[0].Method != http.MethodPost {
				t.Errorf("asked %s", s.bodies[0])
			}
			// Another scope, or another client, is another question.
			asked := s.asked()
			_ = a.Authorize(t.Context(), ada, conversation("42"))
			_ = a.Authorize(t.Context(), principal(t, map[string]any{"sub": "eve"}), conversation(int64(42)))
			if s.asked() != asked+2 {
				t.Errorf("asked %d times instead of twice", s.asked()-asked)
			}
			wantDenied(t, a.Authorize(t.Context(), nil, conversation("42")), Forbidden)
			wantDenied(t, a.Authorize(t.Context(), ada, conversation(1.5)), Forbidden)
			a.Close()
		})
	}
	for _, options := range []AuthorizeWebhookOptions{{}, {URL: "http://app.example.com/"}, {URL: "https://app.example.com/", CacheFor: -1}} {
		if _, err := NewAuthorizeWebhook(options); err == nil {
			t.Errorf("%v is accepted", options)
		}
	}
}
