package wal

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5/pgconn"
)

// tryTimeout bounds the try.
const tryTimeout = 10 * time.Second

// tryReplication opens a replication connection for a role whose flag says that it may not: on managed servers a membership
// gives that right, such as in rds_replication. Only the server's own refusal means no.
func (s *Server) tryReplication(ctx context.Context, facts *Facts) {
	if s.replicates.Load() {
		facts.Replication = true
		return
	}
	ctx, cancel := context.WithTimeout(ctx, tryTimeout)
	defer cancel()
	err := s.identify(ctx)
	var pg *pgconn.PgError
	switch {
	case err == nil:
		facts.Replication = true
		s.replicates.Store(true)
	case errors.As(err, &pg) && (pg.Code == pgerrcode.InsufficientPrivilege || pgerrcode.IsInvalidAuthorizationSpecification(pg.Code)):
		facts.Refusal = rootCause(err)
	default:
		facts.Untried = rootCause(err)
	}
}

func (s *Server) identify(ctx context.Context) error {
	pool := s.Pool.Config()
	config := pool.ConnConfig
	if pool.BeforeConnect != nil {
		if err := pool.BeforeConnect(ctx, config); err != nil {
			return err
		}
	}
	config.RuntimeParams["replication"] = "database"
	conn, err := pgconn.ConnectConfig(ctx, &config.Config)
	if err != nil {
		return err
	}
	defer closeBriefly(ctx, conn)
	_, err = pglogrepl.IdentifySystem(ctx, conn)
	return err
}
