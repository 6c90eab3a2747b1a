package auth

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func shapes() *Types {
	integer, text, uuid := Type{Kind: Integer, Name: "bigint"}, Type{Kind: Text}, Type{Kind: UUID}
	return &Types{
		Columns: map[string]Type{
			"id": integer, "author_id": integer, "customer_id": {Kind: Integer, Name: "integer"}, "private": {Kind: Bool}, "body": {Kind: Text, Name: "text"},
			"owner": {Kind: UUID}, "plan": {Kind: Enum, Name: "plan", Labels: []string{"free", "paid"}}, "score": {Kind: Float, Name: "numeric"},
			"tags": {Kind: List, Element: &text}, "member_ids": {Kind: List, Element: &integer}, "owners": {Kind: List, Element: &uuid}, "doc": {}, "weird column": integer, "at": {Kind: Text, Name: "timestamptz"},
		},
		Claims: map[string]Type{"sub": text, "exp": {Kind: Float}, "done": {Kind: Bool}, "level": {Kind: Integer}, "teams": {Kind: List, Element: &text}},
		Scope:  integer,
	}
}

// W34: what can never be true is refused when it is written, with both types and what to write instead.
func TestW34ComparisonsThatCanNeverBeTrue(t *testing.T) {
	for source, want := range map[string][]string{ // parts of the problem and the fix
		"row.author_id == 'abc'":                              {"row.author_id (bigint)", "'abc' (string)", "never equal", "a number, without quotes"},
		"!row.private || row.author_id == '7'":                {"line 1, column 31", "row.author_id (bigint)", "without quotes"},
		"row.author_id != 'abc'":                              {"row.author_id (bigint)"},
		"row.body == 7":                                       {"row.body (text)", "7 (integer)", "write '7', with quotes"},
		"row.body == row.id":                                  {"row.body (text)", "row.id (bigint)", "string(row.id)"},
		"row.id == row.body":                                  {"int(row.body), or string(row.id)"},
		"row.private == ctx.sub":                              {"row.private (boolean)", "ctx.sub (string)", "bool(ctx.sub)", "authenticate.claims"},
		"row.private == 'true'":                               {"row.private (boolean)", "'true' (string)"},
		"row.private == 1":                                    {"row.private (boolean)", "1 (integer)"},
		"row.author_id == ctx.done":                           {"row.author_id (bigint)", "ctx.done (boolean)"},
		"row.body == ctx.level":                               {"row.body (text)", "ctx.level (integer)", "string(ctx.level)"},
		"row.score == ctx.sub":                                {"row.score (numeric)", "double(ctx.sub)"},
		"row.plan == 'pro'":                                   {"row.plan (plan)", "'pro'", "no such label", "free, paid"},
		"row.plan in ['free', 'pro']":                         {"'pro'", "free, paid"},
		"row.plan == 1":                                       {"row.plan (plan)"},
		"row.owner == 'C0FFEE00-8f1a-4c57-9a51-6f0d3b2a1c00'": {"row.owner (uuid)", "small letters"},
		"row.owner == 'ada'":                                  {"row.owner (uuid)"},
		"row.owner == row.id":                                 {"row.owner (uuid)", "row.id (bigint)"},
		"row.author_id in ['a', 'b']":                         {"row.author_id (bigint)", "'a' (string)"},
		"row.body in row.member_ids":                          {"row.body (text)", "row.member_ids (bigint)"},
		"row.private in ctx.teams":                            {"row.private (boolean)"},
		"ctx.sub in ctx.sub":                                  {"has to be a list"},
		"row.body in ctx.sub":                                 {"row.body (text)", "has to be a list", "roles: [string]"},
		"row.tags == 'a'":                                     {"row.tags (list of string)", "write in"},
		"row.author_id < ctx.sub":                             {"row.author_id (bigint)", "ctx.sub (string)", "no order", "int(ctx.sub)"},
		"row.body > 7":                                        {"row.body (text)"},
		"ctx.sub == 7":                                        {"ctx.sub (string)", "7 (integer)", "write '7'"},
		"ctx.exp == 'never'":                                  {"ctx.exp (number)"},
		"row['weird column'] == 'x'":                          {"row['weird column'] (bigint)"},
		"row.author_id == ctx.sub && row.private == 'x'":      {"row.private (boolean)"},
		"row.tags.exists(t, t == 7)":                          {"7 (integer)"},
		"!row.body":                                           {"never be evaluated", "!"},
		"row.private && row.body":                             {"never be evaluated"},
		"row.author_id.startsWith('7')":                       {"never be evaluated", "startsWith"},
		"row.author_id + 'a' == 'x'":                          {"never be evaluated"},
		"row.body":                                            {"says nothing"},
		"row.private\n  || row.id == 'x'":                     {"line 2, column 13"},
		"row.at > timestamp('2024-01-01T00:00:00Z')":          {"row.at (timestamptz)", "(timestamp)", "write timestamp(row.at)", "timestamp(row.at + 'Z')"},
		"row.at == timestamp('2024-01-01T00:00:00Z')":         {"row.at (timestamptz)", "never equal"},
		"row.body == b'hello'":                                {"row.body (text)", "(bytes)"},
		"row.id == {}":                                        {"row.id (bigint)", "(map)"},
		"row.id in {'7': true}":                               {"row.id (bigint)", "(string)", "write string(row.id)"},
		"row.id > null":                                       {"row.id (bigint)", "null (null)", "no order"},
		"row.doc > null":                                      {"no order"},
		"(row.private ? 'a' : 'b') == row.id":                 {"row.id (bigint)", "write string(row.id)"},
		"(row.private ? row.id : null) == 'x'":                {"(bigint)", "'x' (string)"},
		"row.private == ctx.level":                            {"row.private (boolean)", "(ctx.level != 0)"},
		"row.private in [0, 1]":                               {"true or false"},
	} {
		_, err := NewFilter(source, shapes())
		text := fmt.Sprint(err)
		if m := (*Mismatch)(nil); errors.As(err, &m) {
			text += " | " + m.Fix
		} else if want[0] != "says nothing" {
			t.Errorf("%s: %v", source, err)
		}
		for _, part := range want {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is not in %s", source, part, text)
			}
		}
	}
	for source, part := range map[string]string{
		"scope.value == 'abc'":             "scope.value (integer)",
		"scope.value == ctx.done":          "ctx.done (boolean)",
		"scope.col == 7":                   "scope.col (string)",
		"channel == 7":                     "(string, int)",
		"scope.value in ['general', 'it']": "scope.value (integer)",
	} {
		known := shapes()
		known.Scope.Name = ""
		if _, err := NewCEL(source, known); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", source, err)
		}
	}
	for source, part := range map[string]string{
		"row.plan == 'pro' ? [] : [{'col': 'id', 'value': row.id}]": "'pro'",
		"row.id == 'x' ? [] : [{'col': 'id', 'value': row.id}]":     "row.id (bigint)",
	} {
		if _, err := NewScopeResolver(source, shapes()); err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

// W34: an integer column equals a claim that is a string of its digits, and so a UUID in capitals; what else can be true stays.
func TestW34ComparisonsThatMeanWhatTheySay(t *testing.T) {
	row := Values{
		"id": int64(9007199254740993), "author_id": int64(7), "customer_id": int64(-3), "private": true, "body": "hello", "owner": adaUUID, "plan": "free",
		"score": 1.5, "tags": []any{"a", "7"}, "member_ids": []any{int64(5), int64(7)}, "owners": []any{adaUUID}, "doc": map[string]any{"n": 7.0, "s": "7"}, "weird column": int64(7), "at": "2024-01-02T00:00:00+00:00",
	}
	const yes, no = true, false
	for source, want := range map[string]struct {
		sub any
		is  bool
	}{
		"row.author_id == ctx.sub":                                  {"7", yes},
		"ctx.sub == row.author_id":                                  {"7", yes},
		"row.author_id != ctx.sub":                                  {"7", no},
		"!row.private || row.author_id == ctx.sub":                  {"7", yes},
		"row.customer_id == ctx.sub":                                {"-3", yes},
		"(row.private ? row.author_id : row.id) == ctx.sub":         {"7", yes},
		"(row.private ? row.author_id : null) == ctx.sub":           {"7", yes},
		"ctx.sub in [row.author_id, row.owner]":                     {"7", yes},
		"ctx.sub in [row.owner, row.author_id] ":                    {strings.ToUpper(adaUUID), yes},
		"row.author_id in {7: true}":                                {"7", yes},
		"row.doc == null || row.id != null":                         {"7", yes},
		"timestamp(row.at) > timestamp('2024-01-01T00:00:00Z')":     {"7", yes},
		"row.author_id == ctx.sub ":                                 {"07", no},
		"row.author_id == ctx.sub  ":                                {"+7", no},
		"row.author_id == ctx.sub   ":                               {"7 ", no},
		"row.author_id == ctx.sub    ":                              {"7.0", no},
		"row.author_id == ctx.sub     ":                             {"", no},
		"row.author_id == ctx.sub      ":                            {"٧", no},
		"row.author_id == ctx.sub       ":                           {"8", no},
		"row.author_id == ctx['sub']":                               {"7", yes},
		"row['author_id'] == ctx.sub":                               {"7", yes},
		"row['weird column'] == ctx.sub":                            {"7", yes},
		"row.author_id == ctx.sub        ":                          {7, yes}, // a number is a number
		"row.id == ctx.sub":                                         {"9007199254740993", yes},
		"row.id == ctx.sub ":                                        {"9007199254740992", no},
		"row.id == ctx.sub  ":                                       {"9223372036854775808", no},
		"row.author_id == ctx.org.id":                               {"7", yes},
		"row.author_id in ctx.teams":                                {"7", yes},
		"row.author_id in ctx.others":                               {"7", yes},
		"row.author_id in ctx.numbers":                              {"7", yes},
		"ctx.sub in row.member_ids":                                 {"7", yes},
		"ctx.sub in row.member_ids ":                                {"6", no},
		"row.member_ids.exists(m, m == ctx.sub)":                    {"7", yes},
		"ctx.teams.exists(t, t == row.author_id)":                   {"7", yes},
		"ctx.others.exists(t, t == row.author_id)":                  {"7", yes},
		"row.author_id in [ctx.sub, ctx.level]":                     {"7", yes},
		"row.author_id + 1 == ctx.sub":                              {"8", yes},
		"!(row.author_id in ctx.teams)":                             {"7", no},
		"ctx.none == row.author_id":                                 {"7", no}, // an error
		"row.author_id == ctx.sub || ctx.none == 1":                 {"7", yes},
		"row.owner == ctx.sub":                                      {strings.ToUpper(adaUUID), yes},
		"row.owner == ctx.sub ":                                     {eveUUID, no},
		"row.owner == ctx.sub  ":                                    {"ada", no},
		"ctx.sub in row.owners":                                     {adaUUID, yes},
		"row.owner == '" + adaUUID + "'":                            {"7", yes},
		"row.plan == 'free' && row.plan != 'paid'":                  {"7", yes},
		"row.plan in ['free', 'paid']":                              {"7", yes},
		"row.body == ctx.sub":                                       {"hello", yes},
		"row.body == ctx.name":                                      {"7", no},
		"row.deleted_at == null || row.body == null":                {"7", no},
		"row.body == null || row.score == 1.5":                      {"7", yes},
		"row.score > 1 && row.score == 1.5 && row.author_id == 7.0": {"7", yes},
		"row.doc.n == 7 && row.doc.s == ctx.sub":                    {"7", yes},
		"string(row.author_id) == ctx.sub":                          {"7", yes},
		"row.author_id == int(ctx.sub)":                             {"07", yes},
		"row.author_id < int(ctx.sub)":                              {"8", yes},
		"'a' in row.tags && row.tags.size() == 2":                   {"7", yes},
		"ctx.sub in row.tags":                                       {"7", yes},
		"'sub' in ctx && has(ctx.sub) && !has(ctx.none)":            {"7", yes},
		"(row.private ? row.author_id : 0) == ctx.level":            {"7", no},
		"(row.private ? row.body : null) == 'hello'":                {"7", yes},
		"ctx.level == 3 && ctx.done && ctx.exp > 5":                 {"7", yes},
		"size(ctx.teams) == 2 && ctx.teams[0] == 'x'":               {"7", yes},
		"row.body.startsWith('he') && row.body.matches('^h.*o$')":   {"7", yes},
		"ctx.sub == '7' || ctx.sub.startsWith('x')":                 {"7", yes},
		"row.author_id == ctx.sub && [1, 2].all(i, i < 3)":          {"7", yes}, // with a limit of what it may cost
	} {
		f, err := NewFilter(source, shapes())
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		p := principal(t, map[string]any{
			"sub": want.sub, "org": map[string]any{"id": "7"}, "teams": []any{"x", "7"}, "others": []any{false, nil, "7"}, "numbers": []any{1, 7}, "level": 3,
			"done": true, "exp": 6, "name": 7,
		})
		var v Verdict
		f.Judge(&v, row)
		if got := v.Allows(p); got != want.is {
			t.Errorf("%s with sub %v: %v, %v", source, want.sub, got, v.Failure())
		}
	}
	for source, allowed := range map[string]bool{
		"ctx.sub == scope.value": true, "scope.value in ctx.teams": true, "scope.value == 7": true, "scope.col == 'id' && scope.value == ctx.level": false,
	} {
		a, err := NewCEL(source, shapes())
		if err != nil {
			t.Errorf("%s: %v", source, err)
			continue
		}
		err = a.Authorize(t.Context(), principal(t, map[string]any{"sub": "7", "teams": []any{"7"}, "level": 3}), Subscription{"c", Scope{"id", int64(7)}})
		if (err == nil) != allowed {
			t.Errorf("%s: %v", source, err)
		}
	}
	mixed := shapes()
	mixed.Scope = Type{} // a channel has scopes of several types
	a, err := NewCEL("scope.value == ctx.sub", mixed)
	if err != nil {
		t.Fatal(err)
	}
	for sub, value := range map[string]any{"7": int64(7), strings.ToUpper(adaUUID): adaUUID, "ada": "ada"} {
		p := principal(t, map[string]any{"sub": sub})
		if err := a.Authorize(t.Context(), p, Subscription{"c", Scope{"id", value}}); err != nil {
			t.Errorf("scope %v, sub %s: %v", value, sub, err)
		}
		if err := a.Authorize(t.Context(), p, Subscription{"c", Scope{"id", int64(8)}}); err == nil {
			t.Errorf("scope 8, sub %s: allowed", sub)
		}
	}
}
