package wal

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/wal/values"
)

const (
	applicationName = "reactive-gw"
	connectTimeout  = 10 * time.Second
	poolSize        = 4
)

// connConfig parses a connection string and pins the session settings that decide how values are printed, so that a
// role's or a database's own settings change no byte of what clients get.
func connConfig(url string) (*pgx.ConnConfig, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err)
	}
	pin(&config.Config)
	return config, nil
}

func pin(config *pgconn.Config) {
	for name, value := range values.Settings() {
		config.RuntimeParams[name] = value
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = applicationName
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
}

// PoolOptions says what a pool's sessions are for.
type PoolOptions struct {
	// MaxConns bounds the connections; 0 is four.
	MaxConns int32
	// MaxRowBytes bounds a row that a query returns, where it is not 0: a bigger one ends the connection before it is held.
	MaxRowBytes int
}

// OpenPool makes the pool for everything beside the stream: catalog, setup, checkpoint. It does not connect yet.
func OpenPool(ctx context.Context, url string, options PoolOptions) (*pgxpool.Pool, error) {
	config, err := parsePoolURL(url)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err)
	}
	pin(&config.ConnConfig.Config)
	// What the gateway writes need not wait for standbys, which may not answer: the log would be held back meanwhile.
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "local"
	// Parsed anew for every connection: the password may be in a file, and another one by now.
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		now, err := parseURL(url)
		if err == nil {
			c.Password = now.Password
		}
		return err
	}
	config.MaxConns = cmp.Or(options.MaxConns, poolSize)
	config.MinConns = 0
	if options.MaxRowBytes > 0 {
		config.ConnConfig.MaxProtocolMessageBodyLen = max(options.MaxRowBytes, leastBoundedRow)
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// connectReplication opens a connection in logical replication mode (PostgreSQL manual, "Streaming Replication
// Protocol"). linger is how long bytes gather that come fast. notices hears every notice of the server, from the goroutine that uses the connection.
func connectReplication(ctx context.Context, url string, linger time.Duration, notices func(*pgconn.Notice)) (*pgconn.PgConn, error) {
	config, err := connConfig(url)
	if err != nil {
		return nil, err
	}
	config.DialFunc = dialGathering(linger)
	config.RuntimeParams["replication"] = "database"
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) { notices(n) }
	conn, err := pgconn.ConnectConfig(ctx, &config.Config)
	if err != nil {
		return nil, fmt.Errorf("connect for replication: %w", err)
	}
	return conn, nil
}
