package wal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
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

// connConfig parses a connection string and pins the session's settings.
func connConfig(url string) (*pgx.ConnConfig, error) {
	config, err := parseURL(url)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err)
	}
	pin(&config.Config, nil)
	return config, nil
}

// pin fixes what a session starts with, so that the settings of the role, the database and the URL change nothing. The
// start-up packet goes before all of these, also before the URL's options=-c....
//
// search_path is pg_catalog, pg_temp, and for queries that operators wrote the schemas of trusted between these. A name
// without a schema, an operator too, then means what superusers made, or the owner of the database. PostgreSQL chooses
// operators by their argument types: operator public.= (varchar, varchar) would go before the built-in = (text, text) for
// every varchar column, and run as this role. So:
//   - our SQL names schemas of tables, functions and types. Operators between built-in types are bare: only pg_catalog has any.
//   - What is compared with a column of somebody's table is compared by Comparison, after the type was looked at. ORDER BY,
//     DISTINCT and GROUP BY go by the type's default operator class, which only a superuser can make.
//   - A column of somebody's type is never cast to another type: the type's owner can make such a cast a function of theirs.
//
// Reading a plain column of a table runs the output function of its type, which is C and a superuser's, and no code of the
// table's owner: no rule, no trigger, no default, no CHECK of a domain, no stored generated column. (Virtual generated columns
// have built-in functions only.) So do publications' row filters, which may call no function and no operator of a user. A view
// runs what its owner wrote, and so does a foreign table, with our user mapping: identify refuses both.
//
// Definitions are compared as the catalog prints them, in transactions that see what was made meanwhile: so quote_all_identifiers
// and default_transaction_isolation are what they are by default.
//
// Planning a query may still run what the table's owner wrote: see ErrStrangersCode. constraint_exclusion is off so that CHECK
// constraints, at least, are not looked at.
//
// row_security is off: a query that policies would narrow fails with 42501 instead of showing less, and no policy runs.
func pin(config *pgconn.Config, trusted []string) {
	settings := values.Settings()
	settings["search_path"] = searchPath(trusted)
	settings["row_security"] = "off"
	settings["standard_conforming_strings"] = "on"
	settings["constraint_exclusion"] = "off"
	settings["quote_all_identifiers"] = "off"
	settings["default_transaction_isolation"] = "read committed"
	for name, value := range settings {
		unpin(config, name)
		config.RuntimeParams[name] = value
	}
	if config.RuntimeParams["application_name"] == "" {
		config.RuntimeParams["application_name"] = applicationName
	}
	if config.ConnectTimeout == 0 {
		config.ConnectTimeout = connectTimeout
	}
}

// unpin takes a setting out, however the URL spells it: PostgreSQL does not heed capitals in the names of settings.
func unpin(config *pgconn.Config, name string) {
	for given := range config.RuntimeParams {
		if strings.EqualFold(given, name) {
			delete(config.RuntimeParams, given)
		}
	}
}

func searchPath(trusted []string) string {
	path := []string{"pg_catalog"}
	for _, schema := range trusted {
		path = append(path, quote(schema))
	}
	return strings.Join(append(path, "pg_temp"), ", ")
}

// PoolOptions says what a pool's sessions are for.
type PoolOptions struct {
	// Path are schemas that names without one are looked for in, behind pg_catalog: those of Path.Trusted, for queries that
	// operators wrote. Without any, a name without a schema is a built-in one.
	Path []string
	// Views lets queries read views, which those of operators may.
	Views bool
	// MaxConns bounds the connections; 0 is four.
	MaxConns int32
	// MaxRowBytes bounds a row that a query returns, where it is not 0: a bigger one ends the connection before it is held.
	MaxRowBytes int
}

// OpenPool makes the pool for everything besides the stream: catalog, setup, checkpoint. It does not connect yet.
func OpenPool(ctx context.Context, url string, options PoolOptions) (*pgxpool.Pool, error) {
	config, err := parsePoolURL(url)
	if err != nil {
		return nil, fmt.Errorf("parse database URL: %w", err)
	}
	pin(&config.ConnConfig.Config, options.Path)
	// What the gateway writes need not wait for standbys, which may not answer: the log would be held back meanwhile.
	config.ConnConfig.RuntimeParams["synchronous_commit"] = "local"
	// Parsed again for every connection: the password may be in a file, and another one by now.
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		now, err := parseURL(url)
		if err == nil {
			c.Password = now.Password
		}
		return err
	}
	config.AfterConnect = func(ctx context.Context, c *pgx.Conn) error { return checkPinned(ctx, c, options) }
	config.MaxConns = cmp.Or(options.MaxConns, poolSize)
	config.MinConns = 0
	if options.MaxRowBytes > 0 {
		config.ConnConfig.MaxProtocolMessageBodyLen = max(options.MaxRowBytes, leastBoundedRow)
	}
	return pgxpool.NewWithConfig(ctx, config)
}

// ErrNotPinned says that a session does not have the settings that it was started with.
var ErrNotPinned = errors.New("the session does not have the search_path and row_security that it was started with: " +
	"a pooler in between ignores them. Give databaseUrl the server's own address")

// checkPinned refuses a session without its settings, and one whose path has a schema in which others may create by now.
func checkPinned(ctx context.Context, c *pgx.Conn, options PoolOptions) error {
	trusted := options.Path
	// Only names with their schema, and no operator: the path may be anything.
	const pinned = "SELECT pg_catalog.current_setting('search_path'), pg_catalog.current_setting('row_security')"
	result := c.PgConn().ExecParams(ctx, pinned, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return fmt.Errorf("read the session's settings: %w", result.Err)
	}
	if row := result.Rows[0]; string(row[0]) != searchPath(trusted) || string(row[1]) != "off" {
		return ErrNotPinned
	}
	if !options.Views {
		if err := restrict(ctx, c, false); err != nil {
			return err
		}
	}
	if len(trusted) == 0 {
		return nil
	}
	return checkTrusted(ctx, c, trusted)
}

// closeBriefly closes a connection, also where ctx has ended, and waits no longer than farewell for that.
func closeBriefly(ctx context.Context, conn interface{ Close(context.Context) error }) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewell)
	defer cancel()
	_ = conn.Close(ctx)
}

// restrict keeps a session, or a transaction, of our own queries from expanding a view and from asking a foreign table, also
// where its owner puts one in the place of a table at the worst moment. Minor releases from before August 2024 do not have the setting.
func restrict(ctx context.Context, c *pgx.Conn, transaction bool) error {
	const restriction = `select pg_catalog.set_config(s.name, 'view, foreign-table', %t) from pg_catalog.pg_settings s
		where s.name = 'restrict_nonsystem_relation_kind'`
	if err := c.PgConn().ExecParams(ctx, fmt.Sprintf(restriction, transaction), nil, nil, nil, nil).Read().Err; err != nil {
		return fmt.Errorf("restrict queries to tables: %w", err)
	}
	return nil
}

// connectReplication opens a connection in logical replication mode (PostgreSQL manual, "Streaming Replication
// Protocol"). linger is how long bytes gather that come fast. notices hears every notice of the server, from the goroutine that
// uses the connection.
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
