package values

// Kind tells what a type is made of.
type Kind uint8

// The kinds of type that a column may have (typtype of pg_type, but arrays stand apart from other base types).
const (
	Base Kind = iota
	Enum
	Domain
	Composite
	Array
	Range
	Multirange
)

// String names the kind as PostgreSQL's manual does.
func (k Kind) String() string {
	switch k {
	case Base:
		return "base"
	case Enum:
		return "enum"
	case Domain:
		return "domain"
	case Composite:
		return "composite"
	case Array:
		return "array"
	case Range:
		return "range"
	case Multirange:
		return "multirange"
	default:
		return "unknown"
	}
}

// Type is what the catalog of a database says of a type (PostgreSQL manual, section 53.64, pg_type).
type Type struct {
	OID  uint32
	Name string // without schema
	Kind Kind
	// Elem is the type of an array's elements, or the type that a domain is over; else 0.
	Elem uint32
	// Delim stands between the elements of an array; else it is 0.
	Delim byte
	// Attrs are a composite's attributes in order, without those dropped; not to be changed.
	Attrs []Attr
}

// Attr is one attribute of a composite type.
type Attr struct {
	Name    string
	TypeOID uint32
}
