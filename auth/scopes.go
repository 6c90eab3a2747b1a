package auth

import (
	"errors"
	"slices"
	"strconv"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
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

// ScopeResolver finds the scopes of a row by an expression instead of by its own columns: resolveScopes. It may be used by
// many goroutines at once.
type ScopeResolver struct {
	expression *expression
	scopes     []string
	plain      string
}

// NewScopeResolver compiles a CEL expression over row. It comes to a map {'col': ..., 'value': ...} or to a list of such
// maps; a value of null is no scope. Each col is written out, so that it is known which scopes a row may have.
// known says what the row holds, as for NewFilter; nil is not known.
func NewScopeResolver(source string, known *Types) (*ScopeResolver, error) {
	kinds := []cel.Kind{types.MapKind, types.ListKind}
	e, err := compile("resolveScopes", source, nil, kinds, "row")
	if err != nil {
		return nil, err
	}
	scopes, plain, err := scopesIn(e.tree)
	if err != nil {
		return nil, err
	}
	if e, err = compile("resolveScopes", source, known, kinds, "row"); err != nil {
		return nil, err
	}
	return &ScopeResolver{expression: e, scopes: scopes, plain: plain}, nil
}

var errNoScope = errors.New("resolveScopes: it names no scope: write out {'col': 'order_id', 'value': row.order_id}")

// scopesIn lists the scopes that an expression's maps name, each once. plain is the column whose value is the scope's,
// where that is all that the expression says.
func scopesIn(tree *ast.AST) (scopes []string, plain string, err error) {
	root := ast.NavigateAST(tree)
	for _, node := range ast.MatchDescendants(root, ast.KindMatcher(ast.MapKind)) {
		for _, entry := range node.AsMap().Entries() {
			switch key, value := entry.AsMapEntry().Key(), entry.AsMapEntry().Value(); {
			case !isText(key, "col"):
			case value.Kind() != ast.LiteralKind || value.AsLiteral().Type() != types.StringType:
				return nil, "", errNoScope
			case !slices.Contains(scopes, string(value.AsLiteral().(types.String))):
				scopes = append(scopes, string(value.AsLiteral().(types.String)))
			}
		}
	}
	if len(scopes) == 0 {
		return nil, "", errNoScope
	}
	if root.Kind() == ast.MapKind {
		for _, entry := range root.AsMap().Entries() {
			if isText(entry.AsMapEntry().Key(), "value") {
				plain = plainColumn(entry.AsMapEntry().Value())
			}
		}
	}
	return scopes, plain, nil
}

// plainColumn returns the column where an expression is row.column or row['column'], else "".
func plainColumn(e ast.Expr) string {
	isRow := func(e ast.Expr) bool { return e.Kind() == ast.IdentKind && e.AsIdent() == "row" }
	switch {
	case e.Kind() == ast.SelectKind && isRow(e.AsSelect().Operand()):
		return e.AsSelect().FieldName()
	case e.Kind() == ast.CallKind && e.AsCall().FunctionName() == operators.Index && isRow(e.AsCall().Args()[0]):
		column, _ := e.AsCall().Args()[1].AsLiteral().(types.String) // inspect has refused what is no literal
		return string(column)
	}
	return ""
}

func isText(e ast.Expr, text string) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral().Equal(types.String(text)) == types.True
}

// Scopes are the columns that the expression may come to, each once.
func (r *ScopeResolver) Scopes() []string { return slices.Clone(r.scopes) }

// Plain is the column whose value is the scope's, where the expression says no more than that; else it is empty.
func (r *ScopeResolver) Plain() string { return r.plain }

// Columns are those of the row that the expression names, each once.
func (r *ScopeResolver) Columns() []string { return slices.Clone(r.expression.columns) }

// Resolve returns the row's scopes, each once. With an error, which is a *Denied, the row's scopes are not known: nobody
// can be told of the row, nor that it left their view.
func (r *ScopeResolver) Resolve(row Row) ([]Scope, error) {
	var vars variables
	vars.setRow(row, r.expression.columns)
	value, failure := r.expression.eval(&vars)
	if failure != nil {
		return nil, failure
	}
	list, ok := value.(traits.Lister)
	if !ok {
		list = types.NewRefValList(types.DefaultTypeAdapter, []ref.Val{value})
	}
	var scopes []Scope
	for elements := list.Iterator(); elements.HasNext() == types.True; {
		scope, ok := r.scope(elements.Next())
		switch {
		case !ok:
			return nil, denyf(EvaluationFailed, "resolveScopes: it came to something that is no scope of the channel")
		case scope.Value != nil && !slices.Contains(scopes, scope):
			scopes = append(scopes, scope)
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
