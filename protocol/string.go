package protocol

import "unicode/utf8"

// AppendString appends s as a JSON string (RFC 8259, section 7). It escapes what must be escaped and nothing else.
// Every byte that is not part of valid UTF-8 becomes U+FFFD; two strings that differ only there become one, so what
// serves as an identity must be valid beforehand.
func AppendString[S ~string | ~[]byte](dst []byte, s S) []byte {
	dst = append(dst, '"')
	copied := 0 // s[:copied] is in dst
	for i := 0; i < len(s); {
		b := s[i]
		if b < utf8.RuneSelf {
			if b < ' ' || b == '"' || b == '\\' {
				dst = append(dst, s[copied:i]...)
				dst = appendEscaped(dst, b)
				copied = i + 1
			}
			i++
			continue
		}
		// The longest rune only: converting all that is left of a []byte would copy it to the heap.
		r, size := utf8.DecodeRuneInString(string(s[i:min(i+utf8.UTFMax, len(s))]))
		if r == utf8.RuneError && size == 1 {
			dst = append(dst, s[copied:i]...)
			dst = utf8.AppendRune(dst, utf8.RuneError)
			copied = i + 1
		}
		i += size
	}
	dst = append(dst, s[copied:]...)
	return append(dst, '"')
}

func appendEscaped(dst []byte, b byte) []byte {
	switch b {
	case '"', '\\':
		return append(dst, '\\', b)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	const hex = "0123456789abcdef"
	return append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&0xf])
}
