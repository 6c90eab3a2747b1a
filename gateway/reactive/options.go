package reactive

import (
	"context"
	"net/http"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
)

// ErrUnavailable is what an error of Authorize wraps that is neither a yes nor a no: whom it asks gives no answer now.
var ErrUnavailable = auth.ErrUnavailable

// Options say what Start starts.
type Options struct {
	// DatabaseURL is the connection string of the PostgreSQL primary, URL or keyword/value pairs. It is required, and counts
	// instead of databaseUrl in Config.
	DatabaseURL string
	// Config is what a reactive.yaml says, with the same defaults and the same checks. Only what is about listeners and the
	// log has no place in it: listen, path, admin, pprof, logLevel and ingest.hook are refused. The environment gives what it
	// names as ${NAME}, and nothing else.
	Config string
	// Log takes what the program would log; nil drops it. Nothing of tokens, claims and rows is in it, unless in the text of
	// an error of ResolveScopes.
	Log *zap.Logger

	// Authenticate says who sent a request to connect; nil leaves that to Config. A client for which it returns an error, or
	// nobody, is closed with 4401, and so is everyone when their Principal expires. The error's text is not logged. Where it could
	// not find out, it wraps auth.ErrUnavailable: the client is closed with 1013, and may come again with the same token.
	//
	// It is called by many goroutines at once, those of your server's requests, and may wait: so does the client, and so does
	// Stop. The request's context ends after 5 seconds, or when the client is gone. That it has ended is no answer, and a panic
	// is a no.
	Authenticate func(r *http.Request) (*auth.Principal, error)

	// ParseNotify makes events of the payload of a notification, for the channels with source: notify; nil is ingest.Parse,
	// which reads mtbReactive's JSON. The events of one payload are one transaction; none is no error. An error, or a panic,
	// is counted and logged, and then nobody is told of what the payload meant. Only the text of an *ingest.Error is logged.
	//
	// It is called by one goroutine, in the order of the notifications. The next ones wait.
	ParseNotify ingest.Parser

	// Channels are further functions, by the name of a channel that Config has under reactive.
	Channels map[string]Channel
}

// Channel decides in Go what the channel's entry in Config does not say. An entry that says it too is refused.
type Channel struct {
	// Authorize returns nil where the client may subscribe to the scope; the function nil lets everybody who got in. An error
	// is a no, and the client is told "forbidden". Where whom it asks gives no answer, it returns an error that wraps
	// ErrUnavailable, or that of ctx: the client is told "unavailable" or, in the base protocol, closed with 1013, to try again;
	// and what it is subscribed to already waits until there is an answer. The error's text is not logged.
	//
	// It is called by many goroutines at once, one for each client, and may wait: so does the client, and so does Stop. ctx ends
	// after 5 seconds. It is asked when a client subscribes, or renews its token, and not in between: for rights that end while
	// a client is connected use authorize in Config, with member. A panic is a no.
	Authorize func(ctx context.Context, p *auth.Principal, s auth.Subscription) error

	// FilterRow tells whether a client sees a row; the function nil shows all. It is asked for the row as it was and as it is,
	// so that a row that becomes visible is an afterInsert and one that ceases to be an afterDelete. The answer must depend on
	// nothing but the two arguments: what else changes, nobody notices.
	//
	// It is called by several goroutines at once, for each client and row, and while the gateway's lock is held: it must not
	// block, nor call the gateway. The row is valid until it returns. A panic is a no.
	FilterRow func(p *auth.Principal, row auth.Row) bool
	// FilterColumns are all columns that FilterRow looks at. At the start it is made sure that the log has them of rows as
	// they were. Where it asks for another, or for one whose value is not known or larger than 64 KiB, the answer is a no.
	FilterColumns []string

	// ResolveScopes says in which scopes a row is, any number of each of the channel's scopes; with it none of them is taken
	// from a column, and the channel can have no snapshot. The values are compared with what clients subscribe to as values of
	// the column of the scope's name or, where the table has none, as text. The answer must depend on the row alone.
	//
	// It is called by one goroutine at a time, while the gateway's lock is held: it must not block, nor call the gateway. The
	// row is valid until it returns. With an error, or a panic, nobody knows who has the row, and the channel's views begin
	// anew. The error's text is logged, so it must hold nothing of the row.
	ResolveScopes func(row auth.Row) ([]auth.Scope, error)
	// ResolveColumns are all columns that ResolveScopes looks at. Where it asks for another, or for one whose value is not known
	// or larger than 64 KiB, that is an error.
	ResolveColumns []string
}
