package auth

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Filter decides which rows a client sees of those that it subscribed to: filterRow, a CEL expression over ctx, the
// client's claims, and row. It lets a row through where it comes to true; an error is a no. It may be used by many
// goroutines at once.
type Filter struct {
	expression *expression
	// unknown stands for the ctx of a client that is not chosen yet. CEL carries it through an expression: what comes to
	// a bool nevertheless comes to the same bool for every client.
	unknown ref.Val
}

// NewFilter compiles an expression such as "!row.private || row.author_id == ctx.sub". The variable row can only be asked
// for columns by name. It is an error as well where an evaluation costs too much, and where the expression looks at a value
// above 64 KiB. What does not depend on the client is evaluated first, in every branch: if that costs too much, nobody sees
// the row.
//
// known says what the row and the claims hold; nil is not known. With it a comparison that can never be true is an error, and
// an integer of the row equals a claim that is a string of its digits.
func NewFilter(source string, known *Types) (*Filter, error) {
	e, err := compile("filterRow", source, known, []cel.Kind{types.BoolKind}, "ctx", "row")
	if err != nil {
		return nil, err
	}
	return &Filter{expression: e, unknown: types.NewUnknown(0, nil)}, nil
}

// Columns are those that the expression names, each once.
func (f *Filter) Columns() []string { return slices.Clone(f.expression.columns) }

// UsesCtx tells whether the expression looks at the client at all. Otherwise every Verdict is the same for everybody.
func (f *Filter) UsesCtx() bool { return f.expression.usesCtx }

// Verdict is what a Filter says of one row. It holds what many clients have in common, so that each of them costs little.
// The zero value lets nobody through. It belongs to one goroutine at a time and is meant to be used for row after row.
type Verdict struct {
	filter  *Filter
	vars    variables
	shared  bool
	allowed bool
	failure *Denied
}

// Judge makes v the verdict on a row. The row must not change until the next call.
func (f *Filter) Judge(v *Verdict, row Row) {
	v.filter, v.failure = f, nil
	v.vars.setRow(row, f.expression.columns)
	v.vars.ctx = f.unknown
	value, failure := f.expression.evalBool(&v.vars)
	// An error is everybody's as well: had it depended on the client, the value would be unknown.
	v.shared, v.allowed, v.failure = !types.IsUnknown(value), value == types.True, failure
}

// Shared tells whether the row is let through, where that is so for every client alike.
func (v *Verdict) Shared() (allowed, shared bool) { return v.allowed, v.shared }

// Allows tells whether a client may see the row.
func (v *Verdict) Allows(p *Principal) bool {
	switch {
	case v.filter == nil || p == nil:
		return false
	case v.shared:
		return v.allowed
	}
	v.vars.ctx = p.ctx
	value, failure := v.filter.expression.evalBool(&v.vars)
	if failure != nil {
		v.failure = failure
	}
	return value == types.True
}

// Failure is why the expression last came to an error since Judge, or nil. It is for counting and logging: the answer was
// no already.
func (v *Verdict) Failure() error {
	if v.failure == nil {
		return nil
	}
	return v.failure
}
