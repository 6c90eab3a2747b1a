package gateway

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// wireEnd is a connection whose peer has sent all that it will.
type wireEnd struct {
	net.Conn
	sent *bytes.Reader
	got  bytes.Buffer
}

func (w *wireEnd) Read(p []byte) (int, error)       { return w.sent.Read(p) }
func (w *wireEnd) Write(p []byte) (int, error)      { return w.got.Write(p) }
func (w *wireEnd) SetWriteDeadline(time.Time) error { return nil }
func (w *wireEnd) SetReadDeadline(time.Time) error  { return nil }
func (w *wireEnd) Close() error                     { return nil }

func inboundOf(sent []byte, deflated bool) (*inbound, *wireEnd) {
	end := &wireEnd{sent: bytes.NewReader(sent)}
	return &inbound{raw: capture(end, nil, time.Second), allow: func() bool { return true }, deflated: deflated}, end
}

// masked is a frame with a mask that changes something.
func masked(first byte, payload string) []byte {
	frame := clientFrame(first, []byte(payload))
	at := len(frame) - len(payload)
	copy(frame[at-4:], "\x11\x22\x33\x44")
	for i := range len(payload) {
		frame[at+i] ^= frame[at-4+i&3]
	}
	return frame
}

func deflate(t testing.TB, text string) string {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff")
}

func TestInbound(t *testing.T) {
	long := strings.Repeat("Lunch at one? ", 4000)
	const goodbye = "\x03\xe8see you"
	for name, c := range map[string]struct {
		sent     [][]byte
		deflated bool
		want     []string // messages
		answers  string   // control frames
		end      error
	}{
		"messages of all lengths": {
			sent: [][]byte{masked(textFrame, ""), masked(textFrame, "a"), masked(textFrame, long[:125]), masked(textFrame, long[:126]), masked(textFrame, long)},
			want: []string{"", "a", long[:125], long[:126], long}, end: io.EOF,
		},
		"fragments, with control frames between them": {
			sent:    [][]byte{masked(0x01, "Lunch "), masked(0x89, "there?"), masked(0x00, ""), masked(0x8A, "x"), masked(0x80, "at one?"), masked(textFrame, "b")},
			want:    []string{"Lunch at one?", "b"},
			answers: "\x8A\x06there?", end: io.EOF,
		},
		"a binary message is read and passed over": {
			sent: [][]byte{masked(0x02, "x"), masked(0x80, "y"), masked(textFrame, "a")}, want: []string{"!binary message", "a"}, end: io.EOF,
		},
		"compressed": {
			sent:     [][]byte{masked(0xC1, deflate(t, long)), masked(0x41, deflate(t, "ab")[:1]), masked(0x80, deflate(t, "ab")[1:]), masked(textFrame, "plain")},
			deflated: true, want: []string{long, "ab", "plain"}, end: io.EOF,
		},
		"a goodbye is answered":            {sent: [][]byte{masked(closeFrame, goodbye)}, answers: "\x88\x09" + goodbye, end: errLeft},
		"one without a code":               {sent: [][]byte{masked(closeFrame, "")}, answers: "\x88\x00", end: errLeft},
		"nothing is answered behind it":    {sent: [][]byte{masked(closeFrame, ""), masked(0x89, "x")}, answers: "\x88\x00", end: errLeft},
		"a goodbye with half a code":       {sent: [][]byte{masked(closeFrame, "\x03")}, end: errMisframed},
		"a goodbye with no code there is":  {sent: [][]byte{masked(closeFrame, "\x03\xed")}, end: errMisframed},
		"too big":                          {sent: [][]byte{masked(textFrame, long[:40_000]), masked(0x01, long), masked(0x80, long)}, want: []string{long[:40_000]}, end: errTooBig},
		"too big when it is inflated":      {sent: [][]byte{masked(0xC1, deflate(t, strings.Repeat("a", maxFrame+1)))}, deflated: true, end: errTooBig},
		"a length that is no number":       {sent: [][]byte{{0x81, 0xFF, 0xFF, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}}, end: errMisframed},
		"an immense length":                {sent: [][]byte{{0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0}}, end: errTooBig},
		"not masked":                       {sent: [][]byte{{0x81, 1, 'a'}}, end: errMisframed},
		"a bit that means nothing":         {sent: [][]byte{masked(0xA1, "a")}, end: errMisframed},
		"an opcode that means nothing":     {sent: [][]byte{masked(0x83, "a")}, end: errMisframed},
		"another one":                      {sent: [][]byte{masked(0x8B, "a")}, end: errMisframed},
		"compressed, without an agreement": {sent: [][]byte{masked(0xC1, deflate(t, "a"))}, end: errMisframed},
		"compressed in the second frame":   {sent: [][]byte{masked(0x01, "a"), masked(0xC0, "b")}, deflated: true, end: errMisframed},
		"compressed nonsense":              {sent: [][]byte{masked(0xC1, "\xff\xff\xff")}, deflated: true, end: errMisframed},
		"a fragment of nothing":            {sent: [][]byte{masked(0x80, "a")}, end: errMisframed},
		"a message within another":         {sent: [][]byte{masked(0x01, "a"), masked(textFrame, "b")}, end: errMisframed},
		"a fragmented ping":                {sent: [][]byte{masked(0x09, "a")}, end: errMisframed},
		"a ping that is too long":          {sent: [][]byte{masked(0x89, long[:126])}, end: errMisframed},
		"cut short":                        {sent: [][]byte{masked(textFrame, "Lunch?")[:8]}, end: io.ErrUnexpectedEOF},
		"cut short in its head":            {sent: [][]byte{masked(textFrame, "Lunch?")[:5]}, end: io.ErrUnexpectedEOF},
		"nothing":                          {end: io.EOF},
	} {
		t.Run(name, func(t *testing.T) {
			in, end := inboundOf(bytes.Join(c.sent, nil), c.deflated)
			var err error
			for _, want := range c.want {
				var message []byte
				message, err = in.read()
				got := string(message)
				if errors.Is(err, errNotText) {
					got = "!" + err.Error()
				} else if err != nil {
					t.Fatalf("%v, want %.100q", err, want)
				}
				if got != want {
					t.Errorf("got %.100q, want %.100q", got, want)
				}
			}
			if message, err := in.read(); !errors.Is(err, c.end) || message != nil {
				t.Errorf("%.100q, %v, want %v", message, err, c.end)
			}
			if got := end.got.String(); got != c.answers {
				t.Errorf("answered %q, want %q", got, c.answers)
			}
		})
	}
}

// Every frame counts, so that nobody can keep the gateway busy with those that are no message.
func TestInboundCountsEveryFrame(t *testing.T) {
	for name, frame := range map[string][]byte{"pings": masked(0x89, ""), "pongs": masked(0x8A, ""), "empty fragments": masked(0x00, "")} {
		in, _ := inboundOf(append(masked(0x01, ""), bytes.Repeat(frame, 100)...), false)
		left := 10
		in.allow = func() bool { left--; return left >= 0 }
		if _, err := in.read(); !errors.Is(err, errTooMany) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A goodbye of ours is answered behind all that the peer had under way, however much and of whatever kind that is.
func TestInboundLingers(t *testing.T) {
	long := strings.Repeat("Lunch at one? ", 10_000)
	for name, sent := range map[string][]byte{
		"in the middle of a message": append(masked(textFrame, long), masked(closeFrame, "\x03\xe9")...),
		"behind messages":            append(append(masked(textFrame, "a"), masked(0x89, "b")...), masked(closeFrame, "\x03\xe9")...),
		"behind nonsense":            {0xFF, 0xFF, 1, 2, 3},
		"never":                      masked(textFrame, long)[:1000],
	} {
		in, end := inboundOf(sent, false)
		_, _ = in.read()
		in.linger()
		if end.sent.Len() > 0 {
			t.Errorf("%s: %d bytes are unread", name, end.sent.Len())
		}
	}
}

func FuzzInbound(f *testing.F) {
	f.Add(masked(textFrame, "Lunch?"), false)
	f.Add(append(masked(0x01, "Lunch "), masked(0x80, "at one?")...), true)
	f.Add(masked(0xC1, deflate(f, "Lunch?")), true)
	f.Add(append(masked(0x89, "x"), masked(closeFrame, "\x03\xe8")...), false)
	f.Fuzz(func(t *testing.T, sent []byte, deflated bool) {
		in, end := inboundOf(sent, deflated)
		for {
			message, err := in.read()
			if len(message) > maxFrame || err != nil && message != nil {
				t.Fatalf("a message of %d bytes, %v", len(message), err)
			}
			if err != nil && !errors.Is(err, errNotText) {
				break
			}
		}
		in.linger()
		for b := end.got.Bytes(); len(b) > 0; b = b[2+int(b[1]):] { // whole control frames, and nothing else
			if b[0] != 0x8A && b[0] != closeFrame || b[1] > maxControl || len(b) < 2+int(b[1]) {
				t.Fatalf("answered %x", end.got.Bytes())
			}
		}
	})
}
