package auth

import (
	"slices"
	"strings"
	"testing"
)

func TestPlaceholdersBecomeParameters(t *testing.T) {
	for sql, want := range map[string]string{
		"select true":                             "select true",
		"":                                        "",
		"select $scope":                           "select $1 | scope",
		"select $scope, $scope":                   "select $1, $2 | scope scope",
		"select $scope::int=$scope.col":           "select $1::int=$2 | scope scope.col",
		"a = $ctx.sub and b=$ctx.org.id":          "a = $1 and b=$2 | ctx.sub ctx.org.id",
		"$channel$ctx.a":                          "select nothing", // a dollar quote that does not end
		"($channel)($ctx.a_1)":                    "($1)($2) | channel ctx.a_1",
		"'$scope' = $scope":                       "'$scope' = $1 | scope",
		"'it''s $scope' = $scope":                 "'it''s $scope' = $1 | scope",
		`'\' = $scope or ' $ctx.a'`:               `'\' = $1 or ' $ctx.a' | scope`,
		`E'\' $scope' = $scope`:                   `E'\' $scope' = $1 | scope`,
		`e'\\' = $scope`:                          `e'\\' = $1 | scope`,
		"E'a'\n 'b\\' $scope' = $scope":           "E'a'\n 'b\\' $scope' = $1 | scope",
		"E'a' -- 'x\n 'b\\' $scope' = $scope":     "E'a' -- 'x\n 'b\\' $scope' = $1 | scope",
		"'a'\n 'b\\' = $scope":                    "'a'\n 'b\\' = $1 | scope",
		`name'\' = $scope`:                        `name'\' = $1 | scope`, // no E string: the e is the name's
		`U&'\0024scope' = $scope`:                 `U&'\0024scope' = $1 | scope`,
		`"$scope" = $scope`:                       `"$scope" = $1 | scope`,
		`"a""$scope" = $scope`:                    `"a""$scope" = $1 | scope`,
		"$$ $scope $$ = $scope":                   "$$ $scope $$ = $1 | scope",
		"$a$ $scope $$ $b$ $a$ = $scope":          "$a$ $scope $$ $b$ $a$ = $1 | scope",
		"$scope$ $ctx.a $scope$ = $scope":         "$scope$ $ctx.a $scope$ = $1 | scope",
		"-- $scope\n$scope":                       "-- $scope\n$1 | scope",
		"-- $scope":                               "-- $scope",
		"-- it's\r$scope":                         "-- it's\r$1 | scope",
		"/* $scope */ $scope":                     "/* $scope */ $1 | scope",
		"/* /* $scope */ $scope */ $scope":        "/* /* $scope */ $scope */ $1 | scope",
		"/*/ $scope */ $scope":                    "/*/ $scope */ $1 | scope",
		"'/*' = $scope":                           "'/*' = $1 | scope",
		"price$scope = $scope":                    "price$scope = $1 | scope", // a name may hold a $
		"é$scope = $scope":                        "é$scope = $1 | scope",
		"a-$scope":                                "a-$1 | scope",
		"a --$scope\n-$scope":                     "a --$scope\n-$1 | scope",
		"array[$scope]":                           "array[$1] | scope",
		"'{\"a\": 1}'::jsonb->>'$scope' = $scope": "'{\"a\": 1}'::jsonb->>'$scope' = $1 | scope",
	} {
		s, err := parseStatement(sql)
		got := "select nothing"
		if err == nil {
			got = s.text
			for i, p := range s.parameters {
				if i == 0 {
					got += " |"
				}
				got += " " + strings.Join(append([]string{p.name}, p.claim...), ".")
			}
		}
		if got != want {
			t.Errorf("%s\n became %s\n want   %s (%v)", sql, got, want, err)
		}
	}
}

func TestStatementsThatAreRefused(t *testing.T) {
	for sql, hint := range map[string]string{
		"select $1":              "$1 stands for nothing",
		"select $":               "$ stands for nothing",
		"select $Scope":          "$Scope stands for nothing",
		"select $scopes":         "$scopes stands for nothing",
		"select $scope.value":    "$scope.value stands for nothing",
		"select $scope.":         "stands for nothing",
		"select $ctx":            "$ctx stands for nothing",
		"select $ctx.":           "stands for nothing",
		"select $ctx..a":         "stands for nothing",
		"select $ctx.a.":         "stands for nothing",
		"select $ctx['a']":       "$ctx stands for nothing",
		"select $row.id":         "$row.id stands for nothing",
		"select $scopeé":         "stands for nothing",
		"select 'a":              "does not end",
		"select 'a''":            "does not end",
		`select e'a\'`:           "does not end",
		`select e'a\`:            "does not end",
		`select "a`:              "does not end",
		"select $$ a":            "does not end",
		"select $a$ $$ $b$":      "begins with $a$",
		"select /* /* */":        "does not end",
		"select $scope \x00":     "NUL",
		"select $ctx.a /* $b */": "",
	} {
		_, err := parseStatement(sql)
		if (hint == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), hint)) {
			t.Errorf("%q: %v", sql, err)
		}
	}
}

// FuzzStatement looks for a statement whose text changes elsewhere than at a placeholder, or that makes the parser panic.
func FuzzStatement(f *testing.F) {
	f.Add("select exists (select 1 from member where conversation_id = $scope and user_id = $ctx.sub)")
	f.Add("'$scope' \"$scope\" $$ $scope $$ $a$ $scope $a$ -- $scope\n /* /* $scope */ */ $scope")
	f.Add("e'\\' $scope'\n'\\'' $scope")
	f.Add("a$scope 1$scope $scope$ctx.a $ctx.a.b.c")
	f.Add("1a$scope 1e'\\'' 1.5e3$a$ $a$ $scope")
	f.Fuzz(func(t *testing.T, sql string) {
		pieces, err := splitStatement(sql)
		if err != nil {
			return
		}
		var whole strings.Builder
		for i, p := range pieces {
			whole.WriteString(p.text)
			if p.placeholder != (i%2 == 1) || (p.placeholder && !strings.HasPrefix(p.text, "$")) {
				t.Fatalf("%q became %v", sql, pieces)
			}
		}
		if whole.String() != sql {
			t.Fatalf("%q became %q", sql, whole.String())
		}
		s, err := parseStatement(sql)
		if err != nil {
			return
		}
		if got, want := len(s.parameters), len(pieces)/2; got != want {
			t.Fatalf("%d parameters, want %d", got, want)
		}
		for _, p := range s.parameters {
			if !slices.Contains([]string{"scope", "scope.col", "channel", "ctx"}, p.name) || (p.name == "ctx") != (len(p.claim) > 0) {
				t.Fatalf("%q has the parameter %v", sql, p)
			}
		}
	})
}
