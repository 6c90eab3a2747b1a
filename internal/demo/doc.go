// Package demo is what the command `reactive-gw demo` shows: a small chat whose page is live because the gateway pushes
// the changes of its tables.
//
// It has the three parts of any application beside a gateway: a schema (schema.sql, seeds.sql), handlers that read and
// write it with plain SQL and tell nobody about it (messages.go), and a page (page/) that speaks the mtbReactive
// protocol on /ws.
//
// The package must not know the gateway: neither its packages nor that there is one. Whoever mounts Handler mounts a
// gateway at /ws beside it.
package demo
