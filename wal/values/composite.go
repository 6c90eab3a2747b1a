package values

import "github.com/reactive-gw/reactive-gw/cdc"

// compositeEncoder encodes rows: (1,"a b",,"") (PostgreSQL manual, section 8.16.6). PostgreSQL writes nothing at all for
// a dropped attribute, so fields are the attributes that are left, in order. A row with more or fewer is of another
// shape of the type, and becomes a string: which field is which cannot be told.
type compositeEncoder struct {
	fields []field
}

// field is one attribute of a composite type.
type field struct {
	key   []byte // the name as a JSON string, with the colon
	value cdc.AppendJSON
}

func (c *compositeEncoder) encode(dst, text []byte) []byte {
	if out, ok := c.object(dst, text); ok {
		return out
	}
	return appendString(dst, text)
}

func (c *compositeEncoder) object(dst, text []byte) (out []byte, ok bool) {
	if len(text) < 2 || text[0] != '(' || text[len(text)-1] != ')' {
		return dst, false
	}
	rest := text[1:]
	dst = append(dst, '{')
	for i, f := range c.fields {
		if i > 0 {
			if rest[0] != ',' {
				return dst, false
			}
			dst, rest = append(dst, ','), rest[1:]
		}
		dst = append(dst, f.key...)
		dst, rest, ok = appendField(dst, rest, f.value)
		if !ok || len(rest) == 0 {
			return dst, false
		}
	}
	return append(dst, '}'), len(rest) == 1
}

// appendField encodes the field that text begins with and returns what follows it; an empty field is null.
func appendField(dst, text []byte, value cdc.AppendJSON) (out, rest []byte, ok bool) {
	if text[0] == '"' {
		end, escaped := quotedField(text)
		if end < 0 {
			return dst, text, false
		}
		return appendQuoted(dst, text[1:end], escaped, value), text[end+1:], true
	}
	end := bareField(text)
	switch {
	case end < 0:
		return dst, text, false
	case end == 0:
		return append(dst, "null"...), text, true
	default:
		return value(dst, text[:end]), text[end:], true
	}
}

// quotedField returns the position of the quote that closes the field which text begins with, or -1. Two quotes in a
// row are one quote of the value.
func quotedField(text []byte) (end int, escaped bool) {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '\\':
			escaped = true
			i++
		case '"':
			if i+1 == len(text) || text[i+1] != '"' {
				return i, escaped
			}
			escaped = true
			i++
		}
	}
	return -1, escaped
}

// bareField returns where the unquoted field that text begins with ends, or -1 where it holds a character that
// PostgreSQL would have quoted.
func bareField(text []byte) int {
	for i, c := range text {
		switch c {
		case ',', ')':
			return i
		case '"', '\\', '(':
			return -1
		}
	}
	return -1
}
