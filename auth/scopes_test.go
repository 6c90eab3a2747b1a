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
		source  string
		want    []Scope
		refused Reason
	}{
		"one":                {"{'col': 'order_id', 'value': row.order_id}", []Scope{order}, ""},
		"the same twice":     {"[{'col': 'order_id', 'value': row.order_id}, {'col': 'order_id', 'value': 42}]", []Scope{order}, ""},
		"two of them":        {"[{'col': 'order_id', 'value': row.order_id}, {'col': 'product_id', 'value': row.product}]", []Scope{order, {"product_id", "p-7"}}, ""},
		"a list":             {"row.parties.map(p, {'col': 'party', 'value': p})", []Scope{{"party", "ada"}, {"party", "eve"}}, ""},
		"an empty list":      {"false ? [{'col': 'order_id', 'value': 1}] : []", nil, ""},
		"a bool":             {"{'col': 'open', 'value': row.open}", []Scope{{"open", true}}, ""},
		"null":               {"{'col': 'order_id', 'value': row.none}", nil, ""},
		"null beside others": {"[{'col': 'order_id', 'value': null}, {'col': 'order_id', 'value': 42}]", []Scope{order}, ""},
		"by condition":       {"row.open ? [{'col': 'order_id', 'value': row.order_id}] : []", []Scope{order}, ""},

		"a double":          {"{'col': 'order_id', 'value': row.price}", nil, EvaluationFailed},
		"a list as a value": {"{'col': 'order_id', 'value': row.parties}", nil, EvaluationFailed},
		"no value":          {"{'col': 'order_id'}", nil, EvaluationFailed},
		"out of a document": {"row.open ? row.doc : {'col': 'order_id', 'value': 1}", []Scope{{"order_id", "9"}}, ""},
		"another scope":     {"row.open ? row.doc : {'col': 'party', 'value': 1}", nil, EvaluationFailed},
		"texts":             {"row.open ? row.parties : [{'col': 'party', 'value': 1}]", nil, EvaluationFailed},
		"more than that":    {"{'col': 'order_id', 'value': 1, 'x': 2}", nil, EvaluationFailed},
		"a missing column":  {"{'col': 'order_id', 'value': row.missing}", nil, EvaluationFailed},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := NewScopeResolver(c.source, nil)
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
		"{'col': row.kind, 'value': row.id}":    "it names no scope: write out",
		"{'col': 1, 'value': row.id}":           "it names no scope: write out",
		"{'column': 'order_id', 'value': 1}":    "it names no scope: write out",
		"row.scopes":                            "it names no scope: write out",
		"[]":                                    "it names no scope: write out",
	} {
		if _, err := NewScopeResolver(source, nil); err == nil || !strings.HasPrefix(err.Error(), "resolveScopes") || !strings.Contains(err.Error(), hint) {
			t.Errorf("%s: %v", source, err)
		}
	}
}

func TestWhatAScopeResolverLooksAt(t *testing.T) {
	for source, want := range map[string]struct{ scopes, columns, plain string }{
		"{'col': 'order_id', 'value': row.id}":                            {"order_id", "id", "id"},
		"{'value': row['Order Id'], 'col': 'order_id'}":                   {"order_id", "Order Id", "Order Id"},
		"{'col': 'order_id', 'value': row.id + 1}":                        {"order_id", "id", ""},
		"{'col': 'order_id', 'value': row.doc.id}":                        {"order_id", "doc", ""},
		"[{'col': 'order_id', 'value': row.id}]":                          {"order_id", "id", ""},
		"{'col': 'order_id', 'value': 1}":                                 {"order_id", "", ""},
		"row.a ? {'col': 'a', 'value': row.b} : {'col': 'c', 'value': 1}": {"a c", "a b", ""},
	} {
		r, err := NewScopeResolver(source, nil)
		if err != nil {
			t.Fatalf("%s: %v", source, err)
		}
		if scopes, columns := strings.Join(r.Scopes(), " "), strings.Join(r.Columns(), " "); scopes != want.scopes || columns != want.columns || r.Plain() != want.plain {
			t.Errorf("%s: scopes %q, columns %q, plain %q", source, scopes, columns, r.Plain())
		}
	}
}
