package protocol

import "strconv"

// The frames of the server. Each function appends one whole frame to dst and returns the extended slice. scope is
// Scope.Raw of the subscription; rows and events are encoded JSON objects. They go into the frame as they are.

// AppendSubscribed appends the frame that confirms a subscription.
func AppendSubscribed(dst []byte, channel string, scope []byte) []byte {
	dst = appendHead(dst, `{"type":"subscribed","channel":`, channel, scope)
	return append(dst, '}')
}

// AppendSnapshot appends the frame that carries the whole set of a subscription; no rows are an empty set.
func AppendSnapshot(dst []byte, channel string, scope []byte, rows [][]byte) []byte {
	dst = appendHead(dst, `{"type":"snapshot","channel":`, channel, scope)
	dst = append(dst, `,"rows":`...)
	dst = appendArray(dst, rows)
	return append(dst, '}')
}

// AppendChange appends the frame that carries one event.
func AppendChange(dst []byte, channel string, scope, event []byte) []byte {
	dst = appendHead(dst, `{"type":"change","channel":`, channel, scope)
	dst = append(dst, `,"event":`...)
	dst = append(dst, event...)
	return append(dst, '}')
}

// AppendChanges appends the frame that carries several events, in commit order. events are joined by AppendJoined.
func AppendChanges(dst []byte, channel string, scope, events []byte) []byte {
	dst = appendHead(dst, `{"type":"change","channel":`, channel, scope)
	return appendEvents(dst, events)
}

// AppendJoined appends an event to those that are to be in one frame, of which there may be none yet.
func AppendJoined(events, event []byte) []byte {
	if len(events) > 0 {
		events = append(events, ',')
	}
	return append(events, event...)
}

// appendEvents appends the member of joined events and ends the object.
func appendEvents(dst, events []byte) []byte {
	dst = append(dst, `,"events":[`...)
	dst = append(dst, events...)
	return append(dst, "]}"...)
}

// AppendError appends the frame that refuses a message, or that ends a subscription whose snapshot failed.
func AppendError(dst []byte, code Code) []byte {
	dst = append(dst, `{"type":"error","code":`...)
	dst = AppendString(dst, code)
	return append(dst, '}')
}

// appendHead appends what every frame about a subscription begins with. opening reaches up to the channel's value.
func appendHead(dst []byte, opening, channel string, scope []byte) []byte {
	dst = append(dst, opening...)
	dst = AppendString(dst, channel)
	dst = append(dst, `,"scope":`...)
	return append(dst, scope...)
}

func appendArray(dst []byte, elements [][]byte) []byte {
	dst = append(dst, '[')
	for i, element := range elements {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, element...)
	}
	return append(dst, ']')
}

func appendInt(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }
