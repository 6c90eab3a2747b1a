package auth

import "context"

// Database is what SQL and Member ask. Many goroutines use it at once.
type Database interface {
	// With calls f with a connection, for which it waits until ctx ends. The error is f's, or why there is no connection.
	With(ctx context.Context, f func(Connection) error) error
}

// Connection is a connection to a database. Arguments are texts, which the server takes for values of the types that it
// finds out itself, so that conversation_id = $1 works whatever type the column has; nil is NULL.
type Connection interface {
	// Describe says what a query is, without running it.
	Describe(ctx context.Context, sql string) (Description, error)
	// Ask runs a query once for each list of arguments, in one round trip, and returns as many answers. An error of one
	// run is in its answer. The error of Ask says that the query cannot be prepared, or that the connection failed.
	Ask(ctx context.Context, sql string, arguments [][]*string) ([]Answer, error)
}

// Description is what a database says of a query. The types are OIDs, of a domain those of what it is over.
type Description struct {
	Parameters []uint32
	// Columns is nil where the query returns no rows at all, as an UPDATE.
	Columns []uint32
}

// Answer is what a query gave for one list of arguments.
type Answer struct {
	// Row tells whether there was a row, and First is the first column of the first one in text format; nil is NULL.
	Row   bool
	First *string
	// Err is why there is no answer. AtBind says that it came before the query ran: the server did not take the arguments.
	Err    error
	AtBind bool
}
