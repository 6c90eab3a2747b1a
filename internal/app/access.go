package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
)

// access decides who gets in and who may subscribe, with what it has to fetch for that.
type access struct {
	authenticator auth.Authenticator // nil: nobody is asked
	authorizers   map[string]auth.Authorizer
	// scopeColumns are, by channel, the scope columns that $scope of an authorizer's query stands for.
	scopeColumns map[string]string
	start        func(context.Context) error
	closers      []func()
}

// newAccess makes what the configuration wants. What cannot be made is a *config.Error with the place in the file.
func newAccess(ctx context.Context, cfg *config.Config, functions Functions, path *queryPath, log *zap.Logger) (*access, error) {
	a := &access{start: func(context.Context) error { return nil }}
	var problems []config.Problem
	if cfg.Authenticate != nil {
		if err := a.authenticate(cfg.Authenticate, log); err != nil {
			problems = append(problems, cfg.Problem("authenticate", err.Error(), authenticateFix(cfg.Authenticate)))
		}
	}
	more, err := a.authorize(ctx, cfg, path)
	if err == nil {
		err = config.NewError(append(problems, more...)...)
	}
	if err != nil {
		a.close()
		return nil, err
	}
	if functions.Authenticate != nil {
		a.authenticator = functions.authenticator()
	}
	for channel, f := range functions.Channels {
		if f.Authorize != nil {
			a.authorizers[channel] = f.authorizer()
		}
	}
	return a, nil
}

// authorize makes the authorizers and tries those that can be tried.
func (a *access) authorize(ctx context.Context, cfg *config.Config, path *queryPath) (problems []config.Problem, err error) {
	a.authorizers, a.scopeColumns = map[string]auth.Authorizer{}, map[string]string{}
	fail := func(path string, err error, fix string) {
		problems = append(problems, cfg.Problem(path, err.Error(), fix))
	}
	for i, entry := range cfg.Reactive {
		if entry.Authorize == nil {
			continue
		}
		place := fmt.Sprintf("reactive[%d].authorize", i)
		authorizer, err := a.authorizer(ctx, entry, path.pool)
		switch {
		case errors.As(err, &noAnswer{}):
			return nil, err
		case err == nil:
			if c, ok := authorizer.(checker); ok {
				err = c.Check(ctx)
			}
			if err != nil && wal.Temporary(err) {
				return nil, err
			}
		}
		if err != nil {
			why, fix, failed := explain(ctx, path, entry.Authorize, authorizer, err)
			if failed != nil {
				return nil, failed
			}
			if why != "" {
				err = fmt.Errorf("%w: %s", err, why)
			}
			fail(place, err, cmp.Or(fix, authorizeFix(entry.Authorize)))
			continue
		}
		why, fix, err := a.misread(ctx, path, authorizer)
		switch {
		case err != nil:
			return nil, err
		case why != "":
			fail(place, errors.New(why), fix)
			continue
		}
		a.authorizers[entry.Channel] = authorizer
	}
	return problems, nil
}

// noAnswer is the error of a database that did not answer, so that an authorizer could not be made yet.
type noAnswer struct{ error }

func (e noAnswer) Unwrap() error { return e.error }

// explain says what the search_path or policies have to do with an error of a query. There is no authorizer where already the
// table of members could not be looked at.
func explain(ctx context.Context, path *queryPath, c *config.Authorize, authorizer auth.Authorizer, cause error) (why, fix string, err error) {
	switch q, ok := authorizer.(*auth.SQL); {
	case ok:
		sql, _ := q.Text()
		return path.explain(ctx, q, sql, cause)
	case c.Member != nil:
		return path.explain(ctx, nil, "SELECT FROM "+wal.TableName(c.Member.Table).Quoted(), cause)
	}
	return "", "", nil
}

// policies refuses authorizers that read tables whose policies would have to hold. What the log brings to an authorizer by
// members is judged with what is served.
func (a *access) policies(ctx context.Context, cfg *config.Config, pool *pgxpool.Pool, facts *wal.Facts) ([]wal.Finding, error) {
	var findings []wal.Finding
	for _, entry := range cfg.Reactive {
		asks, ok := a.authorizers[entry.Channel].(queried)
		if !ok {
			continue
		}
		sql, parameters := asks.Text()
		reads, err := wal.Reads(ctx, pool, sql, parameters)
		if err != nil {
			return nil, err
		}
		for _, table := range reads {
			why, fix := facts.Policies(table, "the query of authorize reads it", entry.RowSecurity == config.RowSecurityBypassed, true)
			if why != "" {
				findings = append(findings, wal.Finding{Check: "authorize of channel " + entry.Channel, Level: wal.Fail, Detail: why, Fix: "-- " + fix})
			}
		}
	}
	return findings, nil
}

// misread says what a query that an operator wrote may mean otherwise under the trusted search_path.
func (a *access) misread(ctx context.Context, path *queryPath, authorizer auth.Authorizer) (why, fix string, err error) {
	q, ok := authorizer.(*auth.SQL)
	if !ok || len(path.Untrusted) == 0 {
		return "", "", nil
	}
	sql, parameters := q.Text()
	reads, err := wal.Reads(ctx, path.pool, sql, parameters)
	if err != nil {
		return "", "", err
	}
	return path.misread(ctx, q, reads)
}

// authenticateFix says what to write instead.
func authenticateFix(c *config.Authenticate) string {
	switch {
	case c.Webhook != nil:
		return "write the URL of a service that knows the client by its headers: https, or http on this machine"
	case c.Headers != nil:
		return "list the addresses or networks of the proxies in front, such as 10.0.0.0/8, and a header for each claim"
	case c.JWT.JWKSURL != "":
		return "write the issuer's jwks_uri: https, or http on this machine; and algorithms of public keys, such as RS256"
	case c.JWT.SecretEnv != "":
		return fmt.Sprintf("set the environment variable %s to the secret, of 32 bytes at least, that the tokens are signed with", c.JWT.SecretEnv)
	case c.JWT.PublicKeyFile != "":
		return "write the path of a PEM file with public keys that the gateway's user may read"
	}
	return "write the path of a JSON Web Key Set that the gateway's user may read"
}

func authorizeFix(c *config.Authorize) string {
	switch {
	case c.CEL != "":
		return `write a CEL expression over ctx, channel and scope that comes to a bool, such as "ctx.role == 'admin'"`
	case c.SQL != "":
		return "write a query that comes to one bool, with $scope and $ctx.claim, over tables that the gateway's role may SELECT"
	case c.Member != nil:
		return "name a table and columns of it that exist, and that the gateway's role may SELECT"
	}
	return "write the URL of a service that answers whether the client may subscribe: https, or http on this machine"
}

// checker is an authorizer that can find out before the first client does whether it works.
type checker interface{ Check(context.Context) error }

func (a *access) close() {
	for _, f := range a.closers {
		f()
	}
}

func (a *access) authenticate(c *config.Authenticate, log *zap.Logger) error {
	switch {
	case c.Webhook != nil:
		w, err := auth.NewWebhook(auth.WebhookOptions{
			URL: c.Webhook.URL, Headers: c.Webhook.Headers, Timeout: c.Webhook.Timeout, CacheFor: c.Webhook.CacheFor,
		})
		if err != nil {
			return err
		}
		a.authenticator, a.closers = w, append(a.closers, w.Close)
		return nil
	case c.Headers != nil:
		h, err := auth.NewTrustedHeaders(auth.TrustedHeadersOptions{Proxies: c.Headers.Proxies, Claims: c.Headers.Claims})
		if err != nil {
			return err
		}
		a.authenticator = h
		return nil
	}
	keys, err := a.keys(c.JWT, log)
	if err != nil {
		return err
	}
	options := auth.JWTOptions{Keys: keys, Algorithms: c.JWT.Algorithms, Issuer: c.JWT.Issuer, Leeway: c.JWT.Leeway}
	if c.JWT.Audience != "" {
		options.Audience = []string{c.JWT.Audience}
	}
	options.Tokens = auth.TokenSources(c.JWT.Token)
	jwt, err := auth.NewJWT(options)
	if err != nil {
		return err
	}
	a.authenticator = jwt
	return nil
}

func (a *access) keys(c *config.JWT, log *zap.Logger) (auth.Keys, error) {
	switch {
	case c.JWKSURL != "":
		remote, err := auth.NewRemoteJWKS(auth.RemoteJWKSOptions{
			URL: c.JWKSURL, StartWithoutKeys: true, // until the issuer answers everybody is refused, with 4401
			OnError: func(err error) {
				log.Warn("fetch signing keys: trying again; without any, nobody gets in", zap.Error(err))
			},
		})
		if err != nil {
			return nil, err
		}
		a.start, a.closers = remote.Start, append(a.closers, remote.Stop)
		return remote, nil
	case c.SecretEnv != "":
		secret, set := os.LookupEnv(c.SecretEnv)
		if !set {
			return nil, fmt.Errorf("the environment variable %s is not set", c.SecretEnv)
		}
		return auth.Secret([]byte(secret))
	case c.PublicKeyFile != "":
		file, err := os.ReadFile(c.PublicKeyFile)
		if err != nil {
			return nil, fmt.Errorf("read the public keys: %w", err)
		}
		return auth.PublicKeys(file)
	}
	file, err := os.ReadFile(c.JWKSFile)
	if err != nil {
		return nil, fmt.Errorf("read the key set: %w", err)
	}
	return auth.JWKS(file)
}

func (a *access) authorizer(ctx context.Context, entry config.Reactive, pool *pgxpool.Pool) (auth.Authorizer, error) {
	c, query := entry.Authorize, queryRow(pool)
	column := ""
	if len(entry.Scopes) == 1 {
		column = entry.Scopes[0]
	}
	a.scopeColumns[entry.Channel] = column
	switch {
	case c.CEL != "":
		return auth.NewCEL(c.CEL)
	case c.SQL != "":
		return auth.NewSQL(auth.SQLOptions{Query: query, Statement: c.SQL, Column: column, Timeout: c.Timeout, CacheFor: c.CacheFor})
	case c.Member != nil:
		table, err := wal.CheckTable(ctx, pool, wal.TableName(c.Member.Table), c.Member.Scope, c.Member.User)
		switch {
		case wal.Temporary(err):
			return nil, noAnswer{err}
		case err != nil:
			return nil, err
		}
		return auth.NewMember(auth.MemberOptions{
			Query: queryTable(pool, table), Schema: c.Member.Table.Schema, Table: c.Member.Table.Name, Scope: c.Member.Scope, User: c.Member.User,
			ScopeSQL: columnSQL(c.Member.Scope, &table.Compared[0]), UserSQL: columnSQL(c.Member.User, &table.Compared[1]),
			Column: column, Timeout: c.Timeout, CacheFor: c.CacheFor,
		})
	}
	w, err := auth.NewAuthorizeWebhook(auth.AuthorizeWebhookOptions{URL: c.Webhook, Timeout: c.Timeout, CacheFor: c.CacheFor})
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, w.Close)
	return w, nil
}

// queryRow lets package auth, which knows no driver, ask the database.
func queryRow(pool *pgxpool.Pool) auth.QueryRow {
	return func(ctx context.Context, statement string, args ...any) auth.RowScanner {
		return pool.QueryRow(ctx, statement, args...)
	}
}

// queryTable is queryRow for a query of ours about a table of others.
func queryTable(pool *pgxpool.Pool, table *wal.TableCheck) auth.QueryRow {
	return func(ctx context.Context, statement string, args ...any) auth.RowScanner {
		return scanner(func(destination ...any) error {
			return table.Within(ctx, pool, func(tx pgx.Tx) error { return tx.QueryRow(ctx, statement, args...).Scan(destination...) })
		})
	}
}

// scanner is an auth.RowScanner.
type scanner func(destination ...any) error

// Scan implements auth.RowScanner.
func (s scanner) Scan(destination ...any) error { return s(destination...) }

func columnSQL(column string, c *wal.Comparison) auth.ColumnSQL {
	name := wal.Quote(column)
	return auth.ColumnSQL{Value: c.Of(name), Operator: c.Operator(), Text: c.Text(name)}
}
