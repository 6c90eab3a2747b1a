package protocol_test

import (
	"bytes"
	"flag"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/protocol"
)

var update = flag.Bool("update", false, "rewrite testdata/*.golden")

// conversation is the scope of the examples, as a client sends it.
const conversation = `{"col":"conversation_id","value":42}`

// clientFrames are the frames that a client sends, by the name of their golden file.
func clientFrames() map[string]string {
	return map[string]string{
		"subscribe":   `{"type":"subscribe","channel":"message","scope":` + conversation + `}`,
		"unsubscribe": `{"type":"unsubscribe","channel":"message","scope":` + conversation + `}`,
	}
}

// serverFrames are the frames that the server sends, by the name of their golden file.
func serverFrames() map[string][]byte {
	scope := []byte(conversation)
	lunch := protocol.Event{
		Schema: "public", Table: "message", PrimaryKey: []byte(`{"id":3}`),
		Row: []byte(`{"id":3,"conversation_id":42,"author_id":7,"body":"Lunch at one?"}`),
	}
	inserted, updated, deleted := lunch, lunch, lunch
	inserted.Type = protocol.AfterInsert
	inserted.Row = []byte(`{"id":3,"conversation_id":42,"author_id":7,"body":"Lunch?"}`)
	updated.Type = protocol.AfterUpdate
	updated.Changed = []byte(`{"body":"Lunch at one?"}`)
	deleted.Type = protocol.AfterDelete

	change := func(e protocol.Event) []byte {
		return protocol.AppendChange(nil, "message", scope, protocol.AppendEvent(nil, e))
	}
	orderItem := func(what protocol.EventType, key, rest string) []byte {
		return protocol.AppendEvent(nil, protocol.Event{
			Type: what, Schema: "public", Table: "order_item",
			PrimaryKey: []byte(`{` + key + `}`), Row: []byte(`{` + key + `,` + rest + `}`),
		})
	}
	return map[string][]byte{
		"subscribed": protocol.AppendSubscribed(nil, "message", scope),
		"snapshot": protocol.AppendSnapshot(nil, "message", scope, [][]byte{
			[]byte(`{"id":1,"conversation_id":42,"author_id":7,"body":"Hello"}`),
			[]byte(`{"id":2,"conversation_id":42,"author_id":8,"body":"Hello yourself"}`),
		}),
		"change-insert": change(inserted),
		"change-update": change(updated),
		"change-delete": change(deleted),
		"changes": protocol.AppendChanges(nil, "order-items", []byte(`{"col":"order_id","value":"9007199254740993"}`), joined(
			orderItem(protocol.AfterInsert, `"order_id":9007199254740993,"line":1`, `"product_id":5,"quantity":2`),
			orderItem(protocol.AfterDelete, `"order_id":9007199254740993,"line":2`, `"product_id":6,"quantity":1`),
		)),
		"error": protocol.AppendError(nil, protocol.CodeForbidden),
	}
}

func TestServerFramesAreGolden(t *testing.T) {
	for name, frame := range serverFrames() {
		t.Run(name, func(t *testing.T) {
			if want := golden(t, name, frame); !bytes.Equal(frame, want) {
				t.Errorf("frame differs from its golden file\n got %s\nwant %s", frame, want)
			}
		})
	}
}

func TestClientFramesAreGolden(t *testing.T) {
	for name, frame := range clientFrames() {
		t.Run(name, func(t *testing.T) {
			want := golden(t, name, []byte(frame))
			if frame != string(want) {
				t.Errorf("frame differs from its golden file\n got %s\nwant %s", frame, want)
			}
			m, err := protocol.Parse(want)
			if err != nil {
				t.Fatal(err)
			}
			if string(m.Type) != name || m.Channel != "message" ||
				m.Scope.Col != "conversation_id" || m.Scope.Text() != "42" || string(m.Scope.Raw) != conversation {
				t.Errorf("Parse(%s) = %+v", want, m)
			}
		})
	}
}

func TestEveryGoldenFileIsCompared(t *testing.T) {
	compared := serverFrames()
	maps.Copy(compared, extendedServerFrames())
	for name := range clientFrames() {
		compared[name] = nil
	}
	for name := range extendedClientFrames() {
		compared[name] = nil
	}
	for _, name := range goldenNames(t) {
		if _, ok := compared[name]; !ok {
			t.Errorf("testdata/%s.golden belongs to no frame", name)
		}
	}
}

// golden returns the frame that is kept under that name, having replaced it by frame if the test runs with -update.
func golden(t *testing.T, name string, frame []byte) []byte {
	t.Helper()
	path := filepath.Join("testdata", name+".golden")
	if *update && frame != nil {
		if err := os.WriteFile(path, append(bytes.Clone(frame), '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	kept, ok := bytes.CutSuffix(kept, []byte("\n"))
	if !ok {
		t.Fatalf("%s does not end in a newline", path)
	}
	return kept
}

func goldenNames(t *testing.T) []string {
	t.Helper()
	paths, err := filepath.Glob("testdata/*.golden")
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		t.Fatal("testdata has no golden files")
	}
	names := make([]string, len(paths))
	for i, path := range paths {
		names[i] = strings.TrimSuffix(filepath.Base(path), ".golden")
	}
	return names
}

func joined(events ...[]byte) (all []byte) {
	for _, event := range events {
		all = protocol.AppendJoined(all, event)
	}
	return all
}
