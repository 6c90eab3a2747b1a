package wire_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/protocol/wire"
)

// The lengths at which a message's head changes, and those around them.
var lengths = []int{0, 1, 125, 126, 127, 65535, 65536, 70000}

func TestFramesComeBack(t *testing.T) {
	var d wire.Deflater
	for name, appendTo := range map[string]func(dst, frame []byte) []byte{"plain": wire.Append, "compressed": d.Append} {
		var sent [][]byte
		var all []byte
		for _, n := range lengths {
			frame := bytes.Repeat([]byte(`{"body":"Lunch?"}`), n/17+1)[:n]
			sent = append(sent, frame)
			all = appendTo(all, frame)
		}
		got, err := wire.Frames(all)
		if err != nil || !slices.EqualFunc(got, sent, bytes.Equal) {
			t.Errorf("%s: %d of %d frames came back: %v", name, len(got), len(sent), err)
		}
		for cut := range all[:1000] {
			got, err := wire.Frames(all[:cut])
			if !slices.EqualFunc(got, sent[:len(got)], bytes.Equal) {
				t.Fatalf("%s: %d bytes gave other frames than all of them", name, cut)
			}
			if whole := cut == len(wireOf(sent[:len(got)], appendTo)); (err == nil) != whole {
				t.Fatalf("%s: %d bytes: %v", name, cut, err)
			}
		}
	}
}

func wireOf(frames [][]byte, appendTo func(dst, frame []byte) []byte) (all []byte) {
	for _, frame := range frames {
		all = appendTo(all, frame)
	}
	return all
}

func TestSizes(t *testing.T) {
	for _, n := range lengths {
		frame := bytes.Repeat([]byte("x"), n)
		made := wire.Make(frame)
		if len(made) != wire.Size(n) || cap(made) < len(made) {
			t.Errorf("%d bytes take %d, not %d", n, len(made), wire.Size(n))
		}
		if size, at := wire.Next(append(made, "more"...)); size != len(made) || string(made[at:]) != string(frame) {
			t.Errorf("%d bytes: the next message has %d of %d", n, size, len(made))
		}
	}
}

// What compression would make longer goes as it is, and so does what is too short to try.
func TestDeflaterLeavesWhatItCannotShorten(t *testing.T) {
	var d wire.Deflater
	noise := make([]byte, 200)
	for i := range noise {
		noise[i] = byte(i*i*31 + i*7)
	}
	for name, frame := range map[string][]byte{"short": []byte(strings.Repeat("a", 100)), "noise": noise} {
		if got := d.Append(nil, frame); !bytes.Equal(got, wire.Make(frame)) {
			t.Errorf("%s was compressed", name)
		}
	}
	repeated := []byte(strings.Repeat("Lunch? ", 50))
	if got := d.Append(nil, repeated); got[0] != 0xC1 || len(got) > len(repeated)/3 {
		t.Errorf("%d bytes became %d", len(repeated), len(got))
	}
}

func FuzzNext(f *testing.F) {
	f.Add(wire.Make([]byte("Lunch?")))
	f.Add([]byte{0x81, 127, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		size, payload := wire.Next(b)
		if size < payload || size > len(b) {
			t.Errorf("%d bytes hold a message of %d with its payload at %d", len(b), size, payload)
		}
		_, _ = wire.Frames(b)
	})
}

func BenchmarkAppend(b *testing.B) {
	frame := []byte(`{"type":"change","channel":"message","scope":{"col":"conversation_id","value":42},"event":{"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey":{"id":3},"row":{"id":3,"conversation_id":42,"author_id":7,"body":"Lunch at one? The place by the river has tables."}}}`)
	var d wire.Deflater
	for name, appendTo := range map[string]func(dst, frame []byte) []byte{"plain": wire.Append, "compressed": d.Append} {
		b.Run(name, func(b *testing.B) {
			var dst []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(frame)))
			for b.Loop() {
				dst = appendTo(dst[:0], frame)
			}
			b.ReportMetric(float64(len(dst)), "B/frame")
		})
	}
}
