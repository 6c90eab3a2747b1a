package values

import (
	"bytes"
	"encoding/json"
	"strconv"

	"github.com/jackc/pgx/v5/pgtype"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Native turns a value in text format into a Go value, for expressions over rows: an int64 for the integer types, a
// float64 for real, double precision and numeric, a bool, a []any for arrays, what encoding/json makes of a json or jsonb,
// a map[string]any for composites, whose whole numbers are int64 where they fit, and a string for everything else, the same
// as clients see. It returns false for what no such value holds, or what is no value of the type. It is safe for concurrent
// use.
type Native func(text []byte) (any, bool)

// Native returns the conversion for values of the type as the type is known now. BigintAsString makes no difference to it.
// Get it once per column.
func (c *Catalog) Native(oid uint32) Native {
	base := c.Base(oid)
	t, _ := c.Type(base)
	encode := c.encoder(base, Options{})
	switch t.Kind {
	case Array:
		return decoded(encode, elementNumber(c.Base(t.Elem)))
	case Composite:
		return decoded(encode, wholeOrFloat)
	}
	switch base {
	case pgtype.BoolOID:
		return func(text []byte) (any, bool) { return string(text) == "t", true }
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		return func(text []byte) (any, bool) { return whole(string(text)) }
	case pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID:
		return func(text []byte) (any, bool) { return float(string(text)) }
	case int2vectorOID:
		return decoded(encode, whole)
	case pgtype.JSONOID, pgtype.JSONBOID, pgtype.TimestampOID, pgtype.TimestamptzOID, oidvectorOID:
		return decoded(encode, float)
	}
	return func(text []byte) (any, bool) { return string(text), true }
}

func elementNumber(base uint32) func(string) (any, bool) {
	switch base {
	case pgtype.Int2OID, pgtype.Int4OID, pgtype.Int8OID:
		return whole
	case pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID, pgtype.JSONOID, pgtype.JSONBOID:
		return float
	}
	return wholeOrFloat
}

func whole(text string) (any, bool) {
	n, err := strconv.ParseInt(text, 10, 64)
	return n, err == nil
}

func float(text string) (any, bool) {
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

func wholeOrFloat(text string) (any, bool) {
	if n, ok := whole(text); ok {
		return n, true
	}
	return float(text)
}

// decoded reads the JSON of a value, and its numbers in their own way.
func decoded(encode cdc.AppendJSON, number func(string) (any, bool)) Native {
	return func(text []byte) (any, bool) {
		decoder := json.NewDecoder(bytes.NewReader(encode(nil, text)))
		decoder.UseNumber()
		var value any
		if decoder.Decode(&value) != nil {
			return nil, false
		}
		return withNumbers(value, number)
	}
}

// withNumbers replaces the numbers in a value.
func withNumbers(value any, number func(string) (any, bool)) (any, bool) {
	var ok bool
	switch v := value.(type) {
	case json.Number:
		return number(v.String())
	case []any:
		for i := range v {
			if v[i], ok = withNumbers(v[i], number); !ok {
				return nil, false
			}
		}
	case map[string]any:
		for name := range v {
			if v[name], ok = withNumbers(v[name], number); !ok {
				return nil, false
			}
		}
	}
	return value, true
}
