package protocol

import "github.com/go-json-experiment/json/jsontext"

// MessageType is what a client asks for.
type MessageType string

// The messages that a client may send.
const (
	Subscribe   MessageType = "subscribe"
	Unsubscribe MessageType = "unsubscribe"
	// The rest is of the extended protocol.
	Auth      MessageType = "auth"
	WaitFor   MessageType = "waitFor"
	Heartbeat MessageType = "heartbeat"
)

// Message is a frame that a client sent. It shares no memory with the bytes that it was read from.
type Message struct {
	Type MessageType
	// Channel is as sent: whether there is such a channel is not known here.
	Channel string
	Scope   Scope

	// Since is the cursor of a Subscribe that resumes; empty where it does not. What it says is not known here.
	Since string
	// Token is that of an Auth. It belongs in no log.
	Token string
	// LSN is that of a WaitFor, in the form that PostgreSQL prints.
	LSN string
}

// Scope narrows a channel to the rows whose column Col has a value. Whether there is such a column, and whether the
// value is one of its type, is not known here.
type Scope struct {
	Col string
	// Value is the JSON token of the value as sent: a string, a number, true or false. It has not passed through a
	// float, so 9007199254740993 is still that.
	Value []byte
	// Raw is the whole scope object as sent, without the white space between its tokens. Every frame about the
	// subscription repeats it.
	Raw []byte
}

// Text is the value as text: what a string says, and any other token as it stands. 42 and "42" have the same text. A
// string may say any character, U+0000 included.
func (s Scope) Text() string {
	if jsontext.Value(s.Value).Kind() != '"' {
		return string(s.Value)
	}
	return unquote(s.Value)
}

// Parse reads a frame that a client sent, as SPEC.md says under "Messages of the client". Its error is an *Error. A
// frame with several faults is refused for the first of: its JSON, its type, its channel, its scope. With
// CodeInvalidScope comes the message without its scope: the caller knows whether there is such a channel, which is the
// fault to name if there is not.
func Parse(frame []byte) (Message, error) {
	m, members, err := parseType(frame)
	if err != nil {
		return Message{}, err
	}
	switch m.Type {
	case Subscribe, Unsubscribe:
		err = m.parseSubscription(members)
		return m, err
	}
	return Message{}, &Error{CodeUnknownMessageType, "type is neither subscribe nor unsubscribe"}
}

// ParseExtended is Parse for a client of the extended protocol. A member of its own that a message lacks, or that is
// malformed, is CodeInvalidMessage, named after the others.
func ParseExtended(frame []byte) (Message, error) {
	m, members, err := parseType(frame)
	if err != nil {
		return Message{}, err
	}
	switch m.Type {
	case Subscribe:
		if err = m.parseSubscription(members); err == nil && members["since"] != nil {
			m.Since, err = members.text("since")
		}
	case Unsubscribe:
		err = m.parseSubscription(members)
	case Auth:
		m.Token, err = members.text("token")
	case WaitFor:
		m.LSN, err = members.text("lsn")
	case Heartbeat:
	default:
		return Message{}, &Error{CodeUnknownMessageType, "there is no such type"}
	}
	return m, err
}

// members are those of a frame that have a meaning.
type members map[string]jsontext.Value

func parseType(frame []byte) (Message, members, error) {
	m := members{}
	err := eachMember(frame, func(name string, value jsontext.Value) {
		switch name {
		case "type", "channel", "scope", "since", "token", "lsn":
			m[name] = value
		}
	})
	if err != nil {
		return Message{}, nil, err
	}
	kind := m["type"]
	if kind.Kind() != '"' {
		return Message{}, nil, &Error{CodeUnknownMessageType, "type is missing or not a string"}
	}
	return Message{Type: MessageType(unquote(kind))}, m, nil
}

// text returns what a member says that has to be a string, and not an empty one.
func (m members) text(name string) (string, error) {
	value := m[name]
	if value.Kind() != '"' || len(value) == len(`""`) {
		return "", &Error{CodeInvalidMessage, name + " is missing, empty or not a string"}
	}
	return unquote(value), nil
}

func (m *Message) parseSubscription(members members) (err error) {
	if members["channel"].Kind() != '"' {
		*m = Message{}
		return &Error{CodeUnknownChannel, "channel is missing or not a string"}
	}
	m.Channel = unquote(members["channel"])
	m.Scope, err = parseScope(members["scope"])
	return err
}

func parseScope(object jsontext.Value) (Scope, error) {
	if object.Kind() != '{' {
		return Scope{}, &Error{CodeInvalidScope, "scope is missing or not an object"}
	}
	var col, value jsontext.Value
	further := false
	err := eachMember(object, func(name string, v jsontext.Value) {
		switch name {
		case "col":
			col = v
		case "value":
			value = v
		default:
			further = true
		}
	})
	switch {
	case err != nil:
		return Scope{}, err
	case further:
		// It might be a condition. To ignore it would be to deliver more rows than the client asked for.
		return Scope{}, &Error{CodeInvalidScope, "scope has a member other than col and value"}
	case col.Kind() != '"':
		return Scope{}, &Error{CodeInvalidScope, "scope.col is missing or not a string"}
	}
	switch value.Kind() {
	case '"', '0', 't', 'f':
	default:
		return Scope{}, &Error{CodeInvalidScope, "scope.value is missing or not a string, a number or a boolean"}
	}

	raw := object.Clone()
	if err := raw.Compact(); err != nil {
		return Scope{}, invalidJSON(err)
	}
	return Scope{Col: unquote(col), Value: value.Clone(), Raw: raw}, nil
}
