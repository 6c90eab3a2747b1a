package dsn

import (
	"context"
	"crypto/tls"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// handling says what becomes of a parameter that is not for the server.
type handling struct {
	// ignored: it has no effect here. Where values are listed, only with these.
	ignored bool
	values  []string
	// refused is why it cannot be left out in silence, fix what to do.
	refused, fix string
}

// parameters are those that libpq, pgxpool and pgx know. What is not listed goes to the server, which knows its own.
func parameters() map[string]handling {
	byDriver := handling{}
	ignored := handling{ignored: true}
	leave := "leave it out"
	known := map[string]handling{
		"gssencmode": {ignored: true, values: []string{"disable", "prefer"}, refused: "asks for GSSAPI encryption, which is not supported", fix: "leave it out, and write sslmode=verify-full"},
		"load_balance_hosts": {ignored: true, values: []string{"disable"}, refused: "asks for hosts in any order, and only the primary is of use here",
			fix: "leave it out, and write target_session_attrs=read-write"},
		"hostaddr":     {refused: "is not supported", fix: "write the address as host"},
		"requirepeer":  {refused: "asks for a check of the server's user that is not made here", fix: "leave it out where the folder of the socket belongs to the server's user alone"},
		"sslcrl":       {refused: "asks for a check of revoked certificates that is not made here", fix: leave},
		"sslcrldir":    {refused: "asks for a check of revoked certificates that is not made here", fix: leave},
		"replication":  {refused: "is set by the gateway itself, for one of its connections", fix: leave},
		"oauth_issuer": {refused: "asks for OAuth, which is not supported", fix: "let the role log in with a password or a certificate"},
		// The server would be sent the keys.
		"scram_client_key": {refused: "is not supported", fix: "write a password"},
		"scram_server_key": {refused: "is not supported", fix: "write a password"},
	}
	for _, name := range strings.Fields(`host port dbname database user password passfile connect_timeout sslmode sslkey sslcert sslcertmode
		sslrootcert sslnegotiation sslpassword sslsni krbspn krbsrvname target_session_attrs service servicefile min_protocol_version
		max_protocol_version channel_binding require_auth application_name fallback_application_name options client_encoding
		ssl_min_protocol_version ssl_max_protocol_version statement_cache_capacity description_cache_capacity timezone`) {
		known[name] = byDriver
	}
	for _, name := range strings.Fields(`keepalives keepalives_idle keepalives_interval keepalives_count tcp_user_timeout sslcompression gsslib
		gssdelegation sslkeylogfile authtype tty default_query_exec_mode pool_max_conns pool_min_conns pool_min_idle_conns
		pool_max_conn_lifetime pool_max_conn_idle_time pool_health_check_period pool_max_conn_lifetime_jitter pool_ping_timeout`) {
		known[name] = ignored
	}
	for _, name := range []string{"oauth_client_id", "oauth_client_secret", "oauth_scope"} {
		known[name] = known["oauth_issuer"]
	}
	return known
}

// judge takes out what has no effect, and refuses what must not be left out and what is no parameter.
func (a *Address) judge(given []parameter) ([]parameter, error) {
	known := parameters()
	var kept []parameter
	seen := map[string]bool{}
	secret := "" // a password that may have ended too early
	for _, p := range given {
		h, is := known[p.name]
		switch {
		case !is && secret != "":
			return nil, &Error{"has a parameter behind the " + secret + " that PostgreSQL's own programs do not know, or the " + secret + " is not escaped",
				"write parameters of the server before it; " + quoteFix + "; in a URL, " + escapeFix}
		case !is && security(p.name):
			return nil, &Error{"has a parameter " + p.name + ", which nobody knows", "write its name as the manual does under \"Parameter Key Words\", such as sslmode or channel_binding"}
		case p.bare && seen[p.name]:
			return nil, &Error{"has two parameters of one name", "write each once; " + escapeFix}
		}
		if p.bare {
			seen[p.name] = true
			if p.name == "password" || p.name == "sslpassword" {
				secret = p.name
			}
		}
		if dropped, err := h.decide(p); err != nil {
			return nil, err
		} else if dropped {
			a.Ignored = append(a.Ignored, p.name)
			continue
		}
		kept = append(kept, p)
	}
	slices.Sort(a.Ignored)
	return kept, nil
}

// security tells of a name that nobody knows whether it may be a misspelt one that protects the connection.
func security(name string) bool {
	return slices.ContainsFunc([]string{"ssl", "gss", "krb", "require", "channel", "scram", "oauth", "tls"}, func(prefix string) bool {
		return strings.HasPrefix(strings.ToLower(name), prefix) && !strings.Contains(name, ".")
	})
}

func (h handling) decide(p parameter) (dropped bool, err error) {
	switch {
	case h.ignored && (h.values == nil || slices.Contains(h.values, p.value)):
		return true, nil
	case h.refused != "":
		return false, &Error{"has the parameter " + p.name + ", which " + h.refused, h.fix}
	case p.name == "target_session_attrs" && (p.value == "standby" || p.value == "prefer-standby" || p.value == "read-only"):
		return false, &Error{"asks for a standby in target_session_attrs, and changes are read from the primary", "write target_session_attrs=read-write, or leave it out"}
	}
	return false, nil
}

// settle applies what pgx does not know, and makes sure that nothing of it is sent to the server. A service file brings
// parameters too, which are in Config alone.
func (a *Address) settle() error {
	known, params := parameters(), a.Config.RuntimeParams
	for _, name := range slices.Sorted(maps.Keys(params)) {
		dropped, err := known[name].decide(parameter{name: name, value: params[name]})
		if err != nil {
			return err
		}
		if dropped {
			a.Ignored = append(a.Ignored, name)
			delete(params, name)
		}
	}
	for name, set := range map[string]func(c *tls.Config, version uint16){
		"ssl_min_protocol_version": func(c *tls.Config, version uint16) { c.MinVersion = max(version, tls.VersionTLS12) },
		"ssl_max_protocol_version": func(c *tls.Config, version uint16) { c.MaxVersion = version },
	} {
		text := params[name]
		delete(params, name)
		version := tlsVersion(text)
		if text != "" && version == 0 {
			return &Error{"has a " + name + " that cannot be used", "write TLSv1.2 or TLSv1.3"}
		}
		if version != 0 {
			a.eachTLS(func(c *tls.Config) { set(c, version) })
		}
	}
	if name, is := params["fallback_application_name"]; is {
		if params["application_name"] == "" {
			params["application_name"] = name
		}
		delete(params, "fallback_application_name")
	}
	a.Config.DefaultQueryExecMode = pgx.QueryExecModeCacheStatement // also where a service file says otherwise
	if validate := a.Config.ValidateConnect; validate != nil {
		a.Config.ValidateConnect = func(ctx context.Context, conn *pgconn.PgConn) error {
			if err := validate(ctx, conn); err != nil {
				return &NotPrimaryError{err}
			}
			return nil
		}
	}
	return nil
}

// NotPrimaryError says that a server is there and is not the one that target_session_attrs asks for.
type NotPrimaryError struct{ err error }

func (e *NotPrimaryError) Error() string { return e.err.Error() }
func (e *NotPrimaryError) Unwrap() error { return e.err }
