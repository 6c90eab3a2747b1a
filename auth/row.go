package auth

import (
	"slices"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Row is one image of a row, as expressions see it.
type Row interface {
	// Value returns the value of a column, and false where the row has no such column or its value is not known. It is
	// nil for NULL, an int64 for the integer types, a float64 for real, double precision and numeric, a bool, a []any for
	// arrays, what encoding/json makes of a json or jsonb, a map[string]any for composites, and a string for everything
	// else: a timestamp is its ISO 8601 text. It is called at most once for each column that an expression names, and only if it comes to that.
	Value(column string) (any, bool)
}

// Values is a Row whose columns are in a map.
type Values map[string]any

// Value implements Row.
func (v Values) Value(column string) (any, bool) {
	value, ok := v[column]
	return value, ok
}

// maxValue is the size of the largest value that an expression sees, in bytes of text and elements together. Looking at a
// larger one is an error.
const maxValue = 64 << 10

// variables are what an expression is evaluated with. They belong to one goroutine at a time.
type variables struct {
	ctx     any // a ref.Val
	channel string
	scope   ref.Val

	row     Row
	columns []string  // that the expression names
	fetched []ref.Val // by column; nil until somebody asks
}

// setRow begins with a row of which nothing was fetched.
func (v *variables) setRow(row Row, columns []string) {
	v.row, v.columns = row, columns
	v.fetched = slices.Grow(v.fetched[:0], len(columns))[:len(columns)]
	clear(v.fetched)
}

// ResolveName implements cel.Activation.
func (v *variables) ResolveName(name string) (any, bool) {
	switch name {
	case "row":
		return (*rowVariable)(v), v.row != nil
	case "ctx":
		return v.ctx, v.ctx != nil
	case "channel":
		return v.channel, true
	case "scope":
		return v.scope, v.scope != nil
	}
	return nil, false
}

// Parent implements cel.Activation.
func (v *variables) Parent() cel.Activation { return nil }

// rowVariable is the variable row. CEL asks it for columns by this method; nothing else can be done with it, since
// compile lets nothing else through.
type rowVariable variables

// FindStringKey returns a column's value. What cannot be had is an error that spreads as CEL's own do.
func (r *rowVariable) FindStringKey(column string) (any, bool) {
	at := slices.Index(r.columns, column)
	if at < 0 {
		return types.NewErr("no such column"), true
	}
	if r.fetched[at] == nil {
		r.fetched[at] = fetch(r.row, column)
	}
	return r.fetched[at], true
}

func fetch(row Row, column string) ref.Val {
	value, ok := row.Value(column)
	if !ok {
		return types.NewErr("the column's value is not known")
	}
	if size(value, maxValue) > maxValue {
		return types.NewErr("the column's value is too large")
	}
	return types.DefaultTypeAdapter.NativeToValue(value)
}

// size measures a value, but no further than a little above the limit.
func size(value any, limit int) int {
	switch v := value.(type) {
	case string:
		return len(v)
	case []any:
		total := len(v)
		for i := 0; i < len(v) && total <= limit; i++ {
			total += size(v[i], limit-total)
		}
		return total
	case map[string]any:
		total := len(v)
		for name, member := range v {
			if total > limit {
				break
			}
			total += len(name) + size(member, limit-total)
		}
		return total
	}
	return 1
}
