package auth

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// unicodeJSON tells whether every text in a JSON document is Unicode: the bytes are UTF-8, and each escaped surrogate is half of
// a pair. encoding/json replaces what is not, so that different texts would become one. Nothing else is checked.
func unicodeJSON(document []byte) bool {
	if !utf8.Valid(document) {
		return false
	}
	for i := 0; i < len(document); {
		if document[i] != '\\' { // outside of texts it is no JSON, which somebody else finds
			i++
			continue
		}
		first := escapedUnit(document[i:])
		switch {
		case first < 0: // an escape of one character
			i += 2
		case !utf16.IsSurrogate(first):
			i += 6
		case utf16.DecodeRune(first, escapedUnit(document[i+6:])) == utf8.RuneError:
			return false
		default:
			i += 12
		}
	}
	return true
}

// escapedUnit is the number in an escape \uXXXX that text begins with, or negative.
func escapedUnit(text []byte) rune {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return -1
	}
	unit, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	if err != nil {
		return -1
	}
	return rune(unit)
}

// repeatsName tells whether an object in a JSON document has a name twice. Of a document that is no JSON it says anything.
func repeatsName(document []byte) bool {
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	type level struct {
		names map[string]bool // nil in an array
		value bool            // a value follows, no name
	}
	var levels []level
	for {
		token, err := decoder.Token()
		if err != nil {
			return false
		}
		at := len(levels) - 1
		if name, ok := token.(string); ok && at >= 0 && levels[at].names != nil && !levels[at].value {
			if levels[at].names[name] {
				return true
			}
			levels[at].names[name], levels[at].value = true, true
			continue
		}
		switch token {
		case json.Delim('{'):
			levels = append(levels, level{names: map[string]bool{}})
			continue
		case json.Delim('['):
			levels = append(levels, level{})
			continue
		case json.Delim('}'), json.Delim(']'):
			if levels = levels[:at]; at == 0 {
				return false
			}
			at--
		}
		if at >= 0 {
			levels[at].value = false
		}
	}
}
