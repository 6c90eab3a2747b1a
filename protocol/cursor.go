package protocol

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
)

// Cursor is a place in the stream of changes: everything that committed before Position was delivered, and of the
// transaction that commits at Position the first Index changes. Clients get it as text, keep it, and give it back; what
// is in it is no business of theirs.
type Cursor struct {
	Epoch    EpochID
	Position uint64
	Index    uint32
}

// EpochID stands for an epoch, of whatever name: a position of one says nothing in another.
type EpochID [8]byte

// NewEpochID gives the identifier of an epoch.
func NewEpochID(name string) EpochID {
	sum := sha256.Sum256([]byte(name))
	return EpochID(sum[:8])
}

// String is the form in frames.
func (e EpochID) String() string { return base64.RawURLEncoding.EncodeToString(e[:]) }

// ErrCursor says that a text is no cursor of this version of the protocol.
var ErrCursor = errors.New("no cursor")

// cursorVersion is the first byte of a cursor. A server that reads another one does not guess.
const cursorVersion = 1

// String is the form in frames.
func (c Cursor) String() string {
	b := append([]byte{cursorVersion}, c.Epoch[:]...)
	b = binary.AppendUvarint(b, c.Position)
	b = binary.AppendUvarint(b, uint64(c.Index))
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads what String wrote, and refuses everything else with ErrCursor.
func ParseCursor(text string) (Cursor, error) {
	var c Cursor
	if len(text) > base64.RawURLEncoding.EncodedLen(1+len(c.Epoch)+2*binary.MaxVarintLen64) {
		return c, ErrCursor
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 1+len(c.Epoch) || b[0] != cursorVersion {
		return c, ErrCursor
	}
	b = b[1+copy(c.Epoch[:], b[1:]):]
	var n int
	if c.Position, n = binary.Uvarint(b); n <= 0 {
		return Cursor{}, ErrCursor
	}
	index, m := binary.Uvarint(b[n:])
	if c.Index = uint32(index); m <= 0 || n+m != len(b) || uint64(c.Index) != index || c.String() != text {
		return Cursor{}, ErrCursor
	}
	return c, nil
}
