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
type frames struct {
	from       io.Reader
	buffer     []byte // what was read and not yet taken is buffer[start:end]
	start, end int
}

const (
	frameBuffer = 256 << 10
	frameHeader = 1 + 4
	// maxFrame is the length of PostgreSQL's largest message.
	maxFrame = 1<<30 - 1
)

// errFrame is wrapped by the errors that say that what was read is no message: the connection is good for nothing more.
var errFrame = errors.New("malformed message of the server")

// ready tells whether next will not read.
func (f *frames) ready() bool {
	unread := f.buffer[f.start:f.end]
	return len(unread) >= frameHeader && int64(len(unread)) > int64(binary.BigEndian.Uint32(unread[1:]))
}

// next returns a message, which is valid until the next call. After an error of reading, such as that of a deadline, it may
// be called again.
func (f *frames) next() (kind byte, body []byte, err error) {
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
		if len(unread) >= frameHeader && len(unread) >= need {
			f.start += need
			return unread[0], unread[frameHeader:need:need], nil
		}
		if err := f.read(need); err != nil {
			return 0, nil, err
		}
	}
}

// read reads something of a message of which so many bytes are needed.
func (f *frames) read(need int) error {
	unread := f.buffer[f.start:f.end]
	switch {
	case f.buffer == nil, len(unread) == 0 && len(f.buffer) > frameBuffer: // one huge message is no reason to keep so much
		f.buffer = make([]byte, frameBuffer)
	case len(unread) == len(f.buffer): // no more at a time than has come, for the length may be wrong
		bigger := make([]byte, max(frameBuffer, min(need, 2*len(unread))))
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
	if errors.Is(err, io.EOF) && len(unread) > 0 {
		return io.ErrUnexpectedEOF
	}
	return err
}
