package fanout

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// ScopeType is the type of a scope column: one of those whose equality is that of the text that PostgreSQL prints. Only
// for these can a client's value be compared with a row's.
type ScopeType int

// The scope types. Text stands for text, varchar and enums.
const (
	Int2 ScopeType = iota + 1
	Int4
	Int8
	UUID
	Bool
	Text
)

// ScopeValue is a value of a scope column, in its canonical text.
type ScopeValue struct {
	Column string
	Type   ScopeType
	Text   string
}

// Native is the value as expressions and queries see it: an int64, a bool or a string.
func (v ScopeValue) Native() any {
	switch v.Type {
	case Int2, Int4, Int8:
		if n, err := strconv.ParseInt(v.Text, 10, 64); err == nil {
			return n
		}
	case Bool:
		return v.Text == "t"
	}
	return v.Text
}

// appendJSON appends a canonical text as JavaScript writes the value.
func (t ScopeType) appendJSON(dst []byte, text string) []byte {
	switch t {
	case Int2, Int4, Int8:
		return append(dst, text...)
	case Bool:
		return strconv.AppendBool(dst, text == "t")
	}
	return protocol.AppendString(dst, text)
}

// SameText tells whether what is equal in the one type and the other has the same text.
func (t ScopeType) SameText(other ScopeType) bool {
	isInt := func(t ScopeType) bool { return t == Int2 || t == Int4 || t == Int8 }
	return t != 0 && t == other || isInt(t) && isInt(other)
}

// maxScopeText, and maxEcho for the scope as the client wrote it, bound the memory that a client can make the index hold
// with one subscription, and how much longer every frame about it becomes. There is room for all of the longest value in
// escapes, \u00e9 for é, but not in those of characters that need none.
const (
	maxScopeText = 1024
	maxEcho      = 4096
)

// Canonical returns the one text that PostgreSQL prints for the value that a client wrote as text, and false where no
// value of the type is written so. Numbers never pass through a float: 2^53+1 is not 2^53.
func (t ScopeType) Canonical(text string) (string, bool) {
	if len(text) > maxScopeText {
		return "", false
	}
	switch t {
	case Int2:
		return canonicalInt(text, 16)
	case Int4:
		return canonicalInt(text, 32)
	case Int8:
		return canonicalInt(text, 64)
	case UUID:
		return canonicalUUID(text)
	case Bool:
		switch text {
		case "true", "t":
			return "t", true
		case "false", "f":
			return "f", true
		}
		return "", false
	case Text:
		// PostgreSQL's text holds no U+0000.
		return text, utf8.ValidString(text) && !strings.ContainsRune(text, 0)
	}
	return "", false
}

func canonicalInt(text string, bits int) (string, bool) {
	n, err := strconv.ParseInt(text, 10, bits)
	if err != nil {
		return "", false
	}
	return strconv.FormatInt(n, 10), true
}

// canonicalUUID accepts what PostgreSQL does (manual, "UUID Type"): upper case, braces around, and hyphens left out or
// after any group of four digits.
func canonicalUUID(text string) (string, bool) {
	if strings.HasPrefix(text, "{") != strings.HasSuffix(text, "}") {
		return "", false
	}
	text = strings.TrimSuffix(strings.TrimPrefix(text, "{"), "}")
	out := make([]byte, 0, 36)
	digits := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '-' && digits > 0 && digits < 32 && digits%4 == 0 && text[i-1] != '-':
			continue
		case c >= '0' && c <= '9', c >= 'a' && c <= 'f':
		case c >= 'A' && c <= 'F':
			c += 'a' - 'A'
		default:
			return "", false
		}
		if digits == 32 {
			return "", false
		}
		switch digits {
		case 8, 12, 16, 20:
			out = append(out, '-')
		}
		out = append(out, c)
		digits++
	}
	return string(out), digits == 32
}
