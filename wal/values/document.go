package values

// maxDocumentDepth is how deep a json document may be nested: encoding/json reads 10,000 levels, and the frame around
// the document needs some of them.
const maxDocumentDepth = 9_000

// appendDocument embeds a value of type json or jsonb without the white space between its tokens, which may hold line
// breaks. The text is checked on the way (RFC 8259), for a frame must be valid JSON whatever a database holds; what is
// not JSON becomes a JSON string.
func appendDocument(dst, text []byte) []byte {
	d := document{dst: dst, rest: validUTF8(text)}
	if !d.value(0) || len(d.rest) != 0 {
		return appendString(dst, text)
	}
	return d.dst
}

// document is the state of one pass over a JSON text. Each method takes one production of the grammar from the front
// of rest, appends it to dst, and tells whether it was there.
type document struct {
	dst  []byte
	rest []byte
}

// value takes a value, which stands within depth objects and arrays, and the white space around it.
func (d *document) value(depth int) bool {
	var ok bool
	switch d.next() {
	case '{':
		ok = depth < maxDocumentDepth && d.object(depth+1)
	case '[':
		ok = depth < maxDocumentDepth && d.array(depth+1)
	case '"':
		ok = d.string()
	case 't':
		ok = d.literal("true")
	case 'f':
		ok = d.literal("false")
	case 'n':
		ok = d.literal("null")
	default:
		n := numberLen(d.rest)
		d.take(n)
		ok = n > 0
	}
	d.next()
	return ok
}

func (d *document) object(depth int) bool {
	d.take(1)
	if d.next() == '}' {
		d.take(1)
		return true
	}
	for {
		if d.next() != '"' || !d.string() || d.next() != ':' {
			return false
		}
		d.take(1)
		if !d.value(depth) {
			return false
		}
		switch d.next() {
		case ',':
			d.take(1)
		case '}':
			d.take(1)
			return true
		default:
			return false
		}
	}
}

func (d *document) array(depth int) bool {
	d.take(1)
	if d.next() == ']' {
		d.take(1)
		return true
	}
	for {
		if !d.value(depth) {
			return false
		}
		switch d.next() {
		case ',':
			d.take(1)
		case ']':
			d.take(1)
			return true
		default:
			return false
		}
	}
}

// string takes a string as it is written, escapes and all.
func (d *document) string() bool {
	n := 1
	for {
		n += plainPrefix(d.rest[n:])
		if n == len(d.rest) {
			return false
		}
		switch d.rest[n] {
		case '"':
			d.take(n + 1)
			return true
		case '\\':
			escape := escapeLen(d.rest[n:])
			if escape == 0 {
				return false
			}
			n += escape
		default: // a control character
			return false
		}
	}
}

// escapeLen returns the length of the escape sequence that text begins with, or 0.
func escapeLen(text []byte) int {
	if len(text) < 2 {
		return 0
	}
	switch text[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(text) < 6 {
			return 0
		}
		for _, c := range text[2:6] {
			if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'f') {
				return 0
			}
		}
		return 6
	default:
		return 0
	}
}

func (d *document) literal(word string) bool {
	if len(d.rest) < len(word) || string(d.rest[:len(word)]) != word {
		return false
	}
	d.take(len(word))
	return true
}

// next drops white space and returns the byte that follows, or 0 at the end.
func (d *document) next() byte {
	for n, c := range d.rest {
		if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			d.rest = d.rest[n:]
			return c
		}
	}
	d.rest = nil
	return 0
}

// take moves n bytes from rest to dst.
func (d *document) take(n int) {
	d.dst = append(d.dst, d.rest[:n]...)
	d.rest = d.rest[n:]
}
