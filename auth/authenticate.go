package auth

import "net/http"

// Authenticator says who sent a request. It may be used by many goroutines at once.
type Authenticator interface {
	// Authenticate returns who sent the request. The error is a *Denied. It may take as long as somebody who is asked,
	// within the limit set for that, or until the request's context ends.
	Authenticate(r *http.Request) (*Principal, error)
}

// Anonymous is the Authenticator that asks for nothing: everybody is a principal without claims.
type Anonymous struct{}

// Authenticate implements Authenticator.
func (Anonymous) Authenticate(*http.Request) (*Principal, error) { return anonymous(), nil }
