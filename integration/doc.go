// Package integration holds the black-box tests: the real program, as a process, against a real PostgreSQL and a real
// browser. Each file holds one promise or one failure and is named after it; the files fixture_*_test.go are what they
// share.
//
// The tests must know nothing but what a user knows: the command line, the configuration, the wire protocol, the answers
// on the operators' address, and SQL.
package integration
