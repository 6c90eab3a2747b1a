package auth

import (
	"context"
	"net/http"
)

// Authenticator says who sent a request. It may be used by many goroutines at once.
type Authenticator interface {
	// Authenticate returns who sent the request. The error is a *Denied. It may take as long as somebody who is asked,
	// within the limit set for that, or until the request's context ends.
	Authenticate(r *http.Request) (*Principal, error)
}

// Verifier is an Authenticator that can also be asked about a token alone, as a client sends it to stay longer.
type Verifier interface {
	// Verify returns whom a token is for. The error is a *Denied.
	Verify(ctx context.Context, token string) (*Principal, error)
}
