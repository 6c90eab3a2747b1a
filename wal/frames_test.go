package wal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"
	"testing/iotest"
)

func frame(kind byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(4+len(body))), body...)
}

// portions reads a stream in the given sizes, over and over.
type portions struct {
	rest  []byte
	sizes []int
	n     int
}

func (p *portions) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := min(p.sizes[p.n%len(p.sizes)], len(b), len(p.rest))
	p.n++
	copy(b, p.rest[:n])
	p.rest = p.rest[n:]
	return n, nil
}

// Messages of all sizes come out whole and in order, however their bytes arrive, and a huge one does not keep its room.
func TestFramesAreWhole(t *testing.T) {
	var stream []byte
	var want [][]byte
	for _, size := range []int{0, 1, 100, frameBuffer - frameHeader, frameBuffer, 5*frameBuffer + 3, 7, 0} {
		body := make([]byte, size)
		for i := range body {
			body[i] = byte(rand.Uint32())
		}
		want = append(want, body)
		stream = append(stream, frame('d', body)...)
	}
	for _, sizes := range [][]int{{1 << 30}, {1, 4, 5, 100_000}, {frameBuffer}, {4096}} {
		f := &frames{from: &portions{rest: stream, sizes: sizes}}
		for i, body := range want {
			kind, got, err := f.next()
			if err != nil || kind != 'd' || !bytes.Equal(got, body) {
				t.Fatalf("read in %v: message %d of %d bytes came as %q of %d bytes, error %v", sizes, i, len(body), kind, len(got), err)
			}
		}
		if _, _, err := f.next(); !errors.Is(err, io.EOF) {
			t.Errorf("at the end: error %v", err)
		}
		if len(f.buffer) > frameBuffer {
			t.Errorf("read in %v: %d bytes are kept", sizes, len(f.buffer))
		}
	}
}

// A deadline in the middle of a message loses nothing of it.
func TestFramesGoOnAfterADeadline(t *testing.T) {
	stream := append(frame('d', []byte("bread")), frame('d', []byte("wine"))...)
	for cut := range stream {
		f := &frames{from: io.MultiReader(bytes.NewReader(stream[:cut]), iotest.ErrReader(os.ErrDeadlineExceeded))}
		var got []string
		for again := false; len(got) < 2; {
			_, body, err := f.next()
			switch {
			case err == nil:
				got = append(got, string(body))
			case errors.Is(err, os.ErrDeadlineExceeded) && !again:
				again, f.from = true, bytes.NewReader(stream[cut:])
			default:
				t.Fatal(err)
			}
		}
		if got[0] != "bread" || got[1] != "wine" {
			t.Errorf("cut at %d: %q", cut, got)
		}
	}
}

func TestFramesRefuseWhatIsNone(t *testing.T) {
	for name, c := range map[string]struct {
		stream []byte
		want   error
	}{
		"a length that is too short": {[]byte{'d', 0, 0, 0, 3, 1, 2, 3}, errFrame},
		"a length that is too long":  {[]byte{'d', 0xff, 0xff, 0xff, 0xff, 1}, errFrame},
		"a message cut short":        {frame('d', []byte("bread"))[:8], io.ErrUnexpectedEOF},
		"a header cut short":         {[]byte{'d', 0}, io.ErrUnexpectedEOF},
		"nothing":                    {nil, io.EOF},
	} {
		f := &frames{from: bytes.NewReader(c.stream)}
		if _, _, err := f.next(); !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", name, err, c.want)
		}
	}
}

// Of a message that is longer than allowed the beginning comes, the rest is dropped however it arrives, also after a deadline,
// and what follows is whole. It takes no memory.
func TestP86FramesThatAreTooLongAreNotHeld(t *testing.T) {
	long := bytes.Repeat([]byte("long"), frameBuffer)
	fits := bytes.Repeat([]byte("fits"), frameBuffer/2)
	stream := bytes.Join([][]byte{frame('d', long), frame('d', []byte("bread")), frame('N', long), frame('d', fits), frame('d', long), frame('d', []byte("wine"))}, nil)
	for _, sizes := range [][]int{{1 << 30}, {frameBuffer}, {1, 40, 5, 100_000}, {4096}} {
		f := &frames{from: &interrupted{Reader: &portions{rest: stream, sizes: sizes}}, bound: func(byte, []byte) int { return len(fits) }}
		var got []string
		for {
			kind, body, err := f.next()
			if errors.Is(err, os.ErrDeadlineExceeded) {
				continue
			}
			if err != nil {
				if !errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				break
			}
			if f.cut > 0 && (len(body) != frameHead || len(body)+f.cut != len(long)) {
				t.Errorf("%d bytes came, %d are cut", len(body), f.cut)
			}
			got = append(got, fmt.Sprintf("%c%.5s%t", kind, body, f.cut > 0))
			if len(f.buffer) > frameHeader+len(fits) {
				t.Errorf("%d bytes are kept", len(f.buffer))
			}
		}
		if want := "[dlongltrue dbreadfalse Nlongltrue dfitsffalse dlongltrue dwinefalse]"; fmt.Sprint(got) != want {
			t.Errorf("read in %v: got %v", sizes, got)
		}
	}
	f := &frames{from: bytes.NewReader(stream[:len(long)]), bound: func(byte, []byte) int { return len(fits) }}
	if _, _, err := f.next(); err != nil || f.cut == 0 {
		t.Fatalf("error %v, %d bytes are cut", err, f.cut)
	}
	if _, _, err := f.next(); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the end within what is dropped: error %v", err)
	}
}

// interrupted has every other read meet a deadline.
type interrupted struct {
	io.Reader
	reads int
}

func (i *interrupted) Read(b []byte) (int, error) {
	if i.reads++; i.reads%2 == 0 {
		return 0, os.ErrDeadlineExceeded
	}
	return i.Reader.Read(b)
}

// FuzzFrames holds what is read against a reader that takes the same bytes apart in the plainest way, and the memory
// against what has come.
func FuzzFrames(f *testing.F) {
	f.Add(append(frame('d', []byte("bread")), frame('N', nil)...), uint16(3))
	f.Add([]byte{'d', 0, 0, 0, 3}, uint16(1))
	f.Add([]byte{'d', 0x3f, 0xff, 0xff, 0xff, 1, 2}, uint16(1))
	f.Fuzz(func(t *testing.T, stream []byte, portion uint16) {
		const bound = 2 * frameBuffer
		read := &frames{from: &portions{rest: stream, sizes: []int{int(portion) + 1}}, bound: func(byte, []byte) int { return bound }}
		for rest := stream; ; {
			ready := read.ready()
			kind, body, err := read.next()
			if len(read.buffer) > frameHeader+bound {
				t.Fatalf("%d bytes of memory", len(read.buffer))
			}
			if read.cut > 0 {
				if len(body)+read.cut <= bound {
					t.Fatalf("%d bytes are cut of %d", read.cut, len(body)+read.cut)
				}
				return
			}
			whole := len(rest) >= frameHeader
			if whole {
				length := binary.BigEndian.Uint32(rest[1:])
				whole = length >= 4 && int64(length) < int64(len(rest))
			}
			if whole != (err == nil) {
				t.Fatalf("error %v for %x", err, rest)
			}
			if err != nil {
				if ready && !errors.Is(err, errFrame) {
					t.Fatalf("ready, and then: %v", err)
				}
				return
			}
			want := rest[:1+binary.BigEndian.Uint32(rest[1:])]
			if got := frame(kind, body); !bytes.Equal(got, want) {
				t.Fatalf("got %x, want %x", got, want)
			}
			rest = rest[len(want):]
		}
	})
}

func BenchmarkFrames(b *testing.B) {
	stream := bytes.Repeat(frame('d', make([]byte, 100)), 1000)
	from := bytes.NewReader(stream)
	f := &frames{from: from}
	b.ReportAllocs()
	b.SetBytes(int64(len(stream)) / 1000)
	for b.Loop() {
		_, _, err := f.next()
		if errors.Is(err, io.EOF) {
			from.Reset(stream)
			continue
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}
