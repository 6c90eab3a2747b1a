package protocol_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/protocol"
)

func BenchmarkParse(b *testing.B) {
	frame := []byte(clientFrames()["subscribe"])
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := protocol.Parse(frame); err != nil {
			b.Fatal(err)
		}
	}
}

func editedMessage() protocol.Event {
	return protocol.Event{
		Type: protocol.AfterUpdate, Schema: "public", Table: "message", PrimaryKey: []byte(`{"id":3}`),
		Row:     []byte(`{"id":3,"conversation_id":42,"author_id":7,"body":"Lunch at one?"}`),
		Changed: []byte(`{"body":"Lunch at one?"}`),
	}
}

func BenchmarkAppendEvent(b *testing.B) {
	event := editedMessage()
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = protocol.AppendEvent(dst[:0], event)
	}
	b.SetBytes(int64(len(dst)))
}

func BenchmarkAppendChange(b *testing.B) {
	scope, event := []byte(conversation), protocol.AppendEvent(nil, editedMessage())
	var dst []byte
	b.ReportAllocs()
	for b.Loop() {
		dst = protocol.AppendChange(dst[:0], "message", scope, event)
	}
	b.SetBytes(int64(len(dst)))
}

func BenchmarkAppendString(b *testing.B) {
	text := []byte("Zoë wrote: \"Shall we have lunch at one? The place by the river has tables.\"\n")
	var dst []byte
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		dst = protocol.AppendString(dst[:0], text)
	}
}
