// Package ingest makes transactions of events that an application or a trigger tells of, for what the log does not bring:
// the JSON that mtbReactive documents, by NOTIFY, by POST, from Go or emitted in SQL. What comes out is routed as any other
// change. How exact a view is depends on what the events say: nobody proves that none is missing.
//
// The package must know neither sockets' clients nor PostgreSQL: tables, types and the connection that listens are given
// to it.
package ingest
