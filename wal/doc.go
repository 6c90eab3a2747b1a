// Package wal is everything that the gateway does with PostgreSQL's logical replication: it checks and sets up the
// server (preflight, publication, replica identity, slot), streams and decodes the slot's pgoutput messages into the
// transactions of package cdc, acknowledges them, and keeps the checkpoint table.
//
// It must not know who receives the changes: neither channels and subscriptions nor frames and sockets.
package wal
