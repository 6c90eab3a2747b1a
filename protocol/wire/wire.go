// Package wire gives frames the form in which they travel: each is one WebSocket text message that is not split (RFC 6455,
// section 5), and compressed where the client takes that (RFC 7692). The form is the same for every client that gets the
// frame, so it is made once, and many may lie one behind the other in one slice.
//
// It must not know what a frame says, nor of any connection.
package wire

import "encoding/binary"

// The first byte of a message: FIN and opcode 1, with RSV1 where it is compressed.
const (
	text     = 0x81
	deflated = text | 0x40
)

// The second byte is the payload's length, or says how many bytes hold it. A server masks nothing.
const (
	short    = 125
	sixteen  = 126 // two bytes
	longMark = 127 // eight bytes
)

// maxHead is the most that a message has before its payload.
const maxHead = 10

// Append appends a frame in its wire form.
func Append(dst, frame []byte) []byte {
	return append(appendHead(dst, text, len(frame)), frame...)
}

// Make is Append into a slice of its own, no larger than it needs to be.
func Make(frame []byte) []byte {
	return Append(make([]byte, 0, Size(len(frame))), frame)
}

// Size is how long a frame of n bytes is in its wire form where it is not compressed.
func Size(n int) int {
	switch {
	case n <= short:
		return 2 + n
	case n < 1<<16:
		return 4 + n
	}
	return maxHead + n
}

func appendHead(dst []byte, first byte, n int) []byte {
	switch {
	case n <= short:
		return append(dst, first, byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, first, sixteen), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(dst, first, longMark), uint64(n))
}

// Next returns the length of the message at the beginning of b, which is whole messages in their wire form, and where its
// payload begins. It returns 0 for an empty b, and for bytes that are no such message.
func Next(b []byte) (size, payload int) {
	if len(b) < 2 {
		return 0, 0
	}
	n := uint64(b[1])
	payload = 2
	switch {
	case n == sixteen && len(b) >= 4:
		payload, n = 4, uint64(binary.BigEndian.Uint16(b[2:]))
	case n == longMark && len(b) >= maxHead:
		payload, n = maxHead, binary.BigEndian.Uint64(b[2:])
	case n > short:
		return 0, 0
	}
	if n > uint64(len(b)-payload) {
		return 0, 0
	}
	return payload + int(n), payload
}
