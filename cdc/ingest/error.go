package ingest

import (
	"errors"
	"fmt"
)

// Error says why events were refused, all of them. It holds nothing of a row: it may be logged and shown.
type Error struct {
	Kind Kind
	// Event is which one is at fault, from 0. It means nothing for what is Malformed.
	Event int
	// Offset is where a Malformed payload goes wrong, in bytes from its beginning.
	Offset int64
	Detail string
}

// Kind is what is wrong with an event.
type Kind string

// The kinds.
const (
	Malformed    Kind = "malformed"     // no JSON
	Invalid      Kind = "invalid"       // no event, or not one of this table
	UnknownTable Kind = "unknown_table" // the configuration does not have it
	WrongSource  Kind = "wrong_source"  // its changes come another way
)

func (e *Error) Error() string {
	if e.Kind == Malformed {
		return fmt.Sprintf("malformed at byte %d: %s", e.Offset, e.Detail)
	}
	return fmt.Sprintf("event %d: %s", e.Event, e.Detail)
}

// ErrNotLive is returned while the gateway does not follow the log, and so has no place for an event.
var ErrNotLive = errors.New("the gateway is not live")
