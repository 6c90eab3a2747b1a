package auth

import "context"

// Subscription is what a client wants to see: the rows of a channel in one scope.
type Subscription struct {
	Channel string
	Scope   Scope
}

// Authorizer decides about subscriptions. It may be used by many goroutines at once.
type Authorizer interface {
	// Authorize returns nil where the principal may subscribe, and a *Denied in every other case. It may take as long as
	// somebody who is asked, within the limit set for that.
	Authorize(ctx context.Context, p *Principal, s Subscription) error
}
