// Package wal is everything that the gateway does with PostgreSQL's logical replication: it checks and sets up the
// server (preflight, publication, replica identity, slot) and undoes that, streams and decodes the slot's pgoutput messages
// into the transactions of package cdc, acknowledges them, keeps the checkpoint table, and reads snapshots and look-ups. It says
// of every error whether it passes, and what to do: see Judge.
//
// It must not know who receives the changes: neither channels and subscriptions nor frames and sockets.
package wal
