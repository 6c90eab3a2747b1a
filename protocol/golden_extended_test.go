package protocol_test

import (
	"bytes"
	"errors"
	"os"
	"reflect"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// aCursor is the cursor of the examples.
func aCursor() protocol.Cursor {
	return protocol.Cursor{Epoch: protocol.NewEpochID("7000000000000000000/1/1"), Position: 0x16B3748}
}

// extendedClientFrames are the frames that only a client of the extended protocol sends, with what they say.
func extendedClientFrames() map[string]protocol.Message {
	scope := protocol.Scope{Col: "conversation_id", Value: []byte("42"), Raw: []byte(conversation)}
	return map[string]protocol.Message{
		"v2-subscribe": {Type: protocol.Subscribe, Channel: "message", Scope: scope, Since: aCursor().String()},
		"v2-auth":      {Type: protocol.Auth, Token: "eyJhbGciOiJSUzI1NiJ9.e30.c2lnbmF0dXJl"},
		"v2-wait-for":  {Type: protocol.WaitFor, LSN: "0/16B3748"},
		"v2-beat":      {Type: protocol.Heartbeat},
	}
}

// extendedServerFrames are the frames of the server that the extended protocol adds.
func extendedServerFrames() map[string][]byte {
	scope, cursor := []byte(conversation), aCursor().String()
	row := []byte(`{"id":3,"conversation_id":42,"author_id":7,"body":"Lunch at one?"}`)
	updated := protocol.AppendEvent(nil, protocol.Event{
		Type: protocol.AfterUpdate, Schema: "public", Table: "message", PrimaryKey: []byte(`{"id":3}`), Row: row,
		Changed: []byte(`{"body":"Lunch at one?"}`), Before: []byte(`{"body":"Lunch?"}`), Origin: "tab-7f3a",
	})
	moved := protocol.AppendEvent(nil, protocol.Event{
		Type: protocol.AfterDelete, Schema: "public", Table: "message", PrimaryKey: []byte(`{"id":4}`),
		Row: []byte(`{"id":4,"conversation_id":42,"author_id":8,"body":"Wrong room"}`), Origin: "tab-7f3a",
	})
	arrived := protocol.AppendEvent(nil, protocol.Event{
		Type: protocol.AfterInsert, Schema: "public", Table: "message", PrimaryKey: []byte(`{"id":4}`),
		Row: []byte(`{"id":4,"conversation_id":43,"author_id":8}`), Unchanged: []byte(`["body"]`), Origin: "tab-7f3a",
	})
	committed := time.Date(2026, 11, 27, 16, 10, 54, 123456000, time.UTC)
	inside := aCursor()
	inside.Index = 1
	return map[string][]byte{
		"v2-welcome":    protocol.AppendWelcome(nil, aCursor().Epoch, cursor, 15*time.Second),
		"v2-subscribed": protocol.AppendSubscribedAt(nil, "message", scope, cursor, false),
		"v2-resumed":    protocol.AppendSubscribedAt(nil, "message", scope, cursor, true),
		"v2-snapshot": protocol.AppendSnapshotAt(nil, "message", scope, cursor, [][]byte{
			[]byte(`{"id":1,"conversation_id":42,"author_id":7,"body":"Hello"}`),
		}),
		"v2-transaction": protocol.AppendTransaction(nil, protocol.Transaction{Cursor: cursor, CommitTime: committed},
			protocol.AppendPart(nil, "message", scope, joined(updated, moved)),
			protocol.AppendPart(nil, "message", []byte(`{"col":"conversation_id","value":43}`), arrived),
		),
		"v2-partial": protocol.AppendTransaction(nil, protocol.Transaction{Cursor: inside.String(), CommitTime: committed, Partial: true},
			protocol.AppendPart(nil, "message", scope, moved)),
		"v2-unsubscribed":  protocol.AppendUnsubscribed(nil, "message", scope),
		"v2-reset":         protocol.AppendReset(nil, "message", scope, protocol.ResetLogExpired),
		"v2-unavailable":   protocol.AppendErrorAbout(nil, protocol.CodeUnavailable, "message", scope, "it could not be decided whether the client may subscribe"),
		"v2-error":         protocol.AppendErrorAbout(nil, protocol.CodeForbidden, "message", scope, "the client may not subscribe to this scope"),
		"v2-heartbeat":     protocol.AppendHeartbeat(nil, cursor),
		"v2-passed":        protocol.AppendPassed(nil, "0/16B3748", cursor),
		"v2-authenticated": protocol.AppendAuthenticated(nil, time.Date(2026, 11, 27, 17, 10, 54, 0, time.UTC)),
	}
}

func TestExtendedServerFramesAreGolden(t *testing.T) {
	for name, frame := range extendedServerFrames() {
		if want := golden(t, name, frame); !bytes.Equal(frame, want) {
			t.Errorf("%s differs from its golden file\n got %s\nwant %s", name, frame, want)
		}
	}
}

func TestExtendedClientFramesAreRead(t *testing.T) {
	for name, want := range extendedClientFrames() {
		frame := golden(t, name, nil)
		got, err := protocol.ParseExtended(frame)
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: ParseExtended(%s) = %+v, %v", name, frame, got, err)
		}
		// The base protocol gives no meaning to what only this one has.
		base, err := protocol.Parse(frame)
		refused := (*protocol.Error)(nil)
		if want.Type == protocol.Subscribe && (err != nil || base.Since != "") ||
			want.Type != protocol.Subscribe && (!errors.As(err, &refused) || refused.Code != protocol.CodeUnknownMessageType) {
			t.Errorf("%s: Parse(%s) = %+v, %v", name, frame, base, err)
		}
	}
}

// The base protocol is a part of the extended one.
func TestExtendedReadsWhatTheBaseProtocolDoes(t *testing.T) {
	for name, frame := range clientFrames() {
		base, err := protocol.Parse([]byte(frame))
		extended, extendedErr := protocol.ParseExtended([]byte(frame))
		if err != nil || extendedErr != nil || !reflect.DeepEqual(base, extended) {
			t.Errorf("%s: %+v, %v and %+v, %v", name, base, err, extended, extendedErr)
		}
	}
}

func TestCursors(t *testing.T) {
	for _, c := range []protocol.Cursor{{}, aCursor(), {Position: 1<<64 - 1, Index: 1<<32 - 1}} {
		if got, err := protocol.ParseCursor(c.String()); err != nil || got != c {
			t.Errorf("%+v is written %s and read %+v, %v", c, c, got, err)
		}
	}
	if protocol.NewEpochID("1") == protocol.NewEpochID("2") {
		t.Error("two epochs are one")
	}
}

func FuzzParseCursor(f *testing.F) {
	f.Add(aCursor().String())
	f.Add(protocol.Cursor{}.String())
	f.Add("")
	f.Add("AAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := protocol.ParseCursor(text)
		if err == nil && c.String() != text {
			t.Fatalf("%q was read as %+v, which is written %q", text, c, c)
		}
		if err != nil && (!errors.Is(err, protocol.ErrCursor) || c != protocol.Cursor{}) {
			t.Fatalf("%q: %+v, %v", text, c, err)
		}
	})
}

func FuzzParseExtended(f *testing.F) {
	for name := range extendedClientFrames() {
		f.Add(keptFrame(f, name))
	}
	for _, frame := range clientFrames() {
		f.Add([]byte(frame))
	}
	f.Fuzz(func(t *testing.T, frame []byte) {
		sent := bytes.Clone(frame)
		got, err := protocol.ParseExtended(frame)
		if !bytes.Equal(frame, sent) {
			t.Fatalf("%q was changed", sent)
		}
		if refused := (*protocol.Error)(nil); err != nil && !errors.As(err, &refused) {
			t.Fatalf("%q: the error is a %T", sent, err)
		}
		base, baseErr := protocol.Parse(sent)
		if baseErr == nil {
			base.Since = got.Since
			if err == nil && !reflect.DeepEqual(base, got) {
				t.Fatalf("%q is %+v, and %+v in the base protocol", sent, got, base)
			}
		}
	})
}

func keptFrame(f *testing.F, name string) []byte {
	f.Helper()
	frame, err := os.ReadFile("testdata/" + name + ".golden")
	if err != nil {
		f.Fatal(err)
	}
	return bytes.TrimSuffix(frame, []byte("\n"))
}
