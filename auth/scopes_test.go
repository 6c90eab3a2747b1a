package auth

import (
	"reflect"
	"strings"
	"testing"
)

func TestScopesOfARow(t *testing.T) {
	row := Values{
		"order_id": int64(42), "product": "p-7", "none": nil, "open": true, "price": 1.5, "private": "x",
		"parties": []any{"ada", "eve", "ada"}, "doc": map[string]any{"col": "order_id", "value": "9"},
	}
	order := Scope{"order_id", int64(42)}
	for name, c := range map[string]struct {
		sources []string
		want    []Scope
		refused Reason
	}{
		"one":                {[]string{"{'col': 'order_id', 'value': row.order_id}"}, []Scope{order}, ""},
		"two expressions":    {[]string{"{'col': 'order_id', 'value': row.order_id}", "{'col': 'product_id', 'value': row.product}"}, []Scope{order, {"product_id", "p-7"}}, ""},
		"the same twice":     {[]string{"{'col': 'order_id', 'value': row.order_id}", "{'col': 'order_id', 'value': 42}"}, []Scope{order}, ""},
		"a list":             {[]string{"row.parties.map(p, {'col': 'party', 'value': p})"}, []Scope{{"party", "ada"}, {"party", "eve"}}, ""},
		"an empty list":      {[]string{"[]"}, nil, ""},
		"a bool":             {[]string{"{'col': 'open', 'value': row.open}"}, []Scope{{"open", true}}, ""},
		"null":               {[]string{"{'col': 'order_id', 'value': row.none}"}, nil, ""},
		"null beside others": {[]string{"[{'col': 'order_id', 'value': null}, {'col': 'order_id', 'value': 42}]"}, []Scope{order}, ""},
		"by condition":       {[]string{"row.open ? [{'col': 'order_id', 'value': row.order_id}] : []"}, []Scope{order}, ""},
		"out of a document":  {[]string{"row.doc"}, []Scope{{"order_id", "9"}}, ""},

		"another column":    {[]string{"{'col': 'price', 'value': 1}"}, nil, EvaluationFailed},
		"a double":          {[]string{"{'col': 'order_id', 'value': row.price}"}, nil, EvaluationFailed},
		"a list as a value": {[]string{"{'col': 'order_id', 'value': row.parties}"}, nil, EvaluationFailed},
		"no value":          {[]string{"{'col': 'order_id'}"}, nil, EvaluationFailed},
		"more than that":    {[]string{"{'col': 'order_id', 'value': 1, 'x': 2}"}, nil, EvaluationFailed},
		"col a number":      {[]string{"{'col': 1, 'value': 1}"}, nil, EvaluationFailed},
		"other names":       {[]string{"{'column': 'order_id', 'value': 1}"}, nil, EvaluationFailed},
		"a text":            {[]string{"row.private"}, nil, EvaluationFailed},
		"a list of texts":   {[]string{"row.parties"}, nil, EvaluationFailed},
		"a missing column":  {[]string{"{'col': 'order_id', 'value': row.missing}"}, nil, EvaluationFailed},
		"one of two":        {[]string{"{'col': 'order_id', 'value': 42}", "row.missing"}, nil, EvaluationFailed},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewScopeResolver(c.sources, []string{"order_id", "product_id", "party", "open"})
			if err != nil {
				t.Fatal(err)
			}
			got, err := r.Resolve(row)
			wantDenied(t, err, c.refused)
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, want %v", got, c.want)
			}
		})
	}
}

func TestScopeResolversThatAreRefused(t *testing.T) {
	for source, hint := range map[string]string{
		"'order_id'":                            "says nothing",
		"ctx.orders":                            "undeclared reference to 'ctx'",
		"{'col': 'order_id', 'value': row}":     "stands alone",
		"{'col': 'order_id', 'value': row.id":   "line 1",
		"row.map(c, {'col': c, 'value': null})": "stands alone",
	} {
		if _, err := NewScopeResolver([]string{"[]", source}, []string{"order_id"}); err == nil ||
			!strings.HasPrefix(err.Error(), "resolveScopes[1]") || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", source, err)
		}
	}
	if _, err := NewScopeResolver(nil, []string{"order_id"}); err == nil {
		t.Error("no expression is accepted")
	}
	if _, err := NewScopeResolver([]string{"[]"}, nil); err == nil {
		t.Error("no scope is accepted")
	}
	r, err := NewScopeResolver([]string{"row.a", "[row.b, row.a]"}, []string{"order_id"})
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(r.Columns(), " "); got != "a b" {
		t.Errorf("columns %q", got)
	}
}
