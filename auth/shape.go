package auth

import (
	"cmp"
	"fmt"

	"cel.dev/cel-go/cel"
)

// Kind is how the values of a type are compared.
type Kind int

// The kinds. Any is for what is not known before it is there, such as JSON.
const (
	Any Kind = iota
	Integer
	Float
	Bool
	Text
	UUID // a Text in the form in which PostgreSQL prints it
	Enum // a Text that is one of some labels
	List
	Other // what no column and no claim holds, such as a timestamp of CEL's: Name says which
)

// Type is what the values of a column, a claim or a scope are.
type Type struct {
	Kind Kind
	// Name is what a person calls it, such as bigint; empty is the kind's.
	Name string
	// Element is that of a List; nil is Any.
	Element *Type
	// Labels are those of an Enum; nil is not known.
	Labels []string
}

// Types are what an expression's variables hold, to find comparisons that can never be true before anybody waits for them.
type Types struct {
	// Columns are the row's, by name; those that are missing are Any.
	Columns map[string]Type
	// Claims are those of ctx; others are Any. A claim that is said to be a Text may turn out to be a number.
	Claims map[string]Type
	// Scope is scope.value.
	Scope Type
}

func (t Type) String() string {
	name := [...]string{"any", "integer", "number", "boolean", "string", "uuid", "enum", "list", "other"}[t.Kind]
	if t.Kind == List && t.Element != nil {
		name = "list of " + t.Element.String()
	}
	return cmp.Or(t.Name, name)
}

// cel is the type as CEL checks it.
func (t Type) cel() *cel.Type {
	switch t.Kind {
	case Integer:
		return cel.IntType
	case Float:
		return cel.DoubleType
	case Bool:
		return cel.BoolType
	case Text, UUID, Enum:
		return cel.StringType
	case List:
		if t.Element != nil {
			return cel.ListType(t.Element.cel())
		}
		return cel.ListType(cel.DynType)
	}
	return cel.DynType
}

// Mismatch is the error for a comparison that can never be true, or never false.
type Mismatch struct {
	What         string // such as filterRow
	Line, Column int    // in the expression, from 1
	Problem, Fix string
}

func (m *Mismatch) Error() string {
	return fmt.Sprintf("%s, line %d, column %d: %s", m.What, m.Line, m.Column, m.Problem)
}
