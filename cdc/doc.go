// Package cdc is the model of change data capture: what a row, a change, a transaction and a position in the log are,
// how transactions are assembled and handed on in commit order, and how far the log may be released.
//
// It must not know where changes come from (PostgreSQL, a notification, a hook) nor where they go (clients, sockets):
// it talks to both through the ports Source and Sink, and is tested without either.
package cdc
