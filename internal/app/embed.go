package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
)

// listenersKeys are of no use where the listeners are somebody else's.
func listenersKeys() []string {
	return []string{"listen", "path", "admin", "pprof", "logLevel", "ingest.hook"}
}

// NewService makes the service for a program that has listeners of its own. yaml is what a reactive.yaml would say. The
// error has a line for everything that is wrong.
func NewService(yaml, databaseURL string, functions Functions, log *zap.Logger) (*Service, error) {
	cfg, err := config.Parse("Options.Config", []byte(yaml), "Options.DatabaseURL", config.Secret(databaseURL))
	if err != nil {
		return nil, err
	}
	problems := functions.check(cfg)
	for _, key := range listenersKeys() {
		if _, written := cfg.At(key); written {
			problems = append(problems, cfg.Problem(key, key+" is for the program that listens by itself", "delete the key: here your own server, and your own logger, decide"))
		}
	}
	if err := config.NewError(problems...); err != nil {
		return nil, err
	}
	s := newService(cfg, functions, log)
	s.embedded = true
	return s, nil
}

// Settled tells whether the service has become what it is going to be for now: it follows the log, or stands by for
// another gateway that does.
func (s *Service) Settled() bool {
	p := s.running.Load()
	if p == nil {
		return false
	}
	state := p.source.Stats().State
	return state == wal.Live || state == wal.Standby
}

// Emit tells of events, as ingest.Ingest.Emit does.
func (s *Service) Emit(ctx context.Context, events ...ingest.Event) (cdc.IngestPosition, error) {
	p := s.running.Load()
	if p == nil {
		return cdc.IngestPosition{}, ingest.ErrNotLive
	}
	return p.ingest.Emit(ctx, events...)
}

// Hook takes events by POST from whoever has the token. It may be called once the service serves.
func (s *Service) Hook(token string) (http.Handler, error) {
	if len(token) < minToken {
		return nil, fmt.Errorf("the hook's token has less than %d characters: take a random text, for example the output of: openssl rand -hex 32", minToken)
	}
	p := s.running.Load()
	if p == nil {
		return nil, errors.New("the gateway does not serve")
	}
	return p.ingest.Handler(token), nil
}
