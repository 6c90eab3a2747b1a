package values

import (
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// int2vectorOID and oidvectorOID are the two built-in arrays that are not written as arrays.
const (
	int2vectorOID = 22
	oidvectorOID  = 30
)

// builder makes the encoder of a type out of those of its parts.
type builder struct {
	options Options
	types   map[uint32]Type
	// built holds what was made so far, so that a type is built once however often it occurs. While a type is being
	// built its place is held by appendString: types read at different times might contain one another.
	built map[uint32]cdc.AppendJSON
}

func (b *builder) encoder(oid uint32) cdc.AppendJSON {
	if encode, ok := b.built[oid]; ok {
		return encode
	}
	b.built[oid] = appendString
	encode := b.build(b.types[oid])
	b.built[oid] = encode
	return encode
}

func (b *builder) build(t Type) cdc.AppendJSON {
	switch t.Kind {
	case Domain:
		return b.encoder(t.Elem)
	case Array:
		a := &arrayEncoder{element: b.encoder(t.Elem), delimiter: t.Delim}
		return a.encode
	case Composite:
		c := &compositeEncoder{fields: make([]field, len(t.Attrs))}
		for i, attr := range t.Attrs {
			c.fields[i] = field{
				key:   append(appendString(nil, []byte(attr.Name)), ':'),
				value: b.encoder(attr.TypeOID),
			}
		}
		return c.encode
	default:
		return b.scalar(t.OID)
	}
}

// scalar returns the encoder of a type without parts. All that to_jsonb does not treat apart is a string: also oid and
// its kin, money, time and the ranges.
func (b *builder) scalar(oid uint32) cdc.AppendJSON {
	switch oid {
	case pgtype.BoolOID:
		return appendBool
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Float4OID, pgtype.Float8OID:
		return appendNumber
	case pgtype.Int8OID, pgtype.NumericOID:
		if b.options.BigintAsString {
			return appendString
		}
		return appendNumber
	case pgtype.TimestampOID, pgtype.TimestamptzOID:
		return appendTimestamp
	case pgtype.JSONOID, pgtype.JSONBOID:
		return appendDocument
	case int2vectorOID:
		v := &vectorEncoder{element: appendNumber}
		return v.encode
	case oidvectorOID:
		v := &vectorEncoder{element: appendString}
		return v.encode
	default:
		return appendString
	}
}
