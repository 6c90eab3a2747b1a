// Package protocol is the wire contract with clients: it reads the frames that they send and writes the frames, error
// codes and close codes that they get. SPEC.md beside this file is its normative text.
//
// It must not know where rows come from, who may see them, or how a frame travels: no PostgreSQL, no subscriptions, no
// sockets. A frame is a []byte that holds one JSON object.
//
// Reading is strict, for a frame that two readers understand differently is a way around an authorisation check.
// Writing appends to a slice of the caller's and allocates nothing but that slice's growth: an event is encoded once
// and its bytes go into the frames of every subscription that it concerns. No function keeps state or a slice that it
// was given, so all of them may be called from any goroutine.
package protocol
