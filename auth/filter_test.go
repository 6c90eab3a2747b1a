package auth

import (
	"errors"
	"strings"
	"testing"
)

func newFilter(t testing.TB, source string) *Filter {
	t.Helper()
	f, err := NewFilter(source, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// message is a row as the gateway would give it.
func message() Values {
	return Values{
		"id": int64(9007199254740993), "author_id": int64(7), "private": true, "body": "hello", "score": 1.5, "deleted_at": nil,
		"sent_at": "2026-03-01T12:00:00+00:00", "tags": []any{"a", "b"}, "doc": map[string]any{"lang": "en", "n": 3.0},
		"weird column": "x", "in": int64(1),
	}
}

func TestFilters(t *testing.T) {
	ada := principal(t, map[string]any{"sub": 7, "name": "ada", "roles": []any{"reader", "editor"}, "org": map[string]any{"id": 3}})
	eve := principal(t, map[string]any{"sub": 8, "name": "eve", "roles": []any{}})
	const yes, no = true, false
	for source, want := range map[string]struct{ ada, eve, shared bool }{
		"true":  {yes, yes, yes},
		"false": {no, no, yes},
		"!row.private || row.author_id == ctx.sub":     {yes, no, no},
		"row.private || row.author_id == ctx.sub":      {yes, yes, yes},
		"!row.private && row.author_id == ctx.sub":     {no, no, yes},
		"row.private && row.author_id == ctx.sub":      {yes, no, no},
		"ctx.sub == row.author_id || row.private":      {yes, yes, yes},
		"row.id == 9007199254740993":                   {yes, yes, yes},
		"row.id == 9007199254740992":                   {no, no, yes},
		"row.score > 1":                                {yes, yes, yes},
		"row.author_id == 7.0":                         {yes, yes, yes},
		"row.author_id == '7'":                         {no, no, yes},
		"row.deleted_at == null":                       {yes, yes, yes},
		"row.sent_at < '2026-03-02'":                   {yes, yes, yes},
		"timestamp(row.sent_at).getFullYear() == 2026": {yes, yes, yes},
		"'a' in row.tags":                              {yes, yes, yes},
		"row.tags.exists(t, t == 'b')":                 {yes, yes, yes},
		"row.doc.lang == 'en' && row.doc.n == 3":       {yes, yes, yes},
		"has(row.doc.lang) && !has(row.doc.none)":      {yes, yes, yes},
		"row['weird column'] == 'x'":                   {yes, yes, yes},
		"row['in'] == 1":                               {yes, yes, yes},
		"row.body.matches('^h.*o$')":                   {yes, yes, yes},
		"row.body.size() == 5":                         {yes, yes, yes},
		"'editor' in ctx.roles":                        {yes, no, no},
		"ctx.roles.exists(r, r == 'editor')":           {yes, no, no},
		"has(ctx.org) && ctx.org.id == 3":              {yes, no, no},
		"ctx['name'] == 'ada'":                         {yes, no, no},
		"ctx.org.id == 3":                              {yes, no, no}, // eve has none: an error
		"ctx.org.id == 3 || row.private":               {yes, yes, yes},
		"row.private ? ctx.sub == 7 : true":            {yes, no, no},
		"row.private ? true : ctx.sub == 7":            {yes, yes, yes},

		// An error means no.
		"row.none":                       {no, no, yes},
		"row.none == 1":                  {no, no, yes},
		"!row.none":                      {no, no, yes},
		"row.none != 1 || ctx.sub == 7":  {yes, no, no},
		"row.none != 1 && ctx.sub == 7":  {no, no, no},
		"row.none != 1 || row.private":   {yes, yes, yes},
		"row.body":                       {no, no, yes},
		"row.doc.none == 1":              {no, no, yes},
		"row.author_id / 0 == 1":         {no, no, yes},
		"row.tags[5] == 'a'":             {no, no, yes},
		"int(row.body) == 1":             {no, no, yes},
		"row.author_id + 'a' == 'x'":     {no, no, yes},
		"row.deleted_at":                 {no, no, yes},
		"ctx.none":                       {no, no, no},
		"ctx.name":                       {no, no, no},
		"row.author_id > 'a' || ctx.sub": {no, no, no},
	} {
		t.Run(source, func(t *testing.T) {
			f := newFilter(t, source)
			var v Verdict
			for range 2 { // a verdict is used again and again
				f.Judge(&v, message())
				allowed, shared := v.Shared()
				if shared != want.shared || (shared && allowed != want.ada) {
					t.Errorf("shared: %v %v, want %v", allowed, shared, want)
				}
				if got := v.Allows(ada); got != want.ada {
					t.Errorf("ada: %v (%v)", got, v.Failure())
				}
				if got := v.Allows(eve); got != want.eve {
					t.Errorf("eve: %v (%v)", got, v.Failure())
				}
				if v.Allows(nil) {
					t.Error("nobody may see it")
				}
			}
			if f.UsesCtx() != strings.Contains(source, "ctx") {
				t.Error("UsesCtx is wrong")
			}
		})
	}
}

func TestNoVerdictIsNo(t *testing.T) {
	var v Verdict
	if allowed, shared := v.Shared(); allowed || shared || v.Allows(principal(t, nil)) || v.Failure() != nil {
		t.Error("the zero value lets somebody through")
	}
	f := newFilter(t, "row.private")
	f.Judge(&v, nil)
	if v.Allows(principal(t, nil)) {
		t.Error("no row is let through")
	}
}

func TestAFailureSaysNothingOfTheRow(t *testing.T) {
	ada := principal(t, map[string]any{"sub": canary})
	for source, want := range map[string]Reason{
		"int(row.body) == 1":                     EvaluationFailed,
		"{'a': 1}[row.body] == 1":                EvaluationFailed,
		"{'a': 1}[ctx.sub] == 1":                 EvaluationFailed,
		"row.body == 1 || row.body":              EvaluationFailed,
		"timestamp(row.body) == null":            EvaluationFailed,
		"duration(row.body) > duration(ctx.sub)": EvaluationFailed,
		"row.body + 1 == ctx.sub":                EvaluationFailed,
		"row.none":                               EvaluationFailed,
	} {
		f := newFilter(t, source)
		var v Verdict
		f.Judge(&v, Values{"body": canary})
		if v.Allows(ada) {
			t.Fatalf("%s is let through", source)
		}
		err := v.Failure()
		wantDenied(t, err, want)
		if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v", source, err)
		}
		// The next row begins anew.
		f.Judge(&v, Values{})
		newFilter(t, "true").Judge(&v, Values{})
		if v.Failure() != nil {
			t.Errorf("%s: the failure stays", source)
		}
	}
}

func TestARowCannotMakeItSlow(t *testing.T) {
	long := make([]any, 300)
	for i := range long {
		long[i] = int64(i)
	}
	ada := principal(t, map[string]any{"sub": 7})
	for source, c := range map[string]struct {
		row  Values
		want Reason
	}{
		"row.l.all(a, row.l.all(b, row.l.all(c, a + b + c >= 0)))": {Values{"l": long}, TooCostly},
		"row.l.all(a, row.l.all(b, a + b != ctx.sub - 100))":       {Values{"l": long}, TooCostly},
		"row.l.map(a, row.l.map(b, row.l)).size() > 0":             {Values{"l": long}, TooCostly},
		"row.s.matches('(a|aa)+$')":                                {Values{"s": strings.Repeat("a", 60_000)}, TooCostly},
		"row.s == 'a'":                                             {Values{"s": strings.Repeat("a", maxValue+1)}, EvaluationFailed},
		"row.s != 'a'":                                             {Values{"s": strings.Repeat("a", maxValue)}, ""},
		"row.d.a == 1":                                             {Values{"d": map[string]any{"a": 1.0, "b": []any{strings.Repeat("a", maxValue)}}}, EvaluationFailed},
		"row.l.size() > 0":                                         {Values{"l": make([]any, maxValue+1)}, EvaluationFailed},
	} {
		var v Verdict
		newFilter(t, source).Judge(&v, c.row)
		allowed := v.Allows(ada)
		if c.want == "" {
			if !allowed {
				t.Errorf("%s: %v", source, v.Failure())
			}
			continue
		}
		if allowed {
			t.Errorf("%s is let through", source)
		}
		wantDenied(t, v.Failure(), c.want)
	}
}

func TestColumnsAreFetchedOnceAndOnlyIfNeeded(t *testing.T) {
	ada := principal(t, map[string]any{"sub": 7})
	f := newFilter(t, "row.private && (row.author_id == ctx.sub || row.author_id == ctx.sub + 1 || row['body'] == 'x')")
	if got := strings.Join(f.Columns(), " "); got != "private author_id body" {
		t.Errorf("columns %q", got)
	}
	fetched := map[string]int{}
	var v Verdict
	f.Judge(&v, counting{message(), fetched})
	for range 10 {
		v.Allows(ada)
	}
	if fetched["private"] != 1 || fetched["author_id"] != 1 || fetched["body"] > 1 || len(fetched) > 3 {
		t.Errorf("fetched %v", fetched)
	}
	private := message()
	private["private"] = false
	clear(fetched)
	f.Judge(&v, counting{private, fetched})
	v.Allows(ada)
	if fetched["body"] > 0 && fetched["private"] != 1 {
		t.Errorf("fetched %v", fetched)
	}
}

type counting struct {
	row     Row
	fetched map[string]int
}

func (c counting) Value(column string) (any, bool) {
	c.fetched[column]++
	return c.row.Value(column)
}

func TestExpressionsThatAreRefused(t *testing.T) {
	for source, hint := range map[string]string{
		"":                                  "",
		"row.":                              "line 1, column",
		"rows.private":                      "undeclared reference to 'rows'",
		"channel == 'message'":              "undeclared reference",
		"now() > timestamp(row.sent_at)":    "undeclared reference",
		"'yes'":                             "says nothing",
		"1 + 1":                             "says nothing",
		"row":                               "says nothing",
		"row == ctx":                        "stands alone",
		"size(row) > 0":                     "stands alone",
		"row[ctx.column] == 1":              "stands alone",
		"'private' in row":                  "stands alone",
		"row.exists(c, c == 'private')":     "stands alone",
		"(true ? row : ctx).private":        "stands alone",
		"dyn(row).private":                  "stands alone",
		"[row][0].private":                  "stands alone",
		"has(row.private)":                  "compare row.private with null",
		"ctx.rows.exists(row, row.private)": "row is taken",
		"ctx.rows.map(ctx, ctx.a) == []":    "ctx is taken",
		"row.body.matches(ctx.pattern)":     "has to be a literal",
		"row.body.matches('(')":             "",
		"row.body.matches('(a{1,100}){5}')": "",
		strings.Repeat("row.private && ", 2000) + "true": "",
	} {
		_, err := NewFilter(source, nil)
		if err == nil || !strings.HasPrefix(err.Error(), "filterRow") || !strings.Contains(err.Error(), hint) {
			t.Errorf("%.60s: %v", source, err)
		}
	}
}

func TestAVerdictSwitchesBetweenFilters(t *testing.T) {
	ada := principal(t, map[string]any{"sub": 7})
	own, open := newFilter(t, "row.author_id == ctx.sub"), newFilter(t, "row.body == 'hello' && row.id > 0 && ctx.sub == 7")
	var v Verdict
	for range 3 {
		own.Judge(&v, Values{"author_id": int64(8)})
		if v.Allows(ada) {
			t.Fatal("let through by the filter before")
		}
		open.Judge(&v, message())
		if !v.Allows(ada) {
			t.Fatal(v.Failure())
		}
	}
}

func TestDeniedIsAnError(t *testing.T) {
	cause := errors.New("connection refused")
	err := error(&Denied{Reason: Unavailable, detail: "ask somebody else", cause: cause})
	if err.Error() != "denied: unavailable: ask somebody else: connection refused" || !errors.Is(err, cause) {
		t.Error(err)
	}
}
