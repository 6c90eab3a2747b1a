package auth

import (
	"context"
	"net/http"
)

// AuthenticatorFunc makes an Authenticator of a function. A panic in it, a nil Principal without an error and an error are a no,
// but for an error that says that there was no answer: ErrUnavailable, or that of a context that has ended. Of an error that is
// no *Denied the text is not kept, for it may hold something of a token.
type AuthenticatorFunc func(r *http.Request) (*Principal, error)

// Authenticate implements Authenticator.
func (f AuthenticatorFunc) Authenticate(r *http.Request) (p *Principal, err error) {
	defer func() {
		if recover() != nil {
			p, err = nil, denyf(EvaluationFailed, "the function panicked")
		}
	}()
	p, err = f(r)
	switch {
	case err != nil:
		return nil, denied(err)
	case p == nil:
		return nil, deny(NoCredentials)
	}
	return p, nil
}

// AuthorizerFunc makes an Authorizer of a function. A panic in it is a no, and so is an error, but for one that says that there
// was no answer: ErrUnavailable, or that of a context that has ended. Of an error that is no *Denied the text is not kept, for
// it may hold something of a claim.
type AuthorizerFunc func(ctx context.Context, p *Principal, s Subscription) error

// Authorize implements Authorizer.
func (f AuthorizerFunc) Authorize(ctx context.Context, p *Principal, s Subscription) (err error) {
	defer func() {
		if recover() != nil {
			err = denyf(EvaluationFailed, "the function panicked")
		}
	}()
	if err := f(ctx, p, s); err != nil {
		return denied(err)
	}
	return nil
}
