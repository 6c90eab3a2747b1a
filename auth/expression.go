package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
)

// What an expression may cost. There is no clock among CEL's functions, and nothing in it runs forever, but a row must
// not be able to make it slow either.
const (
	maxExpression = 16 << 10 // characters
	maxRegex      = 300      // instructions of a compiled pattern
	maxCost       = 10_000   // units of CEL's cost model: half a millisecond or so
)

// expression is a compiled CEL expression. It may be evaluated by many goroutines at once.
type expression struct {
	what    string // for errors: filterRow
	program cel.Program
	tree    *ast.AST
	columns []string // of the row
	usesCtx bool
}

// compile reads an expression over some of the variables ctx, row, channel and scope. kinds are what it may come to. known says
// what the variables hold, as far as that is known; nil is nothing.
func compile(what, source string, known *Types, kinds []cel.Kind, variables ...string) (*expression, error) {
	options := []cel.EnvOption{
		cel.CrossTypeNumericComparisons(true), cel.ParserExpressionSizeLimit(maxExpression), cel.RegexProgramSizeLimit(maxRegex),
		cel.ASTValidators(cel.ValidateRegexLiterals()),
	}
	for _, name := range variables {
		kind := cel.MapType(cel.StringType, cel.DynType)
		if name == "channel" {
			kind = cel.StringType
		}
		options = append(options, cel.Variable(name, kind))
	}
	env, err := cel.NewEnv(options...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	tree, issues := env.Compile(source)
	if issues.Err() != nil {
		first := issues.Errors()[0]
		return nil, fmt.Errorf("%s, line %d, column %d: %s", what, first.Location.Line(), first.Location.Column()+1, first.Message)
	}
	if kind := tree.OutputType().Kind(); kind != types.DynKind && !slices.Contains(kinds, kind) {
		return nil, fmt.Errorf("%s comes to a %s, which says nothing", what, tree.OutputType())
	}
	e := &expression{what: what, tree: tree.NativeRep()}
	cheap, err := e.inspect(e.tree)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	planned := []cel.ProgramOption{cel.EvalOptions(cel.OptOptimize)}
	if known != nil {
		again, _ := env.Parse(source) // as it is read above: the places are the same
		places, err := comparisonsOf(what, again, *known, options, kinds)
		if err != nil {
			return nil, err
		}
		if len(places) > 0 {
			planned = append(planned, cel.CustomDecorator(compareBy(places)))
		}
	}
	if !cheap {
		planned = append(planned, cel.CostLimit(maxCost)) // counting costs as much again
	}
	if e.program, err = env.Program(tree, planned...); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return e, nil
}

// inspect finds the columns and whether ctx is used, and refuses what would make that a guess. It returns whether the
// expression is cheap: every part is evaluated once at most, in a time that grows with the values only.
func (e *expression) inspect(tree *ast.AST) (cheap bool, err error) {
	cheap = true
	for _, node := range ast.MatchDescendants(ast.NavigateAST(tree), ast.AllMatcher()) {
		switch node.Kind() {
		case ast.ComprehensionKind:
			cheap = false
			c := node.AsComprehension()
			for _, name := range []string{c.IterVar(), c.IterVar2()} {
				if slices.Contains([]string{"ctx", "row", "channel", "scope"}, name) {
					return false, fmt.Errorf("%s is taken: choose another name for the variable", name)
				}
			}
		case ast.CallKind:
			call := node.AsCall()
			cheap = cheap && runsOnce(call.FunctionName())
			if last := len(call.Args()) - 1; call.FunctionName() == "matches" && call.Args()[last].Kind() != ast.LiteralKind {
				return false, errors.New("the pattern of matches has to be a literal")
			}
		case ast.IdentKind:
			switch strings.TrimPrefix(node.AsIdent(), ".") {
			case "ctx":
				e.usesCtx = true
			case "row":
				column, err := columnOf(node)
				if err != nil {
					return false, err
				}
				if !slices.Contains(e.columns, column) {
					e.columns = append(e.columns, column)
				}
			}
		}
	}
	return cheap, nil
}

// runsOnce lists the operators and functions that take no longer than it takes to look at their arguments.
func runsOnce(function string) bool {
	switch function {
	case operators.Conditional, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.Equals,
		operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
		operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate,
		operators.Index, operators.In, "startsWith", "endsWith":
		return true
	}
	return false
}

// columnOf returns the column for which the variable row stands here. A row is no value of its own: what it holds is
// fetched by name.
func columnOf(row ast.NavigableExpr) (string, error) {
	parent, ok := row.Parent()
	if ok && parent.Kind() == ast.SelectKind {
		if parent.AsSelect().IsTestOnly() {
			return "", fmt.Errorf("has(row.%[1]s) is always true: compare row.%[1]s with null", parent.AsSelect().FieldName())
		}
		return parent.AsSelect().FieldName(), nil
	}
	if ok && parent.Kind() == ast.CallKind && parent.AsCall().FunctionName() == operators.Index {
		args := parent.AsCall().Args()
		if len(args) == 2 && args[0].ID() == row.ID() && args[1].Kind() == ast.LiteralKind {
			if column, ok := args[1].AsLiteral().(types.String); ok {
				return string(column), nil
			}
		}
	}
	return "", errors.New("row stands alone: write row.column, or row['column'] where the column has another kind of name")
}

// eval returns the value to which the expression comes, or a refusal that says nothing of the values.
func (e *expression) eval(vars cel.Activation) (ref.Val, *Denied) {
	value, _, err := e.program.Eval(vars)
	if err == nil && !types.IsError(value) {
		return value, nil
	}
	if cancelled, ok := errors.AsType[interpreter.EvalCancelledError](err); ok && cancelled.Cause == interpreter.CostLimitExceeded {
		return nil, denyf(TooCostly, "%s", e.what)
	}
	return nil, denyf(EvaluationFailed, "%s", e.what)
}

// evalBool returns what the expression comes to where that is a bool, or unknown. Anything else is a refusal.
func (e *expression) evalBool(vars cel.Activation) (ref.Val, *Denied) {
	value, failure := e.eval(vars)
	if failure != nil || types.IsBool(value) || types.IsUnknown(value) {
		return value, failure
	}
	return nil, denyf(EvaluationFailed, "%s: it came to something that is no bool", e.what)
}
