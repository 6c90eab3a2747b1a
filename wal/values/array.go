package values

import (
	"bytes"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// maxDimensions is the most that an array of PostgreSQL has (MAXDIM in its source).
const maxDimensions = 6

// arrayEncoder encodes arrays: {1,NULL,"a b"}, {{1,2},{3,4}}, [0:1]={1,2} (PostgreSQL manual, section 8.15.6).
type arrayEncoder struct {
	element cdc.AppendJSON
	// delimiter stands between elements; it is a property of the element's type.
	delimiter byte
}

func (a *arrayEncoder) encode(dst, text []byte) []byte {
	out, rest, ok := a.dimension(dst, withoutBounds(text), 1)
	if !ok || len(rest) != 0 {
		return appendString(dst, text)
	}
	return out
}

// withoutBounds drops the lower and upper bounds that stand before an array whose indices do not begin at 1: JSON has
// no place for them.
func withoutBounds(text []byte) []byte {
	if len(text) == 0 || text[0] != '[' {
		return text
	}
	_, elements, _ := bytes.Cut(text, []byte("="))
	return elements
}

// dimension encodes the braces that text begins with and returns what follows them.
func (a *arrayEncoder) dimension(dst, text []byte, depth int) (out, rest []byte, ok bool) {
	if depth > maxDimensions || len(text) == 0 || text[0] != '{' {
		return dst, text, false
	}
	dst, text = append(dst, '['), text[1:]
	if len(text) > 0 && text[0] == '}' {
		return append(dst, ']'), text[1:], true
	}
	for {
		dst, text, ok = a.item(dst, text, depth)
		if !ok || len(text) == 0 {
			return dst, text, false
		}
		switch text[0] {
		case a.delimiter:
			dst, text = append(dst, ','), text[1:]
		case '}':
			return append(dst, ']'), text[1:], true
		default:
			return dst, text, false
		}
	}
}

// item encodes the element or the nested braces that text begins with and returns what follows.
func (a *arrayEncoder) item(dst, text []byte, depth int) (out, rest []byte, ok bool) {
	if len(text) == 0 {
		return dst, text, false
	}
	switch text[0] {
	case '{':
		return a.dimension(dst, text, depth+1)
	case '"':
		end, escaped := quotedElement(text)
		if end < 0 {
			return dst, text, false
		}
		return appendQuoted(dst, text[1:end], escaped, a.element), text[end+1:], true
	default:
		end := a.bareElement(text)
		if end <= 0 {
			return dst, text, false
		}
		if string(text[:end]) == "NULL" {
			return append(dst, "null"...), text[end:], true
		}
		return a.element(dst, text[:end]), text[end:], true
	}
}

// quotedElement returns the position of the quote that closes the element which text begins with, or -1.
func quotedElement(text []byte) (end int, escaped bool) {
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i, escaped
		case '\\':
			escaped = true
			i++
		}
	}
	return -1, escaped
}

// bareElement returns where the unquoted element that text begins with ends, or -1 where it holds a character that
// PostgreSQL would have quoted.
func (a *arrayEncoder) bareElement(text []byte) int {
	for i, c := range text {
		switch c {
		case a.delimiter, '}':
			return i
		case '"', '\\', '{':
			return -1
		}
	}
	return -1
}

// vectorEncoder encodes int2vector and oidvector, arrays of one dimension that are written with spaces only: 1 2 3.
type vectorEncoder struct {
	element cdc.AppendJSON
}

func (v *vectorEncoder) encode(dst, text []byte) []byte {
	dst = append(dst, '[')
	for more := len(text) > 0; more; {
		var element []byte
		element, text, more = bytes.Cut(text, []byte(" "))
		dst = v.element(dst, element)
		if more {
			dst = append(dst, ',')
		}
	}
	return append(dst, ']')
}
