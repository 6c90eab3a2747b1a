package wire

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
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

// Frames takes whole messages apart into the frames that were appended.
func Frames(b []byte) (frames [][]byte, err error) {
	for len(b) > 0 {
		size, at := Next(b)
		if size == 0 {
			return frames, fmt.Errorf("read %d bytes in wire form: %w", len(b), io.ErrUnexpectedEOF)
		}
		frame := b[at:size:size]
		if b[0] == deflated {
			// The tail, and an empty last block, without which the reader would miss an end.
			r := flate.NewReader(io.MultiReader(bytes.NewReader(frame), bytes.NewReader([]byte(tail+"\x01\x00\x00\xff\xff"))))
			if frame, err = io.ReadAll(r); err != nil {
				return frames, fmt.Errorf("inflate: %w", err)
			}
		}
		frames = append(frames, frame)
		b = b[size:]
	}
	return frames, nil
}
