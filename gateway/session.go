package gateway

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// session serves one connection: a goroutine reads, and the gateway's writers send what waits for it.
type session struct {
	gateway *Gateway
	socket  *socket
	client  *fanout.Client
	sending
	life
	// principal is who the client is; nil in a session that only says goodbye. It belongs to the goroutine that reads.
	principal *auth.Principal
	answering sync.WaitGroup
	expiry    *time.Timer // nil where the principal does not expire
	// expires is when it does, for other goroutines; nil where it does not.
	expires atomic.Pointer[time.Time]
	// messages and renewals are how much the client may still send.
	messages, renewals *rate.Limiter // renewals is nil until the first one
}

const (
	// renewEvery is how often a client may renew its token, which costs a signature to be checked and every subscription to
	// be authorized anew. maxRenewals is how many times in a row.
	renewEvery  = 5 * time.Second
	maxRenewals = 10
	// messageBurst is how many seconds' messages a client may send at once.
	messageBurst = 10
)

func newSession(g *Gateway, socket *socket, client *fanout.Client, principal *auth.Principal) *session {
	s := &session{gateway: g, socket: socket, client: client, principal: principal}
	s.messages = rate.NewLimiter(rate.Inf, 0)
	if most := g.options.MaxMessages; most > 0 {
		s.messages = rate.NewLimiter(rate.Limit(most), g.options.MaxSubscriptions+messageBurst*most)
	}
	socket.allow = s.messages.Allow
	return s
}

// serve returns when the connection has ended and nothing of it runs any more.
func (s *session) serve(ctx context.Context) {
	s.client.Serve(s.ready)
	s.expire()
	err := s.read(ctx)
	if s.expiry != nil {
		s.expiry.Stop()
	}
	s.gateway.options.Log.Debug("connection ended", zap.Error(err))
	s.client.Detach() // first, so that the hub does no more work for it
	if code, reason := fault(err); code != 0 {
		s.refused(reason)
		s.client.Close(code)
		s.served.Wait()
		s.socket.linger()
	}
	s.socket.abort()
	s.client.Serve(nil)
	s.served.Wait()
}

// fault is how a connection is closed whose client did what it may not; 0 is not by us.
func fault(err error) (protocol.Close, Refusal) {
	switch {
	case errors.Is(err, errTooBig):
		return protocol.CloseFrameTooBig, RefusedFrameSize
	case errors.Is(err, errTooMany):
		return protocol.CloseLimitExceeded, RefusedMessages
	case errors.Is(err, errMisframed):
		return protocol.CloseMisframed, RefusedMisframed
	}
	return 0, ""
}

// refused notes that the client is sent away.
func (s *session) refused(reason Refusal) {
	s.gateway.options.Refusals.note(reason, zap.String("remote", s.remote()))
}

func (s *session) remote() string { return s.socket.raw.RemoteAddr().String() }

// read handles the client's messages until the connection ends.
func (s *session) read(ctx context.Context) error {
	for {
		frame, err := s.socket.read()
		switch {
		case errors.Is(err, errNotText):
			s.refuse(&protocol.Error{Code: protocol.CodeInvalidJSON, Detail: "a binary frame is no JSON"}, protocol.Message{})
			continue
		case err != nil:
			return err
		}
		// In a goroutine of its own, whose stack goes with it: a reader that has once called as deep as this keeps twice the
		// memory for as long as it waits for the next message.
		s.answering.Go(func() { s.answer(ctx, frame) })
		s.answering.Wait()
	}
}

// answer does what a message asks for.
func (s *session) answer(ctx context.Context, frame []byte) {
	defer s.gateway.recovered(s.socket)
	message, err := s.parse(frame)
	fault := (*protocol.Error)(nil)
	switch {
	case err == nil:
		err = s.handle(ctx, message)
	case errors.As(err, &fault) && fault.Code == protocol.CodeInvalidScope: // that there is no such channel comes before that
		_, err = s.gateway.options.Hub.ScopeOf(message.Channel, protocol.Scope{})
	}
	if err != nil {
		s.refuse(err, message)
	}
}

func (s *session) parse(frame []byte) (protocol.Message, error) {
	if s.socket.extended {
		return protocol.ParseExtended(frame)
	}
	return protocol.Parse(frame)
}

// handle does what the client asks for. The error is a *protocol.Error.
func (s *session) handle(ctx context.Context, m protocol.Message) error {
	switch m.Type {
	case protocol.Subscribe:
		err := s.authorize(ctx, m)
		if err != nil {
			return err
		}
		if m.Since != "" {
			err = s.client.SubscribeSince(m.Channel, m.Scope, m.Since)
		} else {
			err = s.client.Subscribe(m.Channel, m.Scope)
		}
		if s.client.Subscriptions() > s.gateway.options.MaxSubscriptions {
			s.refused(RefusedSubscriptions)
			s.client.Close(protocol.CloseLimitExceeded)
		}
		return err
	case protocol.Unsubscribe:
		return s.client.Unsubscribe(m.Channel, m.Scope)
	case protocol.Auth:
		if s.renewals == nil {
			s.renewals = rate.NewLimiter(rate.Every(renewEvery), maxRenewals)
		}
		if !s.renewals.Allow() {
			s.refused(RefusedRenewals)
			s.client.Close(protocol.CloseLimitExceeded)
			return nil
		}
		return s.renew(ctx, m.Token)
	case protocol.WaitFor:
		lsn, err := cdc.ParseLSN(m.LSN)
		if err != nil {
			return &protocol.Error{Code: protocol.CodeInvalidMessage, Detail: "lsn is no position such as 16/B374D848"}
		}
		s.client.WaitFor(lsn, m.LSN)
		return nil
	case protocol.Heartbeat:
		s.client.Heartbeat()
		return nil
	}
	return &protocol.Error{Code: protocol.CodeUnknownMessageType, Detail: "no such message type"}
}

// refuse answers a message with an error frame. The connection goes on.
func (s *session) refuse(err error, about protocol.Message) {
	if refusal := (*protocol.Error)(nil); errors.As(err, &refusal) {
		s.client.Refuse(refusal, about)
	}
}
