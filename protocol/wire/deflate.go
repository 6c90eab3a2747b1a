package wire

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math"
)

// Deflater makes the wire form for clients that take compressed messages, without context takeover (RFC 7692, section
// 7.1.1): only so is it the same for all of them. The zero value is ready. It belongs to one goroutine, and holds about a
// megabyte once it was used.
type Deflater struct {
	writer *flate.Writer
	buffer bytes.Buffer
}

// worthDeflating is the length of a frame from which compression is tried: below it little is gained.
const worthDeflating = 128

// Append appends a frame in its wire form, compressed where that makes it shorter.
func (d *Deflater) Append(dst, frame []byte) []byte {
	if len(frame) < worthDeflating {
		return Append(dst, frame)
	}
	packed := d.deflate(frame)
	if len(packed) >= len(frame) {
		return Append(dst, frame)
	}
	return append(appendHead(dst, deflated, len(packed)), packed...)
}

// tail ends what Flush writes; it is not sent (RFC 7692, section 7.2.1).
const tail = "\x00\x00\xff\xff"

func (d *Deflater) deflate(frame []byte) []byte {
	d.buffer.Reset()
	if d.writer == nil {
		d.writer, _ = flate.NewWriter(&d.buffer, flate.BestSpeed) // it fails for levels that there are not
	} else {
		d.writer.Reset(&d.buffer)
	}
	// Writing to a buffer does not fail.
	_, _ = d.writer.Write(frame)
	_ = d.writer.Flush()
	return bytes.TrimSuffix(d.buffer.Bytes(), []byte(tail))
}

// ErrTooBig says that a message is larger than was asked for once it is inflated.
var ErrTooBig = errors.New("message too big")

// Inflate returns the payload of a compressed message as it was (RFC 7692, section 7.2.2), if it is no more than most bytes.
// The error is ErrTooBig, or tells that the payload is none.
func Inflate(payload []byte, most int) ([]byte, error) {
	// An empty last block ends what has no end: the reader would miss it.
	const end = "\x01\x00\x00\xff\xff"
	r := flate.NewReader(io.MultiReader(bytes.NewReader(payload), bytes.NewReader([]byte(tail+end))))
	plain, err := io.ReadAll(io.LimitReader(r, int64(most)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("inflate: %w", err)
	case len(plain) > most:
		return nil, ErrTooBig
	}
	return plain, nil
}

// Frames takes whole messages apart into the frames that were appended.
func Frames(b []byte) (frames [][]byte, err error) {
	for len(b) > 0 {
		size, at := Next(b)
		if size == 0 {
			return frames, fmt.Errorf("read %d bytes in wire form: %w", len(b), io.ErrUnexpectedEOF)
		}
		frame := b[at:size:size]
		if b[0] == deflated {
			if frame, err = Inflate(frame, math.MaxInt32); err != nil {
				return frames, err
			}
		}
		frames = append(frames, frame)
		b = b[size:]
	}
	return frames, nil
}
