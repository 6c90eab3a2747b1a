package protocol

// Close is the status code of a WebSocket close frame (RFC 6455, section 7.4) with which the server ends a connection.
type Close uint16

// The close codes. Below 4000 they are registered ones, from 4400 they carry the HTTP status of like meaning.
const (
	// CloseGoingAway ends a connection because the server shuts down.
	CloseGoingAway Close = 1001
	// CloseMisframed ends a connection whose client sent bytes that are no WebSocket frames.
	CloseMisframed Close = 1002
	// CloseFrameTooBig ends a connection whose client sent a frame above the server's limit.
	CloseFrameTooBig Close = 1009
	// CloseServiceRestart ends a connection whose view can no longer be kept true and that must start afresh.
	CloseServiceRestart Close = 1012
	// CloseTryAgainLater ends a connection about which nothing could be decided: the server got no answer itself.
	CloseTryAgainLater Close = 1013
	// CloseUnauthorized ends a connection whose client failed to authenticate.
	CloseUnauthorized Close = 4401
	// CloseSlowConsumer ends a connection that takes in frames more slowly than they come.
	CloseSlowConsumer Close = 4408
	// CloseLimitExceeded ends a connection that went over a limit on connections, subscriptions or messages.
	CloseLimitExceeded Close = 4429
)

// Reason is the text that goes with the code in the close frame. It is for people: clients go by the code.
func (c Close) Reason() string {
	switch c {
	case CloseGoingAway:
		return "going away"
	case CloseMisframed:
		return "misframed"
	case CloseFrameTooBig:
		return "frame too big"
	case CloseServiceRestart:
		return "service restart"
	case CloseTryAgainLater:
		return "try again later"
	case CloseUnauthorized:
		return "unauthorized"
	case CloseSlowConsumer:
		return "slow consumer"
	case CloseLimitExceeded:
		return "over a limit"
	}
	return ""
}
