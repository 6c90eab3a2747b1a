package values

import "github.com/reactive-gw/reactive-gw/cdc"

// appendQuoted encodes an element of an array or a field of a composite, given as the text between its quotes. Where
// that text has escapes, the end of dst holds it unescaped for the while: an allocation less, also for the nested.
func appendQuoted(dst, quoted []byte, escaped bool, value cdc.AppendJSON) []byte {
	if !escaped {
		return value(dst, quoted)
	}
	start := len(dst)
	dst = appendUnescaped(dst, quoted)
	end := len(dst)
	dst = value(dst, dst[start:end])
	n := copy(dst[start:], dst[end:])
	return dst[:start+n]
}

// appendUnescaped appends text with \x replaced by x and, as only a composite has it, "" by a single quote.
func appendUnescaped(dst, text []byte) []byte {
	from := 0
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' || text[i] == '"' {
			dst = append(dst, text[from:i]...)
			i++
			from = i
		}
	}
	return append(dst, text[min(from, len(text)):]...)
}
