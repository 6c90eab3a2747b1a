package protocol

// Code says, in an error frame, why the server refuses what the client asked for. The connection stays open.
type Code string

// The error codes. Parse returns the first four, ParseExtended CodeInvalidMessage as well; the others come from whoever
// serves the message.
const (
	// CodeInvalidJSON refuses a frame that is not exactly one strict JSON object.
	CodeInvalidJSON Code = "invalid_json"
	// CodeUnknownMessageType refuses a message whose type is missing or not one of MessageType.
	CodeUnknownMessageType Code = "unknown_message_type"
	// CodeUnknownChannel refuses a channel that is missing or that the server does not offer.
	CodeUnknownChannel Code = "unknown_channel"
	// CodeInvalidScope refuses a scope that is malformed, or whose column or value the channel does not offer.
	CodeInvalidScope Code = "invalid_scope"
	// CodeForbidden refuses a subscription that this client may not have.
	CodeForbidden Code = "forbidden"
	// CodeSnapshotUnavailable ends a subscription whose snapshot could not be read.
	CodeSnapshotUnavailable Code = "snapshot_unavailable"
	// CodeUnavailable says that what decides about a subscription gave no answer, or that the channel cannot be served yet. It is
	// no refusal, and of the extended protocol: a connection of the base protocol is closed with CloseTryAgainLater.
	CodeUnavailable Code = "unavailable"
	// CodeInvalidMessage refuses a message of the extended protocol for one of the members that only that has.
	CodeInvalidMessage Code = "invalid_message"
)

// Error is why Parse refuses a frame. The client is answered with Code. Detail is a sentence for an operator's log;
// it is made of fixed text alone, so that nothing a client sends reaches a log through it.
type Error struct {
	Code   Code
	Detail string
}

func (e *Error) Error() string { return "parse frame: " + string(e.Code) + ": " + e.Detail }
