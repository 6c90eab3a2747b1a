package gateway

import (
	"context"
	"errors"
	"sync"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// session serves one connection: the handler's goroutine reads, another one writes, a timer pings.
type session struct {
	gateway *Gateway
	socket  *socket
	client  *fanout.Client
	// principal is who the client is; nil in a session that only says goodbye.
	principal *auth.Principal
}

// serve returns when the connection has ended and nothing of it runs any more.
func (s *session) serve(ctx context.Context) {
	options := &s.gateway.options
	ctx, cancel := context.WithCancel(ctx)
	var writing sync.WaitGroup
	writing.Go(func() { s.write(ctx) })
	beat := startHeartbeat(options.PingInterval, options.PingTimeout, s.socket)

	if expiry := s.expire(); expiry != nil {
		defer expiry.Stop()
	}

	err := s.read(ctx)
	options.Log.Debug("connection ended", zap.Error(err))
	s.client.Detach() // first, so that the hub does no more work for it
	if errors.Is(err, errTooBig) {
		s.client.Close(protocol.CloseFrameTooBig)
		writing.Wait()
	}
	cancel()
	s.socket.abort()
	beat.stop()
	writing.Wait()
}

// read handles the client's messages until the connection ends.
func (s *session) read(ctx context.Context) error {
	for {
		frame, err := s.socket.read()
		switch {
		case errors.Is(err, errNotText):
			s.refuse(&protocol.Error{Code: protocol.CodeInvalidJSON, Detail: "a binary frame is no JSON"})
			continue
		case err != nil:
			return err
		}
		message, err := protocol.Parse(frame)
		if err == nil {
			err = s.handle(ctx, message)
		} else if message.Type != "" { // the scope is at fault; that there is no such channel comes before that
			_, err = s.gateway.options.Hub.ScopeOf(message.Channel, protocol.Scope{})
		}
		if err != nil {
			s.refuse(err)
		}
	}
}

// handle does what the client asks for. The error is a *protocol.Error.
func (s *session) handle(ctx context.Context, m protocol.Message) error {
	switch m.Type {
	case protocol.Subscribe:
		err := s.authorize(ctx, m)
		if err != nil {
			return err
		}
		err = s.client.Subscribe(m.Channel, m.Scope)
		if s.client.Subscriptions() > s.gateway.options.MaxSubscriptions {
			s.client.Close(protocol.CloseLimitExceeded)
		}
		return err
	case protocol.Unsubscribe:
		return s.client.Unsubscribe(m.Channel, m.Scope)
	}
	return &protocol.Error{Code: protocol.CodeUnknownMessageType, Detail: "no such message type"}
}

// refuse answers a message with an error frame. The connection goes on.
func (s *session) refuse(err error) {
	if refusal := (*protocol.Error)(nil); errors.As(err, &refusal) {
		s.client.Send(protocol.AppendError(nil, refusal.Code))
	}
}

// write sends what is queued until the client has to go or the connection ends.
func (s *session) write(ctx context.Context) {
	var frames [][]byte
	for {
		var err error
		frames, err = s.client.Next(ctx, frames)
		if closed := (*fanout.Closed)(nil); errors.As(err, &closed) {
			s.socket.close(closed.Code)
			return
		}
		if err != nil {
			return
		}
		for _, frame := range frames {
			if err := s.socket.write(frame); err != nil {
				// A frame is half out: no close frame can follow it.
				s.gateway.options.Log.Debug("write failed", zap.Error(err))
				s.socket.abort()
				return
			}
		}
	}
}
