package protocol_test

import (
	"bytes"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/protocol"
)

func TestParse(t *testing.T) {
	for _, tc := range []struct {
		name, frame string
		channel     string
		scope       protocol.Scope
		text        string
	}{
		{
			name:    "number",
			frame:   `{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":42}}`,
			channel: "message",
			scope:   protocol.Scope{Col: "conversation_id", Value: []byte(`42`), Raw: []byte(`{"col":"conversation_id","value":42}`)},
			text:    "42",
		},
		{
			name:    "number beyond a float",
			frame:   `{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":9007199254740993}}`,
			channel: "message",
			scope:   protocol.Scope{Col: "conversation_id", Value: []byte(`9007199254740993`), Raw: []byte(`{"col":"conversation_id","value":9007199254740993}`)},
			text:    "9007199254740993",
		},
		{
			name:    "number keeps its spelling",
			frame:   `{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":-0.420E+2}}`,
			channel: "message",
			scope:   protocol.Scope{Col: "conversation_id", Value: []byte(`-0.420E+2`), Raw: []byte(`{"col":"conversation_id","value":-0.420E+2}`)},
			text:    "-0.420E+2",
		},
		{
			name:    "string",
			frame:   `{"type":"subscribe","channel":"order-items","scope":{"col":"order_id","value":"42"}}`,
			channel: "order-items",
			scope:   protocol.Scope{Col: "order_id", Value: []byte(`"42"`), Raw: []byte(`{"col":"order_id","value":"42"}`)},
			text:    "42",
		},
		{
			name:    "string keeps its escapes",
			frame:   `{"type":"subscribe","channel":"member","scope":{"col":"name","value":"Zo\u00eb\n\ud83d\ude00</>"}}`,
			channel: "member",
			scope:   protocol.Scope{Col: "name", Value: []byte(`"Zo\u00eb\n\ud83d\ude00</>"`), Raw: []byte(`{"col":"name","value":"Zo\u00eb\n\ud83d\ude00</>"}`)},
			text:    "Zoë\n😀</>",
		},
		{
			name:    "boolean",
			frame:   `{"type":"subscribe","channel":"orders","scope":{"col":"paid","value":true}}`,
			channel: "orders",
			scope:   protocol.Scope{Col: "paid", Value: []byte(`true`), Raw: []byte(`{"col":"paid","value":true}`)},
			text:    "true",
		},
		{
			name:    "other boolean",
			frame:   `{"type":"subscribe","channel":"orders","scope":{"col":"paid","value":false}}`,
			channel: "orders",
			scope:   protocol.Scope{Col: "paid", Value: []byte(`false`), Raw: []byte(`{"col":"paid","value":false}`)},
			text:    "false",
		},
		{
			name:    "white space goes, order and spaces within strings stay",
			frame:   " { \"scope\" :\r\n\t{ \"value\" : \"a b\" , \"col\" : \"name\" } , \"channel\" : \"member\" , \"type\" : \"subscribe\" } \n",
			channel: "member",
			scope:   protocol.Scope{Col: "name", Value: []byte(`"a b"`), Raw: []byte(`{"value":"a b","col":"name"}`)},
			text:    "a b",
		},
		{
			name:    "escaped names are the names that they spell",
			frame:   `{"t\u0079pe":"subscri\u0062e","channel":"\u006dessage","scope":{"co\u006c":"conversation\u005fid","value":1}}`,
			channel: "message",
			scope:   protocol.Scope{Col: "conversation_id", Value: []byte(`1`), Raw: []byte(`{"co\u006c":"conversation\u005fid","value":1}`)},
			text:    "1",
		},
		{
			name:    "other members are ignored, whatever they hold and however they differ in case",
			frame:   `{"Type":"unsubscribe","ſcope":{},"scope":{"col":"id","value":1},"SCOPE":null,"since":[[[[[[["cursor"]]]]]]],"type":"subscribe","channel":"member"}`,
			channel: "member",
			scope:   protocol.Scope{Col: "id", Value: []byte(`1`), Raw: []byte(`{"col":"id","value":1}`)},
			text:    "1",
		},
		{
			name:  "whether the names mean anything is for others to say",
			frame: `{"type":"subscribe","channel":"","scope":{"col":"","value":""}}`,
			scope: protocol.Scope{Value: []byte(`""`), Raw: []byte(`{"col":"","value":""}`)},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := protocol.Parse([]byte(tc.frame))
			if err != nil {
				t.Fatal(err)
			}
			want := protocol.Message{Type: protocol.Subscribe, Channel: tc.channel, Scope: tc.scope}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
			if text := got.Scope.Text(); text != tc.text {
				t.Errorf("Text() = %q, want %q", text, tc.text)
			}
		})
	}
}

func TestW09ParseRefuses(t *testing.T) {
	const message = `"channel":"message"`
	nested := func(depth int) string { // depth of the whole frame
		return `{"type":"subscribe","note":` + strings.Repeat(`[`, depth-1) + strings.Repeat(`]`, depth-1) + `}`
	}
	for _, tc := range []struct {
		name, frame string
		code        protocol.Code
	}{
		{"nothing", ``, protocol.CodeInvalidJSON},
		{"white space", ` `, protocol.CodeInvalidJSON},
		{"text", `subscribe`, protocol.CodeInvalidJSON},
		{"null", `null`, protocol.CodeInvalidJSON},
		{"string", `"subscribe"`, protocol.CodeInvalidJSON},
		{"array", `[{"type":"subscribe"}]`, protocol.CodeInvalidJSON},
		{"open object", `{"type":"subscribe"`, protocol.CodeInvalidJSON},
		{"only a brace", `{`, protocol.CodeInvalidJSON},
		{"cut in a name", `{"ty`, protocol.CodeInvalidJSON},
		{"cut before a value", `{"type":`, protocol.CodeInvalidJSON},
		{"cut in a nested value", `{"scope":{"col":`, protocol.CodeInvalidJSON},
		{"mismatched bracket", `{"scope":[}`, protocol.CodeInvalidJSON},
		{"trailing comma", `{"type":"subscribe",}`, protocol.CodeInvalidJSON},
		{"comment", `{"type":"subscribe"/**/}`, protocol.CodeInvalidJSON},
		{"single quotes", `{'type':'subscribe'}`, protocol.CodeInvalidJSON},
		{"bare name", `{type:"subscribe"}`, protocol.CodeInvalidJSON},
		{"NaN", `{"value":NaN}`, protocol.CodeInvalidJSON},
		{"leading zero", `{"value":042}`, protocol.CodeInvalidJSON},
		{"byte order mark", "\ufeff" + `{"type":"subscribe"}`, protocol.CodeInvalidJSON},
		{"form feed", "{\f}", protocol.CodeInvalidJSON},
		{"control character in a string", "{\"type\":\"sub\nscribe\"}", protocol.CodeInvalidJSON},
		{"a second object", `{}{}`, protocol.CodeInvalidJSON},
		{"a bracket after the object", `{}]`, protocol.CodeInvalidJSON},
		{"a NUL after the object", "{}\x00", protocol.CodeInvalidJSON},
		{"invalid UTF-8 in a value", "{\"type\":\"\xff\"}", protocol.CodeInvalidJSON},
		{"invalid UTF-8 in a name", "{\"\xc3\":1}", protocol.CodeInvalidJSON},
		{"surrogate in UTF-8", "{\"note\":\"\xed\xa0\x80\"}", protocol.CodeInvalidJSON},
		{"lone high surrogate", `{"note":"\ud800"}`, protocol.CodeInvalidJSON},
		{"lone low surrogate", `{"note":["\udc00"]}`, protocol.CodeInvalidJSON},
		{"surrogates in the wrong order", `{"note":"\udc00\ud800"}`, protocol.CodeInvalidJSON},
		{"a name twice", `{"type":"subscribe","type":"subscribe"}`, protocol.CodeInvalidJSON},
		{"a name twice, once escaped", `{"type":"subscribe","\u0074ype":"unsubscribe"}`, protocol.CodeInvalidJSON},
		{"a name twice in the scope", `{"scope":{"col":"id","value":1,"value":2}}`, protocol.CodeInvalidJSON},
		{"a name twice in an ignored member", `{"note":[{"a":1,"a":1}]}`, protocol.CodeInvalidJSON},
		{"nine deep", nested(9), protocol.CodeInvalidJSON},
		{"far too deep", nested(100_000), protocol.CodeInvalidJSON},

		{"eight deep is not too deep", nested(8), protocol.CodeUnknownChannel},
		{"the same name in two objects is not twice", `{"type":"subscribe","note":{"type":1}}`, protocol.CodeUnknownChannel},

		{"empty object", `{}`, protocol.CodeUnknownMessageType},
		{"type is null", `{"type":null}`, protocol.CodeUnknownMessageType},
		{"type is a number", `{"type":1}`, protocol.CodeUnknownMessageType},
		{"type is an object", `{"type":{"type":"subscribe"}}`, protocol.CodeUnknownMessageType},
		{"type is empty", `{"type":""}`, protocol.CodeUnknownMessageType},
		{"type of the server", `{"type":"subscribed"}`, protocol.CodeUnknownMessageType},
		{"type in other case", `{"type":"SUBSCRIBE"}`, protocol.CodeUnknownMessageType},
		{"type with a space", `{"type":"subscribe "}`, protocol.CodeUnknownMessageType},
		{"name in other case", `{"TYPE":"subscribe",` + message + `}`, protocol.CodeUnknownMessageType},

		{"no channel", `{"type":"unsubscribe"}`, protocol.CodeUnknownChannel},
		{"channel is null", `{"type":"subscribe","channel":null}`, protocol.CodeUnknownChannel},
		{"channel is a list", `{"type":"subscribe","channel":["message"]}`, protocol.CodeUnknownChannel},
		{"the channel's fault comes before the scope's", `{"type":"subscribe","channel":1,"scope":1}`, protocol.CodeUnknownChannel},

		{"no scope", `{"type":"subscribe",` + message + `}`, protocol.CodeInvalidScope},
		{"scope is null", `{"type":"subscribe",` + message + `,"scope":null}`, protocol.CodeInvalidScope},
		{"scope is a list", `{"type":"subscribe",` + message + `,"scope":["id",1]}`, protocol.CodeInvalidScope},
		{"scope is a string", `{"type":"subscribe",` + message + `,"scope":"{}"}`, protocol.CodeInvalidScope},
		{"scope is empty", `{"type":"subscribe",` + message + `,"scope":{}}`, protocol.CodeInvalidScope},
		{"no col", `{"type":"subscribe",` + message + `,"scope":{"value":1}}`, protocol.CodeInvalidScope},
		{"col is a number", `{"type":"subscribe",` + message + `,"scope":{"col":1,"value":1}}`, protocol.CodeInvalidScope},
		{"col in other case", `{"type":"subscribe",` + message + `,"scope":{"Col":"id","value":1}}`, protocol.CodeInvalidScope},
		{"no value", `{"type":"unsubscribe",` + message + `,"scope":{"col":"id"}}`, protocol.CodeInvalidScope},
		{"value is null", `{"type":"subscribe",` + message + `,"scope":{"col":"id","value":null}}`, protocol.CodeInvalidScope},
		{"value is a list", `{"type":"subscribe",` + message + `,"scope":{"col":"id","value":[1]}}`, protocol.CodeInvalidScope},
		{"value is an object", `{"type":"subscribe",` + message + `,"scope":{"col":"id","value":{"in":[1]}}}`, protocol.CodeInvalidScope},
		{"a further member", `{"type":"subscribe",` + message + `,"scope":{"col":"id","value":1,"op":"gt"}}`, protocol.CodeInvalidScope},
		{"a further member without a name", `{"type":"subscribe",` + message + `,"scope":{"col":"id","value":1,"":null}}`, protocol.CodeInvalidScope},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m, err := protocol.Parse([]byte(tc.frame))
			var refused *protocol.Error
			if !errors.As(err, &refused) {
				t.Fatalf("Parse = %+v, %v, want %s", m, err, tc.code)
			}
			if refused.Code != tc.code {
				t.Errorf("Parse: %v, want %s", err, tc.code)
			}
			want := protocol.Message{}
			if tc.code == protocol.CodeInvalidScope {
				want = protocol.Message{Type: m.Type, Channel: "message"}
			}
			if !reflect.DeepEqual(m, want) {
				t.Errorf("a refused frame gave %+v, want %+v", m, want)
			}
		})
	}
}

func TestMessageOutlivesItsFrame(t *testing.T) {
	sent := []byte(`{"type":"subscribe","channel":"member","scope":{"col":"name","value":"Zoë"}}`)
	frame := bytes.Clone(sent)
	m, err := protocol.Parse(frame)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(frame, sent) {
		t.Errorf("Parse changed the frame to %s", frame)
	}
	for i := range frame {
		frame[i] = 'x'
	}
	want := protocol.Message{Type: protocol.Subscribe, Channel: "member", Scope: protocol.Scope{
		Col: "name", Value: []byte(`"Zoë"`), Raw: []byte(`{"col":"name","value":"Zoë"}`),
	}}
	if !reflect.DeepEqual(m, want) {
		t.Errorf("the message changed with its frame: %+v", m)
	}
}

func TestErrorSaysWhichRuleAFrameBreaks(t *testing.T) {
	for frame, detail := range map[string]string{
		`["subscribe"]`:               "not a JSON object",
		`"subscribe"`:                 "not a JSON object",
		`{"type":`:                    "not JSON in UTF-8",
		`{"type":1,"type":2}`:         "a member name occurs twice",
		`{} {}`:                       "more than white space after the object",
		`{"note":[[[[[[[[1]]]]]]]]}`:  "nested too deep",
		`{"type":"heartbeat"}`:        "type is neither subscribe nor unsubscribe",
		`{"type":"subscribe"}`:        "channel is missing or not a string",
		`{"channel":"message"}`:       "type is missing or not a string",
		`{"note":{"a":1,"\u0061":2}}`: "a member name occurs twice",
	} {
		_, err := protocol.Parse([]byte(frame))
		var refused *protocol.Error
		if !errors.As(err, &refused) || refused.Detail != detail {
			t.Errorf("Parse(%s): %v, want %s", frame, err, detail)
		}
	}
}

func TestErrorTellsNothingOfTheFrame(t *testing.T) {
	const secret = "hunter2"
	for _, frame := range []string{
		`{"` + secret + `":1,"` + secret + `":2}`,
		`{"` + secret + `":@}`,
		`{"type":"` + secret + `"}`,
		`{"type":"subscribe","channel":"message","scope":{"col":"id","value":1,"` + secret + `":1}}`,
	} {
		_, err := protocol.Parse([]byte(frame))
		if err == nil {
			t.Errorf("Parse accepted %s", frame)
		} else if strings.Contains(err.Error(), secret) || !strings.HasPrefix(err.Error(), "parse frame: ") {
			t.Errorf("the error of %s reads %q", frame, err)
		}
	}
}
