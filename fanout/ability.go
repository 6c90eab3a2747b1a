package fanout

// Ability is what a client understands besides the base protocol.
type Ability int

// The abilities.
const (
	// Extended: the client speaks the extended protocol. It is welcomed.
	Extended Ability = iota + 1
	// Deflated: it takes compressed messages (RFC 7692), without context takeover.
	Deflated
)

// dialect is how a client is spoken to: those of one dialect may share the bytes of a frame.
type dialect struct{ extended, deflated bool }
