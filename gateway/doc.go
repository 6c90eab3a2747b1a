// Package gateway is the edge: an http.Handler that speaks the wire protocol over WebSocket, with its limits, its
// heartbeat and its drain, and the admin handler for operators. It counts and logs what it refuses: see Refusals.
//
// It knows sockets, frames and the hub's clients. It must not know where changes come from: neither PostgreSQL nor the
// composition of the process.
package gateway
