package protocol

import (
	"strconv"
	"time"
)

// The frames and members that the extended protocol adds. As with those of the base protocol, each function appends one
// whole frame to dst. A cursor is Cursor.String.

// ResetReason says why a view could not be told by changes any more.
type ResetReason string

// The reasons for a reset.
const (
	// ResetLogExpired: what the client missed is not kept any more, or is not of a kind that is kept.
	ResetLogExpired ResetReason = "log_expired"
	// ResetSlotLost: the replication slot was dropped, invalidated, or moved by somebody else.
	ResetSlotLost ResetReason = "slot_lost"
	// ResetTimeline: the database is another one, or was promoted or restored.
	ResetTimeline ResetReason = "timeline"
	// ResetRestart: the server cannot place the cursor: it is of another epoch, or the database came back after a crash.
	ResetRestart ResetReason = "restart"
	// ResetSchema: the table was altered, or its old rows are not known well enough to say who had them.
	ResetSchema ResetReason = "schema"
	// ResetTruncate: the table was emptied.
	ResetTruncate ResetReason = "truncate"
	// ResetPublication: for a while the table's changes were not published.
	ResetPublication ResetReason = "publication"
	// ResetUnreadable: a change was too large to be told, or had a value that has no Unicode.
	ResetUnreadable ResetReason = "unreadable"
)

// AppendWelcome appends the first frame of a connection, which comes again when the epoch changes.
func AppendWelcome(dst []byte, epoch EpochID, cursor string, heartbeat time.Duration) []byte {
	dst = append(dst, `{"type":"welcome","epoch":`...)
	dst = AppendString(dst, epoch.String())
	dst = appendCursor(dst, cursor)
	dst = append(dst, `,"heartbeatMs":`...)
	dst = appendInt(dst, heartbeat.Milliseconds())
	return append(dst, '}')
}

// AppendSubscribedAt is AppendSubscribed with a cursor. Resumed says that no snapshot follows but what was missed.
func AppendSubscribedAt(dst []byte, channel string, scope []byte, cursor string, resumed bool) []byte {
	dst = appendHead(dst, `{"type":"subscribed","channel":`, channel, scope)
	dst = appendCursor(dst, cursor)
	if resumed {
		dst = append(dst, `,"resumed":true`...)
	}
	return append(dst, '}')
}

// AppendSnapshotAt is AppendSnapshot with a cursor.
func AppendSnapshotAt(dst []byte, channel string, scope []byte, cursor string, rows [][]byte) []byte {
	dst = appendHead(dst, `{"type":"snapshot","channel":`, channel, scope)
	dst = appendCursor(dst, cursor)
	dst = append(dst, `,"rows":`...)
	dst = appendArray(dst, rows)
	return append(dst, '}')
}

// Transaction is what one commit does to the subscriptions of one client.
type Transaction struct {
	Cursor     string
	CommitTime time.Time
	// Partial says that more of the same commit follows.
	Partial bool
}

// AppendTransaction appends the frame of a transaction. changes are made by AppendPart, one for each subscription.
func AppendTransaction(dst []byte, t Transaction, changes ...[]byte) []byte {
	dst = append(dst, `{"type":"transaction"`...)
	dst = appendCursor(dst, t.Cursor)
	dst = append(dst, `,"commitTime":"`...)
	dst = t.CommitTime.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000000Z")
	dst = append(dst, '"')
	if t.Partial {
		dst = append(dst, `,"partial":true`...)
	}
	dst = append(dst, `,"changes":`...)
	dst = appendArray(dst, changes)
	return append(dst, '}')
}

// AppendPart appends what a transaction does to one subscription, with events joined by AppendJoined. It is no frame of its
// own.
func AppendPart(dst []byte, channel string, scope, events []byte) []byte {
	return appendEvents(appendHead(dst, `{"channel":`, channel, scope), events)
}

// AppendUnsubscribed appends the frame that confirms the end of a subscription.
func AppendUnsubscribed(dst []byte, channel string, scope []byte) []byte {
	return append(appendHead(dst, `{"type":"unsubscribed","channel":`, channel, scope), '}')
}

// AppendReset appends the frame that makes what a client holds for a subscription void.
func AppendReset(dst []byte, channel string, scope []byte, reason ResetReason) []byte {
	dst = appendHead(dst, `{"type":"reset","channel":`, channel, scope)
	dst = append(dst, `,"reason":`...)
	dst = AppendString(dst, reason)
	return append(dst, '}')
}

// AppendErrorAbout is AppendError with what the error is about and a text for people. channel and scope are left out where
// they are empty. With CodeUnavailable it says after how long to ask again: RetryAfter.
func AppendErrorAbout(dst []byte, code Code, channel string, scope []byte, message string) []byte {
	dst = append(dst, `{"type":"error","code":`...)
	dst = AppendString(dst, code)
	if channel != "" {
		dst = append(dst, `,"channel":`...)
		dst = AppendString(dst, channel)
	}
	if len(scope) > 0 {
		dst = append(dst, `,"scope":`...)
		dst = append(dst, scope...)
	}
	dst = append(dst, `,"message":`...)
	dst = AppendString(dst, message)
	if code == CodeUnavailable {
		dst = append(dst, `,"retryAfterMs":`...)
		dst = strconv.AppendInt(dst, RetryAfter.Milliseconds(), 10)
	}
	return append(dst, '}')
}

// RetryAfter is how long a client waits at least before it asks again for what was unavailable.
const RetryAfter = 2 * time.Second

// AppendHeartbeat appends the frame that tells how far the stream has come where nothing else does.
func AppendHeartbeat(dst []byte, cursor string) []byte {
	return append(appendCursor(append(dst, `{"type":"heartbeat"`...), cursor), '}')
}

// AppendPassed appends the answer to a waitFor: the stream has passed the position, which is repeated as it was sent.
func AppendPassed(dst []byte, lsn, cursor string) []byte {
	dst = append(dst, `{"type":"waitFor","lsn":`...)
	dst = AppendString(dst, lsn)
	return append(appendCursor(dst, cursor), '}')
}

// AppendAuthenticated appends the answer to an auth whose token was accepted. expires is the zero time where it does not.
func AppendAuthenticated(dst []byte, expires time.Time) []byte {
	dst = append(dst, `{"type":"auth"`...)
	if !expires.IsZero() {
		dst = append(dst, `,"expires":"`...)
		dst = expires.UTC().AppendFormat(dst, time.RFC3339)
		dst = append(dst, '"')
	}
	return append(dst, '}')
}

func appendCursor(dst []byte, cursor string) []byte {
	return AppendString(append(dst, `,"cursor":`...), cursor)
}
