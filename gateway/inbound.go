package gateway

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/reactive-gw/reactive-gw/protocol/wire"
)

// inbound reads what a peer sends (RFC 6455, section 5), and answers its control frames. Of all that a connection has while it
// waits for the next message this is the most, so it has a buffer that holds what clients usually send, and no more. It
// belongs to the goroutine that reads.
type inbound struct {
	raw *captured
	// allow is asked about every frame, control frames and empty ones included.
	allow    func() bool
	deflated bool // messages may be compressed

	buffer     [inboundBuffer]byte
	start, end int   // what is read and not used yet is buffer[start:end]
	unread     int64 // of the payload of the frame at hand
	mask       [4]byte
}

const (
	inboundBuffer = 256
	// maxFrame is the largest message that a client may send, inflated.
	maxFrame = 64 << 10
	// maxControl is the largest payload of a control frame.
	maxControl = 125
)

var (
	// errNotText: a message that is not text, and so cannot be JSON. The connection goes on.
	errNotText = errors.New("binary message")
	// errTooBig: a message over maxFrame. The rest of it is unread.
	errTooBig = errors.New("message too big")
	// errTooMany: the client has sent more than MaxMessages.
	errTooMany = errors.New("too many messages")
	// errMisframed: the bytes are no WebSocket frames.
	errMisframed = errors.New("misframed")
	// errLeft: the peer has said goodbye, and was answered.
	errLeft = errors.New("the client has left")
)

// Opcodes, and the bits beside them.
const (
	opContinue = 0x0
	opText     = 0x1
	opBinary   = 0x2
	opClose    = 0x8
	opPing     = 0x9
	opPong     = 0xA

	bitFin      = 0x80
	bitDeflated = 0x40
	bitsUnknown = 0x30
	bitMask     = 0x80
	bitControl  = 0x08
)

// read returns the next message. After errNotText the connection goes on; after any other error of this file it has to be
// closed, and after others it has ended.
func (in *inbound) read() ([]byte, error) {
	var message []byte
	var kind byte // of the message whose frames are being read; 0 before the first
	var deflated bool
	for {
		head, err := in.head()
		switch {
		case err != nil:
			return nil, err
		case !in.allow():
			return nil, errTooMany
		case head.op&bitControl != 0:
			if err := in.control(head); err != nil {
				return nil, err
			}
			continue
		case (kind == 0) == (head.op == opContinue), head.deflated && (kind != 0 || !in.deflated):
			return nil, fmt.Errorf("frame of kind %x: %w", head.op, errMisframed)
		case kind == 0:
			kind, deflated = head.op, head.deflated
		}
		if in.unread > int64(maxFrame-len(message)) {
			return nil, errTooBig
		}
		if message, err = in.payload(message); err != nil {
			return nil, err
		}
		if !head.fin {
			continue
		}
		if deflated {
			if message, err = inflate(message); err != nil {
				return nil, err
			}
		}
		if kind != opText {
			return nil, errNotText
		}
		return message, nil
	}
}

// head is what a frame begins with, but for its length and mask.
type head struct {
	op            byte
	fin, deflated bool
}

// head reads the beginning of the next frame.
func (in *inbound) head() (head, error) {
	b, err := in.peek(2)
	if err != nil {
		return head{}, err
	}
	h := head{op: b[0] & 0x0F, fin: b[0]&bitFin != 0, deflated: b[0]&bitDeflated != 0}
	masked, length, size := b[1]&bitMask != 0, uint64(b[1]&^bitMask), 2
	control := h.op&bitControl != 0
	switch {
	case b[0]&bitsUnknown != 0, !masked, h.op > opBinary && !control, h.op > opPong, control && (!h.fin || h.deflated || length > maxControl):
		return head{}, fmt.Errorf("frame that begins with %x: %w", b[:2], errMisframed)
	case length == 126:
		size = 4
	case length == 127:
		size = 10
	}
	if b, err = in.peek(size + len(in.mask)); err != nil {
		return head{}, err
	}
	switch size {
	case 4:
		length = uint64(binary.BigEndian.Uint16(b[2:]))
	case 10:
		if length = binary.BigEndian.Uint64(b[2:]); length>>63 != 0 {
			return head{}, fmt.Errorf("frame of %d bytes: %w", length, errMisframed)
		}
	}
	copy(in.mask[:], b[size:])
	in.start += size + len(in.mask)
	in.unread = int64(length)
	return h, nil
}

// peek returns the next n bytes, which are at most what the buffer holds, without using them.
func (in *inbound) peek(n int) ([]byte, error) {
	if len(in.buffer)-in.start < n {
		in.end = copy(in.buffer[:], in.buffer[in.start:in.end])
		in.start = 0
	}
	for in.end-in.start < n {
		if in.start == in.end {
			in.start, in.end = 0, 0
		}
		m, err := in.raw.Read(in.buffer[in.end:])
		in.end += m
		if err != nil && in.end-in.start < n {
			if in.end > in.start {
				err = cutShort(err)
			}
			return nil, err
		}
	}
	return in.buffer[in.start : in.start+n], nil
}

func cutShort(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// payload appends the payload of the frame at hand.
func (in *inbound) payload(dst []byte) ([]byte, error) {
	at, n := len(dst), int(in.unread)
	dst = append(dst, make([]byte, n)...)
	m := copy(dst[at:], in.buffer[in.start:in.end])
	in.start += m
	if _, err := io.ReadFull(in.raw, dst[at+m:]); err != nil {
		return nil, cutShort(err)
	}
	in.unread = 0
	for i := range dst[at:] {
		dst[at+i] ^= in.mask[i&3]
	}
	return dst, nil
}

// control answers a control frame.
func (in *inbound) control(h head) error {
	var space [2 + maxControl]byte
	frame, err := in.payload(append(space[:0], bitFin|h.op, byte(in.unread)))
	if err != nil {
		return err
	}
	switch h.op {
	case opPing:
		frame[0] = bitFin | opPong
		_, err = in.raw.Write(frame)
	case opClose:
		if !goodbye(frame[2:]) {
			return fmt.Errorf("close frame with %x: %w", frame[2:], errMisframed)
		}
		if _, err = in.raw.Write(frame); err == nil {
			err = errLeft
		}
	}
	return err
}

// goodbye tells whether a close frame may have such a payload (RFC 6455, sections 7.4 and 5.5.1). Its text is sent back, and a
// browser takes text that is not UTF-8 for a failure of ours.
func goodbye(payload []byte) bool {
	if len(payload) < 2 {
		return len(payload) == 0
	}
	if !utf8.Valid(payload[2:]) {
		return false
	}
	switch code := binary.BigEndian.Uint16(payload); {
	case code >= 3000 && code < 5000:
		return true
	case code == 1004, code == 1005, code == 1006:
		return false
	default:
		return code >= 1000 && code <= 1014
	}
}

func inflate(message []byte) ([]byte, error) {
	plain, err := wire.Inflate(message, maxFrame)
	switch {
	case errors.Is(err, wire.ErrTooBig):
		return nil, errTooBig
	case err != nil:
		return nil, errors.Join(errMisframed, err)
	}
	return plain, nil
}

// linger reads, for as long as the connection lets it, until the peer has answered our goodbye: a socket that is closed with
// bytes unread sends a reset, and the goodbye would be lost.
func (in *inbound) linger() {
	for in.skip() == nil {
		switch h, err := in.head(); {
		case errors.Is(err, errMisframed):
			_, _ = io.Copy(io.Discard, in.raw)
			return
		case err != nil, h.op == opClose:
			return
		}
	}
}

// skip reads what is left of the frame at hand.
func (in *inbound) skip() error {
	here := min(in.unread, int64(in.end-in.start))
	in.start += int(here)
	_, err := io.CopyN(io.Discard, in.raw, in.unread-here)
	in.unread = 0
	return err
}
