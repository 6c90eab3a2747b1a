// Package dsn reads the connection string of a PostgreSQL server: a URL or keyword/value pairs (PostgreSQL manual,
// "Connection Strings"). It takes what libpq takes and what pgxpool adds to that, decides here what becomes of each
// parameter that pgx would send to the server unread, and refuses what cannot be meant.
//
// Its errors say which part is wrong and how to write it. They never hold a part of the text that may belong to a
// password, however the password is written: nothing that pgx says of a text reaches a caller, for pgx can only guess
// where a misspelt password ends.
//
// It opens no connection. It reads the files that the string names, as pgx does.
package dsn
