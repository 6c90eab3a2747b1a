package auth

import (
	"strconv"

	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/common/types/traits"
	"cel.dev/cel-go/interpreter"
)

// Tokens hold integers and UUIDs as text: a JWT's sub is a string always. So that row.author_id == ctx.sub says what it looks
// like, such comparisons take a text for the integer that is written so, in the one way in which it is: "7" is 7, and neither
// "07" nor "+7" nor "7.0" is. A UUID is the same in capitals. Which comparisons these are is found by their types: see typed.

// comparison is how ==, != or in compares values of two types. A place may have both ways: in may have values of several types.
type comparison int

const (
	asIntegers comparison = 1 << iota
	asUUIDs
)

// equal tells whether two values are equal, where neither is an error nor unknown.
func (c comparison) equal(l, r ref.Val) bool {
	switch a := l.(type) {
	case types.Int:
		if b, ok := r.(types.String); ok {
			return c&asIntegers != 0 && isWritten(a, b)
		}
	case types.String:
		switch b := r.(type) {
		case types.Int:
			return c&asIntegers != 0 && isWritten(b, a)
		case types.String:
			return a == b || c&asUUIDs != 0 && sameUUID(string(a), string(b))
		}
	}
	return types.Equal(l, r) == types.True
}

// isWritten tells whether a text is how an integer is written.
func isWritten(n types.Int, text types.String) bool {
	var digits [20]byte
	return string(strconv.AppendInt(digits[:0], int64(n), 10)) == string(text)
}

func sameUUID(a, b string) bool {
	one, isOne := canonicalUUID(a)
	other, isOther := canonicalUUID(b)
	return isOne && isOther && one == other
}

// compared is an operator whose values are compared in such a way. It takes the place of CEL's own.
type compared struct {
	interpreter.InterpretableCall
	comparison  comparison
	left, right interpreter.InterpretableV2
	result      func(c comparison, l, r ref.Val) ref.Val
}

// Exec implements interpreter.InterpretableV2.
func (c *compared) Exec(frame *interpreter.ExecutionFrame) ref.Val {
	l := c.left.Exec(frame)
	if types.IsError(l) {
		return l
	}
	r := c.right.Exec(frame)
	if types.IsError(r) {
		return r
	}
	if unknown, is := types.MaybeMergeUnknowns(l, nil); is {
		unknown, _ = types.MaybeMergeUnknowns(r, unknown)
		return unknown
	}
	if types.IsUnknown(r) {
		return r
	}
	result := c.result(c.comparison, l, r)
	if costs := frame.CostTracker(); costs != nil {
		costs.EvalBinary(frame, c.ID(), c, l, r, result)
	}
	return result
}

// Eval implements interpreter.Interpretable.
func (c *compared) Eval(vars interpreter.Activation) ref.Val {
	return interpreter.EvalActivation(vars, c.Exec)
}

// compareBy makes a decorator that exchanges the operators of some places in an expression.
func compareBy(places map[int64]comparison) interpreter.InterpretableDecorator {
	return func(i interpreter.Interpretable) (interpreter.Interpretable, error) {
		how := places[i.ID()]
		call, ok := i.(interpreter.InterpretableCall)
		if how == 0 || !ok || len(call.Args()) != 2 {
			return i, nil
		}
		c := &compared{InterpretableCall: call, comparison: how, left: call.Args()[0], right: call.Args()[1]}
		switch call.Function() {
		case operators.Equals:
			c.result = func(c comparison, l, r ref.Val) ref.Val { return types.Bool(c.equal(l, r)) }
		case operators.NotEquals:
			c.result = func(c comparison, l, r ref.Val) ref.Val { return types.Bool(!c.equal(l, r)) }
		case operators.In:
			c.result = comparison.in
		default:
			return i, nil
		}
		return c, nil
	}
}

// in tells whether a value is in a list.
func (c comparison) in(value, list ref.Val) ref.Val {
	container, ok := list.(traits.Container)
	if !ok {
		return types.MaybeNoSuchOverloadErr(list)
	}
	found := container.Contains(value)
	elements, isList := list.(traits.Lister)
	if found == types.True || !isList {
		return found
	}
	for e := elements.Iterator(); e.HasNext() == types.True; {
		if c.equal(value, e.Next()) {
			return types.True
		}
	}
	return found
}
