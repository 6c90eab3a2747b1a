package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/reactive-gw/reactive-gw/protocol"
)

func FuzzParse(f *testing.F) {
	for _, frame := range clientFrames() {
		f.Add([]byte(frame))
	}
	for _, frame := range []string{
		``, `{}`, `null`, `{}{}`, `{"type":"subscribe","type":"subscribe"}`, `{"\u0074ype":"subscribe","type":1}`,
		` {"scope" : {"value" : -0.42e+1, "col" : "id"}, "Type" : 1, "type" : "subscribe", "channel" : "member"} `,
		`{"type":"subscribe","channel":"member","scope":{"col":"n\u00e4me","value":"\ud83d\ude00<>\u0000"}}`,
		`{"type":"subscribe","channel":"orders","scope":{"col":"paid","value":true}}`,
		`{"type":"subscribe","channel":"orders","scope":{"col":"paid","value":true,"op":"gt"}}`,
		`{"type":"subscribe","channel":"orders","scope":{"col":"paid","value":null}}`,
		`{"type":"subscribe","channel":null,"note":[[[[[[[{"a":1}]]]]]]]}`,
		`{"type":"subscribe","note":[[[[[[[]]]]]]]}`,
		"{\"type\":\"\xff\"}", `{"type":"\ud800"}`, `{"a":{"b":1,"b":2}}`,
	} {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, sent []byte) {
		want, wantCode := parseWithStandardLibrary(sent)
		frame := bytes.Clone(sent)
		got, err := protocol.Parse(frame)
		if !bytes.Equal(frame, sent) {
			t.Fatalf("Parse changed %q to %q", sent, frame)
		}
		if err != nil {
			var refused *protocol.Error
			if !errors.As(err, &refused) {
				t.Fatalf("%q: the error is a %T", sent, err)
			}
			// encoding/json reads a lone surrogate as U+FFFD, where Parse refuses it.
			surrogate := bytes.Contains(bytes.ToLower(sent), []byte(`\ud`))
			if refused.Code != wantCode && (!surrogate || refused.Code != protocol.CodeInvalidJSON) {
				t.Fatalf("%q: %v, second opinion %q", sent, err, wantCode)
			}
			return
		}
		for i := range frame {
			frame[i] = 'x'
		}
		if wantCode != "" || !reflect.DeepEqual(got, want) {
			t.Fatalf("%q\ngot            %+v\nsecond opinion %+v %s", sent, got, want, wantCode)
		}

		// What the server echoes, the client may send again.
		echo := protocol.AppendSubscribed(nil, got.Channel, got.Scope.Raw)
		echo = bytes.Replace(echo, []byte(`"subscribed"`), protocol.AppendString(nil, got.Type), 1)
		again, err := protocol.Parse(echo)
		if err != nil || !reflect.DeepEqual(again, got) {
			t.Fatalf("%q\nread           %+v\nsent back %q\nread           %+v, %v", sent, got, echo, again, err)
		}
		var text string
		if json.Unmarshal(got.Scope.Value, &text) != nil {
			text = string(got.Scope.Value)
		}
		if got.Scope.Text() != text {
			t.Fatalf("%q: text of the value is %q, want %q", sent, got.Scope.Text(), text)
		}
	})
}

func FuzzAppendString(f *testing.F) {
	for _, text := range []string{
		"", "Lunch?", "say \"C:\\\"", "\x00\x1f\x7f\b\f\n\r\t", "Zoë 東京 😀 \u2028\ufffd", "\xff\xc3", "\xed\xa0\x80", "\xf0\x9f\x98",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted := protocol.AppendString(nil, text)
		if !utf8.Valid(quoted) {
			t.Fatalf("%q is written as %q, which is not UTF-8", text, quoted)
		}
		var got string
		if err := json.Unmarshal(quoted, &got); err != nil {
			t.Fatalf("%q is written as %s: %v", text, quoted, err)
		}
		if want := string([]rune(text)); got != want { // a rune conversion makes U+FFFD of each invalid byte
			t.Fatalf("%q is written as %s, which says %q", text, quoted, got)
		}
		// The error says that the text was invalid, the result is complete all the same.
		if want, _ := jsontext.AppendQuote(nil, text); !bytes.Equal(quoted, want) {
			t.Fatalf("%q is written as %s, second opinion %s", text, quoted, want)
		}
		if of := protocol.AppendString(nil, []byte(text)); !bytes.Equal(quoted, of) {
			t.Fatalf("%q is written as %s, its bytes as %s", text, quoted, of)
		}
	})
}

// parseWithStandardLibrary is the second opinion on Parse: the rules of SPEC.md over encoding/json. It differs in that it
// accepts lone surrogates. The code is empty if the frame is accepted.
func parseWithStandardLibrary(frame []byte) (protocol.Message, protocol.Code) {
	if !utf8.Valid(frame) || !json.Valid(frame) || !isStrict(frame) {
		return protocol.Message{}, protocol.CodeInvalidJSON
	}
	var members, scope map[string]json.RawMessage
	if json.Unmarshal(frame, &members) != nil || members == nil {
		return protocol.Message{}, protocol.CodeInvalidJSON
	}
	kind, ok := stringMember(members, "type")
	if !ok || kind != "subscribe" && kind != "unsubscribe" {
		return protocol.Message{}, protocol.CodeUnknownMessageType
	}
	channel, ok := stringMember(members, "channel")
	if !ok {
		return protocol.Message{}, protocol.CodeUnknownChannel
	}
	if json.Unmarshal(members["scope"], &scope) != nil || len(scope) != 2 {
		return protocol.Message{}, protocol.CodeInvalidScope
	}
	col, ok := stringMember(scope, "col")
	value := scope["value"]
	if !ok || len(value) == 0 || strings.ContainsAny(string(value[0]), "n[{") {
		return protocol.Message{}, protocol.CodeInvalidScope
	}
	var raw bytes.Buffer
	if json.Compact(&raw, members["scope"]) != nil {
		return protocol.Message{}, protocol.CodeInvalidScope
	}
	return protocol.Message{
		Type: protocol.MessageType(kind), Channel: channel,
		Scope: protocol.Scope{Col: col, Value: value, Raw: raw.Bytes()},
	}, ""
}

func stringMember(members map[string]json.RawMessage, name string) (string, bool) {
	raw := members[name]
	if len(raw) == 0 || raw[0] != '"' {
		return "", false
	}
	var text string
	err := json.Unmarshal(raw, &text)
	return text, err == nil
}

// isStrict reports whether a valid JSON text is nested no deeper than 8 and has no name twice in an object.
func isStrict(text []byte) bool {
	type level struct {
		names   map[string]bool // nil in an array
		inValue bool            // the next token is a member's value
	}
	var open []level
	for d := json.NewDecoder(bytes.NewReader(text)); ; {
		d.UseNumber()
		token, err := d.Token()
		if err != nil {
			return true // the end, for the text is valid
		}
		if token == json.Delim('}') || token == json.Delim(']') {
			open = open[:len(open)-1]
			continue
		}
		if len(open) > 0 && open[len(open)-1].names != nil {
			top := &open[len(open)-1]
			if top.inValue = !top.inValue; top.inValue {
				name := token.(string)
				if top.names[name] {
					return false
				}
				top.names[name] = true
				continue
			}
		}
		switch token {
		case json.Delim('{'):
			open = append(open, level{names: map[string]bool{}})
		case json.Delim('['):
			open = append(open, level{})
		}
		if len(open) > 8 {
			return false
		}
	}
}
