package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// frames takes the server's messages out of what is read: a byte for the kind, then a 32-bit length, which counts itself
// and what follows (PostgreSQL manual, "Message Formats"). Whatever has arrived is read at once, so that most messages cost
// no system call. It belongs to one goroutine.
//
// A message that is longer than bound allows is never held: next returns its first bytes, and drops the rest as it arrives.
type frames struct {
	from       io.Reader
	buffer     []byte // what was read and not yet taken is buffer[start:end]
	start, end int
	// bound is how many bytes a message may have, given its kind and its first frameHead bytes. It is asked about messages
	// longer than frameBuffer only; nil allows maxFrame.
	bound    func(kind byte, head []byte) int
	cut      int // bytes that the message lacks which next returned last
	dropping int // bytes still to come that nobody wants
}

const (
	frameBuffer = 256 << 10
	frameHeader = 1 + 4
	// frameHead is how much of a message is left of one that is not held.
	frameHead = 64
	// maxFrame is the length of PostgreSQL's largest message.
	maxFrame = 1<<30 - 1
)

// errFrame is wrapped by the errors that say that what was read is no message: the connection is good for nothing more.
var errFrame = errors.New("malformed message of the server")

// ready tells whether next will not read.
func (f *frames) ready() bool {
	unread := f.buffer[f.start:f.end]
	if f.dropping > 0 {
		if f.dropping >= len(unread) {
			return false
		}
		unread = unread[f.dropping:]
	}
	return len(unread) >= frameHeader && int64(len(unread)) > int64(binary.BigEndian.Uint32(unread[1:]))
}

// next returns a message, which is valid until the next call. After an error of reading, such as that of a deadline, it may
// be called again.
func (f *frames) next() (kind byte, body []byte, err error) {
	f.cut = 0
	for f.dropping > 0 {
		if err := f.drop(); err != nil {
			return 0, nil, err
		}
	}
	for {
		unread := f.buffer[f.start:f.end]
		need := frameHeader
		if len(unread) >= frameHeader {
			length := binary.BigEndian.Uint32(unread[1:])
			if length < frameHeader-1 || length > maxFrame {
				return 0, nil, fmt.Errorf("kind %q of length %d: %w", unread[0], length, errFrame)
			}
			need = 1 + int(length)
		}
		switch {
		case len(unread) >= frameHeader && len(unread) >= need:
			f.start += need
			return unread[0], unread[frameHeader:need:need], nil
		case need > frameBuffer && len(unread) < frameHeader+frameHead:
			need = frameHeader + frameHead // first: they say whether more is wanted
		case need > frameBuffer && f.bound != nil:
			head := unread[frameHeader : frameHeader+frameHead : frameHeader+frameHead]
			if need-frameHeader > f.bound(unread[0], head) {
				f.start += frameHeader + frameHead
				f.cut = need - frameHeader - frameHead
				f.dropping = f.cut
				return unread[0], head, nil
			}
		}
		if err := f.read(need); err != nil {
			return 0, nil, err
		}
	}
}

// shrink lets go of a huge message's memory, once nobody looks at it.
func (f *frames) shrink() {
	if f.start == f.end && len(f.buffer) > frameBuffer {
		f.buffer, f.start, f.end = nil, 0, 0
	}
}

// drop drops what is there of the bytes that nobody wants, or reads more of them.
func (f *frames) drop() error {
	if f.start == f.end {
		return f.read(1)
	}
	n := min(f.dropping, f.end-f.start)
	f.start += n
	f.dropping -= n
	return nil
}

// read reads something of a message of which so many bytes are needed.
func (f *frames) read(need int) error {
	unread := f.buffer[f.start:f.end]
	switch {
	case f.buffer == nil, len(unread) == 0 && len(f.buffer) > frameBuffer: // one huge message is no reason to keep so much
		f.buffer = make([]byte, frameBuffer)
	case need > len(f.buffer): // at once: to grow step by step takes twice the memory
		bigger := make([]byte, need)
		copy(bigger, unread)
		f.buffer = bigger
	case f.start > 0:
		copy(f.buffer, unread)
	}
	f.start, f.end = 0, len(unread)
	n, err := f.from.Read(f.buffer[f.end:])
	f.end += n
	if n > 0 {
		return nil
	}
	if errors.Is(err, io.EOF) && (len(unread) > 0 || f.dropping > 0) {
		return io.ErrUnexpectedEOF
	}
	return err
}
