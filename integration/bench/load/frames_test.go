package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// frame is one of a server's frames.
func frame(first byte, payload string) []byte {
	b := []byte{first}
	switch n := len(payload); {
	case n < 126:
		b = append(b, byte(n))
	case n < 1<<16:
		b = binary.BigEndian.AppendUint16(append(b, 126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 127), uint64(n))
	}
	return append(b, payload...)
}

// notes is a sink that writes down what it gets.
type notes []string

func (n *notes) message(kind Kind, payload []byte) {
	*n = append(*n, fmt.Sprintf("%d %s", kind, payload))
}
func (n *notes) control(op byte, payload []byte) {
	*n = append(*n, fmt.Sprintf("op %x %s", op, payload))
}

func TestWalkWhateverThePieces(t *testing.T) {
	long, longer := `{"type":"snapshot","rows":[`+strings.Repeat("1,", 1000)+`1]}`, `{"type":"transaction"`+strings.Repeat(" ", 70_000)+`}`
	var stream []byte
	var want notes
	add := func(kind Kind, frames [][]byte, payload string) {
		stream = append(stream, bytes.Join(frames, nil)...)
		want.message(kind, []byte(payload))
	}
	add(Subscribed, [][]byte{frame(0x81, `{"type":"subscribed"}`)}, `{"type":"subscribed"}`)
	add(Change, [][]byte{frame(0x81, `{"type":"change","event":{}}`)}, `{"type":"change","event":{}}`)
	add(Snapshot, [][]byte{frame(0x81, long)}, long)
	add(Transaction, [][]byte{frame(0x81, longer)}, longer)
	add(Other, [][]byte{frame(0x81, `{}`)}, `{}`)
	add(Other, [][]byte{frame(0x81, ``)}, ``)
	add(Compressed, [][]byte{frame(0xC1, "\x01\x02")}, "\x01\x02")
	stream = append(stream, frame(0x89, "ping")...)
	want.control(opPing, []byte("ping"))
	add(Welcome, [][]byte{frame(0x81, `{"type":"welcome"}`)}, `{"type":"welcome"}`)
	// A ping between the frames of one message comes first: it is whole before the message is.
	want.control(opPing, []byte("between"))
	add(Change, [][]byte{frame(0x01, `{"type":"change"`), frame(0x89, "between"), frame(0x00, `,"a"`), frame(0x80, `:1}`)}, `{"type":"change","a":1}`)
	stream = append(stream, frame(0x88, "\x03\xe9")...)
	want.control(opClose, []byte("\x03\xe9"))

	for seed := range uint64(200) {
		draw := rand.New(rand.NewPCG(seed, 1))
		w, got := &walker{keeps: true}, notes{}
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 1+draw.IntN(1+draw.IntN(40)*draw.IntN(200)))
			if err := w.walk(slices.Clone(rest[:n]), &got); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if !slices.Equal(got, want) {
			t.Fatalf("seed %d: got %.500q, want %.500q", seed, got, want)
		}
		if w.counts[Change] != 2 || w.counts[Other] != 2 || w.counts[Transaction] != 1 || w.counts[Compressed] != 1 {
			t.Fatalf("seed %d: counts %v", seed, w.counts)
		}
	}
}

func TestWalkCountsLines(t *testing.T) {
	w := &walker{lines: true}
	stream := append(frame(0x81, "{\"push\":1}\n{\"push\":2}\n{\"push\":3}"), frame(0x81, "{\"push\":4}")...)
	for _, b := range stream {
		if err := w.walk([]byte{b}, &notes{}); err != nil {
			t.Fatal(err)
		}
	}
	if w.counts[Other] != 4 || w.bytes != 42 {
		t.Errorf("%d messages in %d bytes, want 4 in 42", w.counts[Other], w.bytes)
	}
}

func TestWalkRefusesMaskedFrames(t *testing.T) {
	if err := (&walker{}).walk([]byte{0x81, 0x80, 0, 0, 0, 0}, &notes{}); !errors.Is(err, errMasked) {
		t.Errorf("error %v, want %v", err, errMasked)
	}
}

func TestKinds(t *testing.T) {
	for text, want := range map[string]Kind{
		`{"type":"change","channel":"m"}`: Change, `{"type":"subscribed"}`: Subscribed, `{"type":"snapshot"}`: Snapshot,
		`{"type":"reset"}`: Reset, `{"type":"error","code":"forbidden"}`: Refusal, `{"type":"heartbeat"}`: Heartbeat,
		`{"push":{"channel":"x"}}`: Other, `{"type":"x`: Other, `{"id":1,"connect":{}}`: Other,
	} {
		if got := kindOf([]byte(text)); got != want {
			t.Errorf("%s is of kind %d, want %d", text, got, want)
		}
	}
}
