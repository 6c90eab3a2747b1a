package protocol

import (
	"bytes"
	"errors"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// maxDepth is how many objects and arrays may be open at once in a frame, the frame's own object included.
const maxDepth = 8

// eachMember reads exactly one JSON object and calls visit with the name and the value of each of its members. A value
// aliases the object and is good until the object's bytes change. The object is strict JSON: RFC 8259 in UTF-8 and
// without lone surrogates, no name twice in an object (RFC 7493, sections 2.1 and 2.3), no nesting below maxDepth.
func eachMember(object []byte, visit func(name string, value jsontext.Value)) error {
	// A decoder reads a bytes.Buffer in place, and both of these options are off unless they are asked for: they are
	// named because the contract rests on them.
	d := jsontext.NewDecoder(bytes.NewBuffer(object),
		jsontext.AllowDuplicateNames(false), jsontext.AllowInvalidUTF8(false))
	if d.PeekKind() != '{' {
		return &Error{CodeInvalidJSON, "not a JSON object"}
	}
	if _, err := d.ReadToken(); err != nil {
		return invalidJSON(err)
	}
	for d.PeekKind() != '}' {
		token, err := d.ReadToken()
		if err != nil {
			return invalidJSON(err)
		}
		name, nameEnd := token.String(), d.InputOffset()
		if err := skipValue(d); err != nil {
			return err
		}
		visit(name, bytes.TrimLeft(object[nameEnd:d.InputOffset()], ": \t\r\n"))
	}
	if _, err := d.ReadToken(); err != nil {
		return invalidJSON(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return &Error{CodeInvalidJSON, "more than white space after the object"}
	}
	return nil
}

// skipValue reads over one value of the outermost object. It goes token by token, for the decoder's own way to skip a
// value has no depth limit of ours.
func skipValue(d *jsontext.Decoder) error {
	for {
		if _, err := d.ReadToken(); err != nil {
			return invalidJSON(err)
		}
		switch depth := d.StackDepth(); {
		case depth > maxDepth:
			return &Error{CodeInvalidJSON, "nested too deep"}
		case depth == 1:
			return nil
		}
	}
}

// invalidJSON keeps the kind of a decoder's error and drops its text, which may quote what the client sent.
func invalidJSON(err error) error {
	if errors.Is(err, jsontext.ErrDuplicateName) {
		return &Error{CodeInvalidJSON, "a member name occurs twice"}
	}
	return &Error{CodeInvalidJSON, "not JSON in UTF-8"}
}

// unquote returns what a JSON string that was read without error says.
func unquote(quoted []byte) string {
	text, _ := jsontext.AppendUnquote(nil, quoted)
	return string(text)
}
