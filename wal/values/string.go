package values

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// appendString appends text as a JSON string (RFC 8259, section 7): quotes, backslashes and control characters are
// escaped, bytes that are not UTF-8 become U+FFFD.
func appendString(dst, text []byte) []byte {
	const hex = "0123456789abcdef"
	text = validUTF8(text)
	dst = append(dst, '"')
	for {
		n := plainPrefix(text)
		dst = append(dst, text[:n]...)
		if n == len(text) {
			return append(dst, '"')
		}
		switch c := text[n]; c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		text = text[n+1:]
	}
}

// validUTF8 returns text, or a copy with U+FFFD in place of what is not UTF-8: only a SQL_ASCII database sends such.
func validUTF8(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	return bytes.ToValidUTF8(text, []byte("\uFFFD"))
}

// plainPrefix counts the bytes at the start of text that stand for themselves in a JSON string: all but quotes,
// backslashes and control characters. It looks at eight bytes at a time.
func plainPrefix(text []byte) int {
	const (
		ones  = 0x0101010101010101
		highs = 0x80 * ones
	)
	n := 0
	for ; n+8 <= len(text); n += 8 {
		word := binary.LittleEndian.Uint64(text[n:])
		quote := word ^ '"'*ones
		backslash := word ^ '\\'*ones
		// x - k*ones &^ x has the high bit of each byte that is below k. A borrow can set the high bit of a byte above
		// such a byte, never below: the lowest bit set is right.
		special := ((word-' '*ones)&^word | (quote-ones)&^quote | (backslash-ones)&^backslash) & highs
		if special != 0 {
			return n + bits.TrailingZeros64(special)/8
		}
	}
	for ; n < len(text); n++ {
		if c := text[n]; c < ' ' || c == '"' || c == '\\' {
			return n
		}
	}
	return n
}
