package protocol

// Subprotocol is the name that a client may offer in Sec-WebSocket-Protocol (RFC 6455, section 1.9) for the protocol
// of this package. A client that offers no subprotocol gets the same protocol.
const Subprotocol = "mtbreactive"

// ExtendedSubprotocol is the name of the extended protocol: SPEC.md, "The extended protocol".
const ExtendedSubprotocol = "mtbreactive.v2"
