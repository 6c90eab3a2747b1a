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
	if !s.authorized(ctx, m.Channel, value) {
		s.client.Drop(fanout.Held{Channel: m.Channel, Scope: value}) // who asks again and may not, has no right to the first
		return &protocol.Error{Code: protocol.CodeForbidden, Detail: "the client may not subscribe to this scope"}
	}
	return nil
}

func (s *session) authorized(ctx context.Context, channel string, value fanout.ScopeValue) bool {
	authorizer := s.gateway.options.Authorize[channel]
	if authorizer == nil {
		return true
	}
	subscription := auth.Subscription{Channel: channel, Scope: auth.Scope{Column: value.Column, Value: value.Native()}}
	err := authorizer.Authorize(ctx, s.principal, subscription)
	if err != nil {
		s.gateway.options.Log.Debug("not authorized", zap.String("channel", channel), zap.Error(err))
	}
	return err == nil
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
	s.client.Renew(p)
	for _, held := range s.client.Held() {
		if !s.authorized(ctx, held.Channel, held.Scope) {
			s.client.Forbid(held)
		}
	}
	expires, _ := p.Expires()
	s.client.Send(protocol.AppendAuthenticated(nil, expires))
	return nil
}

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
