package main

import (
	"context"

	"github.com/reactive-gw/reactive-gw/integration/bench/load"
)

// stage is a database with a gateway of its own, and a swarm that is not connected yet.
type stage struct {
	db      *database
	gateway *gateway
	swarm   *load.Swarm
}

// newStage makes a stage, whose database has the statements run. The caller ends it with close.
func (b *bench) newStage(ctx context.Context, slot, yaml string, statements []string, env ...string) (*stage, error) {
	db, err := newDatabase(ctx, statements...)
	if err != nil {
		return nil, err
	}
	s := &stage{db: db}
	if s.gateway, err = b.startGateway(ctx, db, slot, yaml, env...); err == nil {
		s.swarm, err = load.NewSwarm()
	}
	if err != nil {
		s.close(ctx)
		return nil, err
	}
	return s, nil
}

func (s *stage) close(ctx context.Context) {
	if s.swarm != nil {
		s.swarm.Close()
	}
	if s.gateway != nil {
		s.gateway.kill(ctx, s.db)
	}
	s.db.close()
}
