package gateway

import (
	"context"
	"errors"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// authenticate says who sent the request. The error is an *auth.Denied, which may be logged.
func (g *Gateway) authenticate(r *http.Request) (*auth.Principal, error) {
	if g.options.Authenticate == nil {
		return g.anonymous, nil
	}
	return g.options.Authenticate.Authenticate(r)
}

// authorize says whether the session's client may subscribe. The error is a *protocol.Error. What does not exist is told
// as such before anybody is asked: an authorizer never sees a value that its column cannot have.
func (s *session) authorize(ctx context.Context, m protocol.Message) error {
	value, err := s.client.Ask(m.Channel, m.Scope)
	if err != nil {
		return err
	}
	authorize := s.gateway.authorizer(m.Channel)
	if authorize == nil {
		return nil
	}
	switch err := authorize(ctx, s.principal, value); {
	case err == nil:
		return nil
	case auth.Undecided(err): // who has the subscription keeps it: nobody has said no
		return &protocol.Error{Code: protocol.CodeUnavailable, Detail: "it could not be decided whether the client may subscribe"}
	}
	s.client.Drop(fanout.Held{Channel: m.Channel, Scope: value}) // who asks again and may not, has no right to the first
	return &protocol.Error{Code: protocol.CodeForbidden, Detail: "the client may not subscribe to this scope"}
}

// authorizer asks about subscriptions to a channel; nil is for one that is everybody's. What it denies is logged.
func (g *Gateway) authorizer(channel string) fanout.Authorize {
	authorizer := g.options.Authorize[channel]
	if authorizer == nil {
		return nil
	}
	return func(ctx context.Context, viewer any, value fanout.ScopeValue) error {
		principal, _ := viewer.(*auth.Principal) // nobody is let through as nil
		subscription := auth.Subscription{Channel: channel, Scope: auth.Scope{Column: value.Column, Value: value.Native()}}
		err := authorizer.Authorize(ctx, principal, subscription)
		if err != nil {
			g.noteUnauthorized(subscription, principal, err)
		}
		return err
	}
}

// noteUnauthorized notes that a client may not have a subscription, or that nobody could say. Who it is and which scope it
// asked for is only said at debug, where each has a line of its own.
func (g *Gateway) noteUnauthorized(s auth.Subscription, p *auth.Principal, err error) {
	g.options.Log.Debug("not authorized", zap.String("channel", s.Channel), zap.String("scope", s.Scope.Column), zap.Any("value", s.Scope.Value),
		zap.String("subject", p.Subject()), zap.Error(err))
	reason := RefusedForbidden
	if auth.Undecided(err) {
		reason = RefusedUnavailable
	}
	g.options.Refusals.note(reason, zap.String("channel", s.Channel), zap.String("scope", s.Scope.Column), zap.Error(err))
}

// errOtherSubject: a token with which somebody else would go on as the one who came.
var errOtherSubject = errors.New("the token is of another subject than the one before")

// renew takes a new token for the one that the client came with. It has to be of the same subject; everything that was
// decided by the old one's claims is decided again. A token that is refused ends the connection, as at the beginning. One about
// which nobody can say leaves the client with the old one, until that expires.
func (s *session) renew(ctx context.Context, token string) error {
	verifier, ok := s.gateway.options.Authenticate.(auth.Verifier)
	if !ok {
		return &protocol.Error{Code: protocol.CodeInvalidMessage, Detail: "clients are not known by tokens here"}
	}
	p, err := verifier.Verify(ctx, token)
	switch {
	case auth.Undecided(err):
		s.gateway.noteDenied("token not renewed", err, s.remote())
		return &protocol.Error{Code: protocol.CodeUnavailable, Detail: "it could not be found out whom the token is for: the one before stays"}
	case err == nil && !p.SameSubject(s.principal):
		err = errOtherSubject
	}
	if err != nil {
		s.gateway.noteDenied("token not renewed", err, s.remote())
		s.client.Close(protocol.CloseUnauthorized)
		return nil
	}
	s.principal = p
	s.expire()
	asked := s.client.Renew(p, s.gateway.authorizer)
	timer := time.NewTimer(renewPatience)
	defer timer.Stop()
	select {
	case <-asked:
	case <-timer.C: // what is not decided yet is still on hold
	}
	expires, _ := p.Expires()
	s.client.SendNext(protocol.AppendAuthenticated(nil, expires)) // behind what was decided
	return nil
}

// renewPatience is how long the answer to a renewal waits for what is decided of the client's subscriptions.
const renewPatience = 5 * time.Second

// expire closes the connection when the principal's credentials do, and no longer when those of the one before would have.
func (s *session) expire() {
	if s.expiry != nil {
		s.expiry.Stop()
		s.expiry = nil
	}
	at, expires := s.principal.Expires()
	if !expires {
		s.expires.Store(nil)
		return
	}
	s.expires.Store(&at)
	s.expiry = time.AfterFunc(at.Sub(s.gateway.options.Now()), func() { s.client.Close(protocol.CloseUnauthorized) })
}

// overstayed does what a timer cannot: it looks at the clock, which may have been set, or have gone on while the machine
// slept, and cuts off whoever takes in the last frames so slowly that the goodbye never comes.
func (s *session) overstayed() {
	at := s.expires.Load()
	if at == nil {
		return
	}
	switch now := s.gateway.options.Now(); {
	case now.Before(*at):
		s.told = time.Time{}
	case s.told.IsZero():
		s.told = now
		s.client.Close(protocol.CloseUnauthorized)
	case now.Sub(s.told) > s.gateway.options.WriteTimeout:
		s.socket.abort()
	}
}
