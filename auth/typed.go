package auth

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
)

// typed looks at an expression with the types of its variables. It works on a copy, in which row.column, ctx.claim and
// scope.value are variables of their own, with their types, and in which comparisons take anything: so CEL finds the types
// of everything that is compared, and what else cannot be.
type typed struct {
	what  string
	types Types
	tree  *ast.AST // the copy
	// named are the variables that stand for a column, a claim or the scope, by their names in the copy.
	named map[string]variable
	// places are those comparisons that are made in a way of their own.
	places map[int64]comparison
}

// variable is something of which the type is told.
type variable struct {
	text string // as it is written: row.author_id
	of   string // row, ctx or scope
	Type
}

// The names of what stands for the operators in the copy. Nobody can write them.
const (
	anyEqual   = "@equal"
	anyIn      = "@among"
	anyCompare = "@compare"
	anyIf      = "@if"
)

// comparisonsOf checks a parsed expression, and returns the comparisons that are not CEL's own. The error is a *Mismatch
// where it says what to write.
func comparisonsOf(what string, parsed *cel.Ast, known Types, options []cel.EnvOption, kinds []cel.Kind) (map[int64]comparison, error) {
	t := &typed{what: what, types: known, tree: parsed.NativeRep(), named: map[string]variable{}, places: map[int64]comparison{}}
	t.replace()
	options = append(slices.Clone(options), cel.Function(anyEqual, cel.Overload(anyEqual, []*cel.Type{cel.DynType, cel.DynType}, cel.BoolType)),
		cel.Function(anyIn, cel.Overload(anyIn, []*cel.Type{cel.DynType, cel.DynType}, cel.BoolType)),
		cel.Function(anyCompare, cel.Overload(anyCompare, []*cel.Type{cel.DynType, cel.DynType}, cel.BoolType)),
		cel.Function(anyIf, cel.Overload(anyIf, []*cel.Type{cel.BoolType, cel.DynType, cel.DynType}, cel.DynType)))
	for name, v := range t.named {
		options = append(options, cel.Variable(name, v.cel()))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	checked, issues := env.Check(parsed)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, &Mismatch{
			What: what, Line: first.Location.Line(), Column: first.Location.Column() + 1, Problem: "with the types of the columns and claims it can never be evaluated: " + t.readable(first.Message),
			Fix: "convert the values, as with string(row.id) or int(ctx.level), or declare the claim under authenticate.claims",
		}
	}
	if kind := checked.OutputType().Kind(); kind != types.DynKind && !slices.Contains(kinds, kind) {
		return nil, fmt.Errorf("%s comes to a %s, which says nothing", what, checked.OutputType())
	}
	t.tree = checked.NativeRep()
	for _, node := range ast.MatchDescendants(ast.NavigateAST(t.tree), ast.KindMatcher(ast.CallKind)) {
		if err := t.compare(node); err != nil {
			return nil, err
		}
	}
	return t.places, nil
}

// readable puts the operators and names of the expression back into a text of CEL's.
func (t *typed) readable(text string) string {
	for name, v := range t.named {
		text = strings.ReplaceAll(text, "'"+name+"'", "'"+v.text+"'")
	}
	return strings.NewReplacer(anyIf, operators.Conditional).Replace(text)
}

// replace makes variables of what has a type, and gives the operators their other names.
func (t *typed) replace() {
	factory := ast.NewExprFactory()
	local := map[string]bool{}
	ast.PostOrderVisit(t.tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if e.Kind() == ast.ComprehensionKind {
			local[e.AsComprehension().IterVar()], local[e.AsComprehension().IterVar2()] = true, true
		}
	}))
	ast.PostOrderVisit(t.tree.Expr(), ast.NewExprVisitor(func(e ast.Expr) {
		if of, member, ok := memberOf(e); ok && !local[of] {
			if kind, known := t.typeOf(of, member); known {
				name := "@" + of + strconv.Itoa(len(t.named))
				t.named[name] = variable{text: written(of, member), of: of, Type: kind}
				e.SetKindCase(factory.NewIdent(e.ID(), name))
			}
			return
		}
		if e.Kind() != ast.CallKind {
			return
		}
		call := e.AsCall()
		other := map[string]string{
			operators.Equals: anyEqual, operators.NotEquals: anyEqual, operators.In: anyIn, operators.Conditional: anyIf,
			operators.Less: anyCompare, operators.LessEquals: anyCompare, operators.Greater: anyCompare, operators.GreaterEquals: anyCompare,
		}[call.FunctionName()]
		if other != "" {
			e.SetKindCase(factory.NewCall(e.ID(), other, call.Args()...))
		}
	}))
}

// memberOf takes row.column and row['column'] apart.
func memberOf(e ast.Expr) (of, member string, ok bool) {
	var operand ast.Expr
	switch e.Kind() {
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			return "", "", false
		}
		operand, member = e.AsSelect().Operand(), e.AsSelect().FieldName()
	case ast.CallKind:
		call := e.AsCall()
		if call.FunctionName() != operators.Index || len(call.Args()) != 2 || call.Args()[1].Kind() != ast.LiteralKind {
			return "", "", false
		}
		name, isText := call.Args()[1].AsLiteral().(types.String)
		if !isText {
			return "", "", false
		}
		operand, member = call.Args()[0], string(name)
	default:
		return "", "", false
	}
	if operand.Kind() != ast.IdentKind {
		return "", "", false
	}
	return strings.TrimPrefix(operand.AsIdent(), "."), member, true
}

func written(of, member string) string {
	for i := range len(member) {
		if c := member[i]; !beginsIdentifier(c) && (i == 0 || !isDigit(c)) || c >= 0x80 {
			return of + "['" + member + "']"
		}
	}
	return of + "." + member
}

func (t *typed) typeOf(of, member string) (Type, bool) {
	switch {
	case of == "row":
		return t.types.Columns[member], true
	case of == "ctx":
		return t.types.Claims[member], true
	case of == "scope" && member == "value":
		return t.types.Scope, true
	case of == "scope" && member == "col":
		return Type{Kind: Text}, true
	}
	return Type{}, false
}
