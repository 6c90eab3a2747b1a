package auth

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/types"
)

// side is one of two things that are compared.
type side struct {
	text    string // as it is written, as far as that is short
	written bool   // text is how it is written
	is      Type
	literal literal // what it is where it is written out
	// of is what it is made of: a column or the scope, and claims, or what may be one.
	stored, claimed bool
	// mixed is of a scope that may have several types.
	mixed bool
}

// The names of CEL's types that are no Kind of their own. Two are those of functions that make such values too.
const (
	timestamp = "timestamp"
	duration  = "duration"
	null      = "null"
)

// literal is a value that is written out.
type literal struct {
	text  string
	known bool
}

// compare judges one comparison. It notes those that are made in a way of their own.
func (t *typed) compare(node ast.NavigableExpr) error {
	call := node.AsCall()
	args := call.Args()
	switch call.FunctionName() {
	case anyEqual:
		l, r := t.side(args[0]), t.side(args[1])
		return t.judge(node, l, r, args[0], args[1])
	case anyCompare:
		l, r := t.side(args[0]), t.side(args[1])
		ordered := alike(l.is, r.is) && !unordered(l.is)
		if ordered || !unordered(l.is) && !unordered(r.is) && (l.is.Kind == Any || r.is.Kind == Any) {
			return nil
		}
		return t.mismatch(node, l, r, "they have no order, so it is never true", conversion(l, r))
	case anyIn:
		l, r := t.side(args[0]), t.side(args[1])
		switch {
		case r.is.Kind == Other && r.is.Element != nil: // a map: its names are looked at
			return t.judge(node, l, side{text: "a name of " + r.text, is: *r.is.Element, stored: r.stored, claimed: r.claimed}, args[0], args[1])
		case r.is.Kind == Any:
			return t.judge(node, l, r, args[0], args[1])
		case r.is.Kind != List:
			return t.mismatch(node, l, r, "what is behind in has to be a list", "write == for a single value, or declare the claim as a list, such as roles: [string]")
		case args[1].Kind() == ast.ListKind && len(args[1].AsList().Elements()) > 0:
			return t.judgeEach(node, l, args[0], args[1].AsList().Elements())
		}
		element := Type{}
		if r.is.Element != nil {
			element = *r.is.Element
		}
		return t.judge(node, l, side{text: r.text, written: r.written, is: element, stored: r.stored, claimed: r.claimed}, args[0], args[1])
	}
	return nil
}

// judgeEach is for a list that is written out: one element that can be equal is enough.
func (t *typed) judgeEach(node ast.NavigableExpr, l side, left ast.Expr, elements []ast.Expr) (err error) {
	possible := false
	for _, e := range elements {
		failed := t.judge(node, l, t.side(e), left, e)
		if possible = possible || failed == nil; err == nil {
			err = failed
		}
	}
	if possible && l.is.Kind != Enum {
		return nil
	}
	return err
}

// judge is for values that are to be equal.
func (t *typed) judge(node ast.NavigableExpr, l, r side, left, right ast.Expr) error {
	stored, other := l, r
	if !l.stored || r.is.Kind == Enum || r.is.Kind == UUID {
		stored, other = r, l
	}
	how := howToCompare(l, r) | howToCompare(r, l)
	switch {
	case isNull(left) || isNull(right):
		return nil
	case how != 0:
		t.places[node.ID()] |= how
		return nil
	case l.is.Kind == Any || r.is.Kind == Any:
		return nil
	case stored.is.Kind == Enum && other.literal.known && other.is.Kind == Text:
		if stored.is.Labels != nil && !slices.Contains(stored.is.Labels, other.literal.text) {
			return t.mismatch(node, l, r, "the enum has no such label, so that they are never equal", "write one of "+strings.Join(stored.is.Labels, ", "))
		}
		return nil
	case stored.is.Kind == UUID && other.literal.known && other.is.Kind == Text:
		if text, ok := canonicalUUID(other.literal.text); !ok || text != other.literal.text {
			return t.mismatch(node, l, r, "that is not how a UUID is written here, so that they are never equal", "write it with hyphens and in small letters, as PostgreSQL prints it")
		}
		return nil
	case alike(l.is, r.is):
		return nil
	case l.is.Kind == List && r.is.Kind == List:
		return nil
	}
	return t.mismatch(node, l, r, "they are never equal", conversion(l, r))
}

// howToCompare is for a value of the database and one that may be a claim, and 0 where CEL's own way is right.
func howToCompare(stored, claim side) comparison {
	switch {
	case !stored.stored || !claim.claimed || claim.literal.known || claim.is.Kind != Any && claim.is.Kind != Text:
		return 0
	case stored.is.Kind == Integer:
		return asIntegers
	case stored.is.Kind == UUID:
		return asUUIDs
	case stored.mixed:
		return asIntegers | asUUIDs
	}
	return 0
}

func isNull(e ast.Expr) bool {
	return e.Kind() == ast.LiteralKind && e.AsLiteral() == types.NullValue
}

// classOf is one kind for all whose values may be equal.
func classOf(k Kind) Kind {
	switch k {
	case Float:
		return Integer
	case UUID, Enum:
		return Text
	}
	return k
}

// alike tells whether values of two types may be equal, and have an order.
func alike(l, r Type) bool {
	return classOf(l.Kind) == classOf(r.Kind) && l.Kind != List && (l.Kind != Other || l.Name == r.Name)
}

// unordered tells whether values of a type have no order among themselves.
func unordered(t Type) bool {
	return t.Kind == List || t.Kind == Other && t.Name != timestamp && t.Name != duration && t.Name != "bytes"
}

// conversion is what to write instead.
func conversion(l, r side) string {
	if l.literal.known && !r.literal.known {
		l, r = r, l
	}
	numeric := func(k Kind) bool { return k == Integer || k == Float }
	textual := func(k Kind) bool { return k == Text || k == UUID || k == Enum }
	switch {
	case r.literal.known && numeric(l.is.Kind) && textual(r.is.Kind):
		return fmt.Sprintf("compare %s with a number, without quotes", l.text)
	case r.literal.known && textual(l.is.Kind) && numeric(r.is.Kind):
		return fmt.Sprintf("write '%s', with quotes", r.literal.text)
	case r.is.Name == timestamp && textual(l.is.Kind), r.is.Name == duration && textual(l.is.Kind):
		return fmt.Sprintf("write %s(%s), of a column timestamp without time zone timestamp(%s + 'Z')", r.is.Name, l.text, l.text)
	case numeric(l.is.Kind) && textual(r.is.Kind):
		return converted(r, map[bool]string{true: "int", false: "double"}[l.is.Kind == Integer], l, "string")
	case textual(l.is.Kind) && numeric(r.is.Kind):
		return converted(r, "string", l, map[bool]string{true: "int", false: "double"}[r.is.Kind == Integer])
	case l.is.Kind == Bool && textual(r.is.Kind):
		return fmt.Sprintf("write bool(%s), or compare it with true or false", r.text)
	case r.is.Kind == Bool && textual(l.is.Kind):
		return fmt.Sprintf("write bool(%s), or compare it with a string", l.text)
	case l.is.Kind == Bool && numeric(r.is.Kind) && !r.literal.known:
		return fmt.Sprintf("write (%s != 0)", r.text)
	case l.is.Kind == Bool || r.is.Kind == Bool:
		return "compare a boolean with true or false"
	case l.is.Kind == List || r.is.Kind == List:
		return "write in, for a value that is one of a list"
	}
	return "compare values of one type"
}

// converted says how one side or the other is converted, as far as they have a name to write.
func converted(one side, first string, other side, second string) string {
	var ways []string
	if one.written {
		ways = append(ways, first+"("+one.text+")")
	}
	if other.written {
		ways = append(ways, second+"("+other.text+")")
	}
	if len(ways) == 0 {
		return "convert one of them with string(...), int(...) or double(...)"
	}
	return "write " + strings.Join(ways, ", or ")
}

func (t *typed) mismatch(node ast.NavigableExpr, l, r side, why, fix string) error {
	at := t.tree.SourceInfo().GetStartLocation(node.ID())
	if l.claimed != r.claimed {
		fix += "; or declare the claim's type under authenticate.claims, if that is another one"
	}
	return &Mismatch{
		What: t.what, Line: at.Line(), Column: at.Column() + 1, Fix: fix,
		Problem: fmt.Sprintf("%s (%s) is compared with %s (%s): %s", l.text, l.is, r.text, r.is, why),
	}
}

// side describes an expression.
func (t *typed) side(e ast.Expr) side {
	s := side{text: "a value", is: t.kindOf(t.tree.GetType(e.ID()))}
	switch e.Kind() {
	case ast.LiteralKind:
		s.literal, s.written = literal{fmt.Sprint(e.AsLiteral().Value()), true}, true
		if isNull(e) {
			s.literal.text = "null"
		}
		s.text = s.literal.text
		if s.is.Kind == Text {
			s.text = "'" + s.text + "'"
		}
		return s
	case ast.IdentKind:
		s.written = true
		if v, ok := t.named[e.AsIdent()]; ok {
			s.text, s.is, s.mixed = v.text, v.Type, v.of == "scope" && v.Kind == Any
		} else {
			s.text = e.AsIdent()
		}
	}
	if e.Kind() == ast.CallKind && e.AsCall().FunctionName() == anyIf {
		s.is = eitherOf(t.side(e.AsCall().Args()[1]).is, t.side(e.AsCall().Args()[2]).is)
	}
	ast.PostOrderVisit(e, ast.NewExprVisitor(func(part ast.Expr) {
		if part.Kind() != ast.IdentKind {
			return
		}
		v, named := t.named[part.AsIdent()]
		switch {
		case named && v.of == "ctx":
			s.claimed = true
		case named:
			s.stored = true
		default: // of a macro, and may be one or the other
			s.stored, s.claimed = true, true
		}
	}))
	return s
}

// eitherOf is the type of what is of one type or of another.
func eitherOf(one, other Type) Type {
	isNull := func(t Type) bool { return t.Kind == Other && t.Name == null }
	switch {
	case isNull(one):
		return other
	case isNull(other):
		return one
	case !alike(one, other):
		return Type{}
	case one.Kind == Enum || one.Kind != other.Kind: // what both have in common
		return Type{Kind: classOf(one.Kind)}
	}
	return one
}

// kindOf is the kind of a type that CEL has found.
func (t *typed) kindOf(found *cel.Type) Type {
	switch found.Kind() {
	case types.IntKind, types.UintKind:
		return Type{Kind: Integer}
	case types.DoubleKind:
		return Type{Kind: Float}
	case types.BoolKind:
		return Type{Kind: Bool}
	case types.StringKind:
		return Type{Kind: Text}
	case types.ListKind:
		element := t.kindOf(found.Parameters()[0])
		return Type{Kind: List, Element: &element}
	case types.MapKind:
		name := t.kindOf(found.Parameters()[0])
		return Type{Kind: Other, Name: "map", Element: &name}
	case types.TimestampKind, types.DurationKind:
		return Type{Kind: Other, Name: map[types.Kind]string{types.TimestampKind: timestamp, types.DurationKind: duration}[found.Kind()]}
	case types.BytesKind:
		return Type{Kind: Other, Name: "bytes"}
	case types.NullTypeKind:
		return Type{Kind: Other, Name: null}
	}
	return Type{}
}
