package protocol_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/reactive-gw/reactive-gw/protocol"
)

func TestFramesWithNothingInThem(t *testing.T) {
	scope := []byte(conversation)
	for _, tc := range []struct{ name, got, want string }{
		{
			"snapshot of an empty set",
			string(protocol.AppendSnapshot(nil, "message", scope, nil)),
			`{"type":"snapshot","channel":"message","scope":` + conversation + `,"rows":[]}`,
		},
		{
			"one event as a batch",
			string(protocol.AppendChanges(nil, "message", scope, []byte(`{"type":"afterInsert"}`))),
			`{"type":"change","channel":"message","scope":` + conversation + `,"events":[{"type":"afterInsert"}]}`,
		},
		{
			"event without a primary key",
			string(protocol.AppendEvent(nil, protocol.Event{Type: protocol.AfterInsert, Schema: "public", Table: "audit", Row: []byte(`{"note":"x"}`)})),
			`{"type":"afterInsert","schemaName":"public","tableName":"audit","primaryKey":{},"row":{"note":"x"}}`,
		},
		{
			"update that changed nothing",
			string(protocol.AppendEvent(nil, protocol.Event{Type: protocol.AfterUpdate, Schema: "public", Table: "member", PrimaryKey: []byte(`{"id":1}`), Row: []byte(`{"id":1}`)})),
			`{"type":"afterUpdate","schemaName":"public","tableName":"member","primaryKey":{"id":1},"row":{"id":1},"changed":{}}`,
		},
		{
			"changed belongs to updates alone",
			string(protocol.AppendEvent(nil, protocol.Event{Type: protocol.AfterDelete, Schema: "public", Table: "member", PrimaryKey: []byte(`{"id":1}`), Row: []byte(`{"id":1}`), Changed: []byte(`{"id":1}`)})),
			`{"type":"afterDelete","schemaName":"public","tableName":"member","primaryKey":{"id":1},"row":{"id":1}}`,
		},
	} {
		if tc.got != tc.want {
			t.Errorf("%s\n got %s\nwant %s", tc.name, tc.got, tc.want)
		}
	}
}

func TestFramesEscapeNames(t *testing.T) {
	const name = "a\"\\\n"
	scope := []byte(conversation)
	event := protocol.AppendEvent(nil, protocol.Event{Type: protocol.AfterInsert, Schema: name, Table: name})
	for _, frame := range [][]byte{
		event,
		protocol.AppendSubscribed(nil, name, scope),
		protocol.AppendSnapshot(nil, name, scope, [][]byte{event}),
		protocol.AppendChange(nil, name, scope, event),
		protocol.AppendChanges(nil, name, scope, joined(event, event)),
		protocol.AppendError(nil, protocol.Code(name)),
	} {
		var members map[string]any
		if err := json.Unmarshal(frame, &members); err != nil {
			t.Fatalf("%s: %v", frame, err)
		}
		for _, member := range []string{"channel", "schemaName", "tableName", "code"} {
			if text, ok := members[member]; ok && text != name {
				t.Errorf("%s of %s is %q", member, frame, text)
			}
		}
	}
}

func TestFramesAreAppended(t *testing.T) {
	sent := []byte(`{"type":"error","code":"forbidden"}`)
	for name, frame := range map[string]func([]byte) []byte{
		"subscribed": func(dst []byte) []byte { return protocol.AppendSubscribed(dst, "message", []byte(conversation)) },
		"snapshot":   func(dst []byte) []byte { return protocol.AppendSnapshot(dst, "message", []byte(conversation), nil) },
		"change": func(dst []byte) []byte {
			return protocol.AppendChange(dst, "message", []byte(conversation), []byte(`{}`))
		},
		"changes": func(dst []byte) []byte { return protocol.AppendChanges(dst, "message", []byte(conversation), nil) },
		"error":   func(dst []byte) []byte { return protocol.AppendError(dst, protocol.CodeForbidden) },
		"event":   func(dst []byte) []byte { return protocol.AppendEvent(dst, protocol.Event{}) },
	} {
		got := frame(bytes.Clone(sent))
		if want := append(bytes.Clone(sent), frame(nil)...); !bytes.Equal(got, want) {
			t.Errorf("%s\n got %s\nwant %s", name, got, want)
		}
	}
}

func TestEventsAndChangesAreWrittenWithoutAllocating(t *testing.T) {
	scope := []byte(conversation)
	event := protocol.Event{
		Type: protocol.AfterUpdate, Schema: "public", Table: "Übergröße",
		PrimaryKey: []byte(`{"id":3}`), Row: []byte(`{"id":3,"body":"Lunch?"}`), Changed: []byte(`{"body":"Lunch?"}`),
	}
	buf, frame := make([]byte, 0, 1024), make([]byte, 0, 1024)
	body := []byte("Zo\xc3\xab said \"Lunch?\"\n\xff")
	for name, write := range map[string]func(){
		"event":   func() { buf = protocol.AppendEvent(buf[:0], event) },
		"change":  func() { frame = protocol.AppendChange(frame[:0], "message", scope, buf) },
		"changes": func() { frame = protocol.AppendChanges(frame[:0], "message", scope, buf) },
		"string":  func() { frame = protocol.AppendString(frame[:0], body) },
	} {
		if n := testing.AllocsPerRun(100, write); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
