package values

import (
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgtype"
)

// FromJSON makes text of a JSON value as the type's encoder writes it: of what a string says (quoted), or of the token of a
// number, true or false. It returns false for what is no value of the type. It is safe for concurrent use.
type FromJSON func(text string, quoted bool) (string, bool)

// FromJSON returns the way back from the type's JSON to its text, as the type is known now, and nil where that would be too
// far: for json and jsonb, whose text is their JSON, and for arrays and composites. Get it once per column.
func (c *Catalog) FromJSON(oid uint32) FromJSON {
	base := c.Base(oid)
	switch t, _ := c.Type(base); t.Kind {
	case Array, Composite:
		return nil
	}
	switch base {
	case pgtype.JSONOID, pgtype.JSONBOID, int2vectorOID, oidvectorOID:
		return nil
	case pgtype.BoolOID:
		return boolFromJSON
	case pgtype.Int2OID:
		return func(text string, _ bool) (string, bool) { return intFromJSON(text, 16) }
	case pgtype.Int4OID:
		return func(text string, _ bool) (string, bool) { return intFromJSON(text, 32) }
	case pgtype.Int8OID:
		return func(text string, _ bool) (string, bool) { return intFromJSON(text, 64) }
	case pgtype.Float4OID, pgtype.Float8OID, pgtype.NumericOID:
		return numberFromJSON
	}
	return func(text string, quoted bool) (string, bool) { return text, quoted && strings.IndexByte(text, 0) < 0 }
}

func boolFromJSON(text string, _ bool) (string, bool) {
	switch text {
	case "true", "t":
		return "t", true
	case "false", "f":
		return "f", true
	}
	return "", false
}

func intFromJSON(text string, bits int) (string, bool) {
	n, err := strconv.ParseInt(text, 10, bits)
	return strconv.FormatInt(n, 10), err == nil
}

func numberFromJSON(text string, quoted bool) (string, bool) {
	switch text {
	case "NaN", "Infinity", "-Infinity":
		return text, quoted
	}
	return text, text != "" && numberLen([]byte(text)) == len(text)
}
