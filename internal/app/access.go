package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

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
	// reads are, by channel, the tables that an authorizer's query reads, as far as they were asked for.
	reads   map[string][]wal.TableName
	start   func(context.Context) error
	remote  *auth.RemoteJWKS // nil where no keys are fetched
	closers []func()
}

// newAccess makes what the configuration wants. What cannot be made is a *config.Error with the place in the file.
func newAccess(ctx context.Context, cfg *config.Config, functions Functions, tables *served, path *queryPath, log *zap.Logger) (*access, error) {
	a := &access{start: func(context.Context) error { return nil }}
	var problems []config.Problem
	if cfg.Authenticate != nil {
		if err := a.authenticate(cfg.Authenticate, log); err != nil {
			problems = append(problems, authenticateProblem(cfg, err))
		}
	}
	more, err := a.authorize(ctx, cfg, tables, path)
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
func (a *access) authorize(ctx context.Context, cfg *config.Config, tables *served, path *queryPath) (problems []config.Problem, err error) {
	a.authorizers, a.scopeColumns, a.reads = map[string]auth.Authorizer{}, map[string]string{}, map[string][]wal.TableName{}
	fail := func(path string, err error, fix string) {
		problems = append(problems, cfg.Problem(path, err.Error(), fix))
	}
	for i, entry := range cfg.Reactive {
		if entry.Authorize == nil {
			continue
		}
		place := fmt.Sprintf("reactive[%d].authorize", i)
		known := &auth.Types{Claims: claimTypes(cfg), Scope: tables.scopeType(entry.Channel)}
		authorizer, err := a.authorizer(ctx, entry, known, path.pool)
		if q, ok := authorizer.(*auth.SQL); ok { // before it is run for the first time
			sql, _ := q.Text()
			err = wal.MayPlan(ctx, path.pool, sql)
		}
		if c, ok := authorizer.(checker); ok && err == nil {
			err = c.Check(ctx)
		}
		switch {
		case wal.Temporary(err):
			return nil, err
		case auth.PlainHTTP(err):
			fail(place+".webhook", err, plainHTTPFix("authorize"))
			continue
		case err != nil:
			why, fix, failed := causes(ctx, path, entry.Authorize, authorizer, err)
			if failed != nil {
				return nil, failed
			}
			if why != "" {
				err = fmt.Errorf("%w: %s", err, why)
			}
			fail(place, err, cmp.Or(fix, mismatchFix(err, authorizeFix(entry.Authorize))))
			continue
		}
		why, fix, err := a.misread(ctx, path, entry.Channel, authorizer)
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

// authenticateProblem has the place of what is wrong.
func authenticateProblem(cfg *config.Config, err error) config.Problem {
	switch {
	case auth.PlainHTTP(err) && cfg.Authenticate.Webhook != nil:
		return cfg.Problem("authenticate.webhook.url", err.Error(), plainHTTPFix("webhook"))
	case auth.PlainHTTP(err):
		return cfg.Problem("authenticate.jwt.jwksUrl", err.Error(), plainHTTPFix("jwt"))
	}
	return cfg.Problem("authenticate", err.Error(), authenticateFix(cfg.Authenticate))
}

func plainHTTPFix(section string) string {
	return fmt.Sprintf("write https://, or add allowPlainHttp: true to %s where nobody else is on the way", section)
}

// causes says what the search_path or policies have to do with an error of a query. authorizer is nil where it could not be
// made, as where the table of members could not be looked at.
func causes(ctx context.Context, path *queryPath, c *config.Authorize, authorizer auth.Authorizer, cause error) (why, fix string, err error) {
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
		reads, err := a.tablesRead(ctx, pool, entry.Channel, asks)
		if err != nil {
			return nil, err
		}
		for _, table := range reads {
			why, fix := facts.Policies(table, "the query of authorize reads it", entry.RowSecurity == config.RowSecurityBypassed, true)
			if why != "" {
				findings = append(findings, wal.Finding{Check: "authorize of channel " + entry.Channel, Level: wal.Fail, Detail: why, Fix: wal.PolicyFix(fix)})
			}
		}
	}
	return findings, nil
}

// misread says what a query that an operator wrote may mean otherwise under the trusted search_path.
func (a *access) misread(ctx context.Context, path *queryPath, channel string, authorizer auth.Authorizer) (why, fix string, err error) {
	q, ok := authorizer.(*auth.SQL)
	if !ok || len(path.Untrusted) == 0 {
		return "", "", nil
	}
	reads, err := a.tablesRead(ctx, path.pool, channel, q)
	if err != nil {
		return "", "", err
	}
	return path.misread(ctx, q, reads)
}

// tablesRead lists the tables that a channel's query reads. A start asks for them more than once, and the server plans once.
func (a *access) tablesRead(ctx context.Context, pool *pgxpool.Pool, channel string, asks queried) ([]wal.TableName, error) {
	if reads, known := a.reads[channel]; known {
		return reads, nil
	}
	sql, parameters := asks.Text()
	reads, err := wal.Reads(ctx, pool, sql, parameters)
	if err == nil {
		a.reads[channel] = reads
	}
	return reads, err
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
		return "write one query, over tables that the gateway's role may SELECT, that comes to a boolean, such as \"select exists (select 1 from member " +
			"where conversation_id = $scope and user_id = $ctx.sub)\", or to a row for those who may, such as \"select 1 from member where ...\""
	case c.Member != nil:
		return "name a table and columns of it that exist, and that the gateway's role may SELECT"
	}
	return "write the URL of a service that answers whether the client may subscribe: https, or http on this machine"
}

// keysState says how fetching the keys goes that tokens are signed with; nil where none are fetched.
func (a *access) keysState() *auth.JWKSState {
	if a.remote == nil {
		return nil
	}
	state := a.remote.State()
	return &state
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
			URL: c.Webhook.URL, AllowPlainHTTP: c.Webhook.AllowPlainHTTP, Headers: c.Webhook.Headers,
			Timeout: c.Webhook.Timeout, CacheFor: c.Webhook.CacheFor,
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
			URL: c.JWKSURL, AllowPlainHTTP: c.AllowPlainHTTP,
			StartWithoutKeys: true, // until the issuer answers everybody is told to try again, with 1013
			OnError: func(err error) {
				log.Warn("fetch signing keys: trying again; without any, nobody gets in", zap.Error(err))
			},
		})
		if err != nil {
			return nil, err
		}
		a.remote = remote
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

func (a *access) authorizer(ctx context.Context, entry config.Reactive, known *auth.Types, pool *pgxpool.Pool) (auth.Authorizer, error) {
	c := entry.Authorize
	column := ""
	if len(entry.Scopes) == 1 {
		column = entry.Scopes[0]
	}
	a.scopeColumns[entry.Channel] = column
	switch {
	case c.CEL != "":
		return made(auth.NewCEL(c.CEL, known))
	case c.SQL != "":
		return made(auth.NewSQL(auth.SQLOptions{
			Database: accessDatabase{pool: pool}, Statement: c.SQL, Column: column, Timeout: c.Timeout, CacheFor: c.CacheFor,
		}))
	case c.Member != nil:
		table, err := wal.CheckTable(ctx, pool, wal.TableName(c.Member.Table), c.Member.Scope, c.Member.User)
		if err != nil {
			return nil, err
		}
		return made(auth.NewMember(auth.MemberOptions{
			Database: accessDatabase{pool, table}, Schema: c.Member.Table.Schema, Table: c.Member.Table.Name, Scope: c.Member.Scope, User: c.Member.User,
			ScopeSQL: columnSQL(c.Member.Scope, &table.Compared[0]), UserSQL: columnSQL(c.Member.User, &table.Compared[1]),
			Column: column, Timeout: c.Timeout, CacheFor: c.CacheFor,
		}))
	}
	w, err := auth.NewAuthorizeWebhook(auth.AuthorizeWebhookOptions{URL: c.Webhook, AllowPlainHTTP: c.AllowPlainHTTP, Timeout: c.Timeout, CacheFor: c.CacheFor})
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, w.Close)
	return w, nil
}

// made returns no authorizer with an error: a nil pointer would be one.
func made[A auth.Authorizer](authorizer A, err error) (auth.Authorizer, error) {
	if err != nil {
		return nil, err
	}
	return authorizer, nil
}

func columnSQL(column string, c *wal.Comparison) auth.ColumnSQL {
	name := wal.Quote(column)
	return auth.ColumnSQL{Value: c.Of(name), Operator: c.Operator(), Text: c.Text(name)}
}
