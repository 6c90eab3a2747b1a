package auth

import (
	"errors"
	"fmt"
	"slices"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
)

// Scope is a column by which a channel may be narrowed, and the value that it is narrowed to.
type Scope struct {
	Column string
	// Value is an int64, a bool or a string, as the column's type has it.
	Value any
}

// Text is the value as PostgreSQL reads it for a column of its type, and false where the value is of another type.
func (s Scope) Text() (string, bool) {
	switch v := s.Value.(type) {
	case int64:
		return strconv.FormatInt(v, 10), true
	case bool:
		return strconv.FormatBool(v), true
	case string:
		return v, true
	}
	return "", false
}

// ScopeResolver finds the scopes of a row by expressions instead of by its own columns: resolveScopes. It may be used by
// many goroutines at once.
type ScopeResolver struct {
	expressions []*expression
	scopes      []string
}

// NewScopeResolver compiles CEL expressions over row. Each comes to a map {'col': ..., 'value': ...} or to a list of such
// maps; a value of null is no scope. scopes are the columns that col may name.
func NewScopeResolver(sources, scopes []string) (*ScopeResolver, error) {
	if len(sources) == 0 || len(scopes) == 0 {
		return nil, errors.New("resolveScopes: there are no expressions, or no scopes that they could come to")
	}
	r := &ScopeResolver{scopes: slices.Clone(scopes)}
	for i, source := range sources {
		e, err := compile(fmt.Sprintf("resolveScopes[%d]", i), source, []cel.Kind{types.MapKind, types.ListKind}, "row")
		if err != nil {
			return nil, err
		}
		r.expressions = append(r.expressions, e)
	}
	return r, nil
}

// Columns are those of the row that the expressions name, each once.
func (r *ScopeResolver) Columns() []string {
	var columns []string
	for _, e := range r.expressions {
		for _, c := range e.columns {
			if !slices.Contains(columns, c) {
				columns = append(columns, c)
			}
		}
	}
	return columns
}

// Resolve returns the row's scopes, each once. With an error, which is a *Denied, the row's scopes are not known: nobody
// can be told of the row, nor that it left their view.
func (r *ScopeResolver) Resolve(row Row) ([]Scope, error) {
	var scopes []Scope
	var vars variables
	for _, e := range r.expressions {
		vars.setRow(row, e.columns)
		value, failure := e.eval(&vars)
		if failure != nil {
			return nil, failure
		}
		list, ok := value.(traits.Lister)
		if !ok {
			list = types.NewRefValList(types.DefaultTypeAdapter, []ref.Val{value})
		}
		for elements := list.Iterator(); elements.HasNext() == types.True; {
			scope, ok := r.scope(elements.Next())
			switch {
			case !ok:
				return nil, denyf(EvaluationFailed, "%s: it came to something that is no scope of the channel", e.what)
			case scope.Value != nil && !slices.Contains(scopes, scope):
				scopes = append(scopes, scope)
			}
		}
	}
	return scopes, nil
}

// scope reads a map. The value is nil for null.
func (r *ScopeResolver) scope(value ref.Val) (Scope, bool) {
	members, ok := value.(traits.Mapper)
	if !ok || members.Size() != types.Int(2) {
		return Scope{}, false
	}
	col, named := members.Find(types.String("col"))
	column, isText := col.(types.String)
	of, valued := members.Find(types.String("value"))
	if !named || !isText || !valued || !slices.Contains(r.scopes, string(column)) {
		return Scope{}, false
	}
	switch v := of.(type) {
	case types.Null:
		return Scope{Column: string(column)}, true
	case types.Int, types.Bool, types.String:
		return Scope{string(column), v.Value()}, true
	}
	return Scope{}, false
}
