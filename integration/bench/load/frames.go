package load

import (
	"bytes"
	"encoding/binary"
	"errors"
)

const (
	opText  = 0x1
	opClose = 0x8
	opPing  = 0x9
	opPong  = 0xA

	maxHeader = 10 // a server does not mask
	// telling is how much of a payload kindOf needs.
	telling = len(`{"type":"xx`)
)

var errMasked = errors.New("a frame of the server is masked")

// header is what a WebSocket frame begins with.
type header struct {
	length     int // of the header itself
	size       uint64
	op         byte
	fin        bool
	compressed bool
}

// parseHeader returns false where data does not have all of it.
func parseHeader(data []byte) (h header, ok bool, err error) {
	if len(data) < 2 {
		return h, false, nil
	}
	if data[1]&0x80 != 0 {
		return h, false, errMasked
	}
	h = header{length: 2, size: uint64(data[1]), op: data[0] & 0x0F, fin: data[0]&0x80 != 0, compressed: data[0]&0x40 != 0}
	switch h.size {
	case 126:
		if h.length = 4; len(data) < h.length {
			return h, false, nil
		}
		h.size = uint64(binary.BigEndian.Uint16(data[2:]))
	case 127:
		if h.length = 10; len(data) < h.length {
			return h, false, nil
		}
		h.size = binary.BigEndian.Uint64(data[2:])
	}
	return h, true, nil
}

// walker follows one connection's bytes from message to message. The zero value is ready.
type walker struct {
	stash   [maxHeader + telling]byte // the beginning of a frame that has not come far enough to be told
	stashed int
	frame   header
	left    uint64 // of the frame's payload
	within  bool   // a frame
	kind    Kind   // of the message, also over several frames
	lines   bool   // a message is a line: servers may put several into one frame
	counts  [kinds]uint32
	keeps   bool // data messages are handed over
	kept    []byte
	aside   []byte // the payload of a control frame, which may come between two frames of a message
	bytes   uint64 // of payloads of data
}

// sink takes what the walker keeps. The payload is good until the call returns.
type sink interface {
	message(kind Kind, payload []byte)
	control(op byte, payload []byte)
}

// walk takes in what was read.
func (w *walker) walk(data []byte, to sink) error {
	for len(data) > 0 {
		if !w.within {
			used, err := w.begin(data)
			if err != nil {
				return err
			}
			data = data[used:]
			if !w.within {
				return nil // all that came is in the stash
			}
		}
		n := min(w.left, uint64(len(data)))
		w.take(data[:n])
		data, w.left = data[n:], w.left-n
		if w.left == 0 {
			w.end(to)
		}
	}
	return nil
}

// begin reads the header of a frame and as much of the payload as tells its kind. It returns how much of data that was.
func (w *walker) begin(data []byte) (used int, err error) {
	head := data
	if w.stashed > 0 {
		head = w.stash[:w.stashed+copy(w.stash[w.stashed:], data)]
	}
	h, ok, err := parseHeader(head)
	if err != nil {
		return 0, err
	}
	need := h.length + int(min(h.size, uint64(telling)))
	if !ok || len(head) < need {
		if w.stashed == 0 {
			copy(w.stash[:], data)
		}
		w.stashed = len(head)
		return len(data), nil
	}
	used = need - w.stashed
	w.stashed, w.within, w.frame = 0, true, h
	w.left = h.size - uint64(need-h.length)
	payload := head[h.length:need]
	if h.op == opText || h.op == 0x2 {
		if w.kind = kindOf(payload); h.compressed {
			w.kind = Compressed
		}
	}
	w.take(payload)
	return used, nil
}

// take looks at a piece of the payload as far as somebody wants to know.
func (w *walker) take(piece []byte) {
	if w.frame.op >= opClose {
		w.aside = append(w.aside, piece...)
		return
	}
	w.bytes += uint64(len(piece))
	if w.keeps {
		w.kept = append(w.kept, piece...)
	}
	if w.lines {
		w.counts[w.kind] += uint32(bytes.Count(piece, []byte{'\n'}))
	}
}

func (w *walker) end(to sink) {
	w.within = false
	switch {
	case w.frame.op >= opClose:
		to.control(w.frame.op, w.aside)
		w.aside = w.aside[:0]
	case w.frame.fin: // else the next frame goes on with the message
		w.counts[w.kind]++
		if w.keeps {
			to.message(w.kind, w.kept)
			w.kept = w.kept[:0]
		}
	}
}
