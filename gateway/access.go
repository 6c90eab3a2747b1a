package gateway

import (
	"context"
	"net/http"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// authenticate says who sent the request. The error is an *auth.Denied, which may be logged.
func (g *Gateway) authenticate(r *http.Request) (*auth.Principal, error) {
	if g.options.Authenticate == nil {
		return auth.Anonymous{}.Authenticate(r)
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
	authorizer := s.gateway.options.Authorize[m.Channel]
	if authorizer == nil {
		return nil
	}
	subscription := auth.Subscription{Channel: m.Channel, Scope: auth.Scope{Column: value.Column, Value: value.Native()}}
	if err := authorizer.Authorize(ctx, s.principal, subscription); err != nil {
		s.gateway.options.Log.Debug("not authorized", zap.String("channel", m.Channel), zap.Error(err))
		return &protocol.Error{Code: protocol.CodeForbidden, Detail: "the client may not subscribe to this scope"}
	}
	return nil
}

// expire closes the connection when the principal's credentials do. The timer has to be stopped.
func (s *session) expire() *time.Timer {
	at, expires := s.principal.Expires()
	if !expires {
		return nil
	}
	return time.AfterFunc(time.Until(at), func() { s.client.Close(protocol.CloseUnauthorized) })
}
