package app

import (
	"context"
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
	start        func(context.Context) error
	remote       *auth.RemoteJWKS // nil where no keys are fetched
	closers      []func()
}

// newAccess makes what the configuration wants. What cannot be made is a *config.Error with the place in the file.
func newAccess(ctx context.Context, cfg *config.Config, functions Functions, tables *served, pool *pgxpool.Pool, log *zap.Logger) (*access, error) {
	a := &access{start: func(context.Context) error { return nil }}
	var problems []config.Problem
	if cfg.Authenticate != nil {
		if err := a.authenticate(cfg.Authenticate, log); err != nil {
			problems = append(problems, authenticateProblem(cfg, err))
		}
	}
	more, err := a.authorize(ctx, cfg, tables, pool)
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
func (a *access) authorize(ctx context.Context, cfg *config.Config, tables *served, pool *pgxpool.Pool) (problems []config.Problem, err error) {
	a.authorizers, a.scopeColumns = map[string]auth.Authorizer{}, map[string]string{}
	fail := func(path string, err error, fix string) {
		problems = append(problems, cfg.Problem(path, err.Error(), fix))
	}
	for i, entry := range cfg.Reactive {
		if entry.Authorize == nil {
			continue
		}
		known := &auth.Types{Claims: claimTypes(cfg), Scope: tables.scopeType(entry.Channel)}
		authorizer, err := a.authorizer(entry, known, pool)
		if err != nil {
			if auth.PlainHTTP(err) {
				fail(fmt.Sprintf("reactive[%d].authorize.webhook", i), err, plainHTTPFix("authorize"))
				continue
			}
			fail(fmt.Sprintf("reactive[%d].authorize", i), err, mismatchFix(err, authorizeFix(entry.Authorize)))
			continue
		}
		if c, ok := authorizer.(checker); ok {
			switch err := c.Check(ctx); {
			case err == nil:
			case wal.Temporary(err) && !auth.Unanswerable(err):
				return nil, err
			default:
				fail(fmt.Sprintf("reactive[%d].authorize", i), err, authorizeFix(entry.Authorize))
			}
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

// keysState says how fetching the keys goes that tokens are signed with; false where none are fetched.
func (a *access) keysState() (auth.JWKSState, bool) {
	if a.remote == nil {
		return auth.JWKSState{}, false
	}
	return a.remote.State(), true
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

func (a *access) authorizer(entry config.Reactive, known *auth.Types, pool *pgxpool.Pool) (auth.Authorizer, error) {
	c, database := entry.Authorize, accessDatabase{pool}
	column := ""
	if len(entry.Scopes) == 1 {
		column = entry.Scopes[0]
	}
	a.scopeColumns[entry.Channel] = column
	switch {
	case c.CEL != "":
		return auth.NewCEL(c.CEL, known)
	case c.SQL != "":
		return auth.NewSQL(auth.SQLOptions{Database: database, Statement: c.SQL, Column: column, Timeout: c.Timeout, CacheFor: c.CacheFor})
	case c.Member != nil:
		return auth.NewMember(auth.MemberOptions{
			Database: database, Schema: c.Member.Table.Schema, Table: c.Member.Table.Name, Scope: c.Member.Scope, User: c.Member.User,
			Column: column, Timeout: c.Timeout, CacheFor: c.CacheFor,
		})
	}
	w, err := auth.NewAuthorizeWebhook(auth.AuthorizeWebhookOptions{URL: c.Webhook, AllowPlainHTTP: c.AllowPlainHTTP, Timeout: c.Timeout, CacheFor: c.CacheFor})
	if err != nil {
		return nil, err
	}
	a.closers = append(a.closers, w.Close)
	return w, nil
}
