package wal

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"

	"github.com/jackc/pgerrcode"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/reactive-gw/reactive-gw/wal/dsn"
)

// attempt is one try to connect that failed.
type attempt struct {
	config *pgconn.Config
	err    error
	where  string // host:port
}

// judgeConnect judges why no session came about. There may be several attempts: several hosts, several addresses of one,
// with TLS and without.
func judgeConnect(failed *pgconn.ConnectError) Verdict {
	hosts, tlsRequired := hostsOf(failed.Config)
	var verdicts, refusals []Verdict
	for _, err := range attempts(failed.Unwrap()) {
		a := attempt{failed.Config, err, strings.Join(hosts, " or ")}
		if v, known := a.judge(); known || tlsRequired {
			verdicts = append(verdicts, v)
		} else {
			refusals = append(refusals, v)
		}
	}
	if len(verdicts) == 0 { // where TLS is only preferred, an attempt with it counts if there was no other
		verdicts = refusals
	}
	chosen := verdicts[0]
	for _, v := range verdicts[1:] {
		// Of several hosts each may come back and be the one. One host is as bad as what it says last.
		if len(hosts) > 1 && v.Prospect < chosen.Prospect || len(hosts) == 1 && v.Prospect > chosen.Prospect {
			chosen = v
		}
	}
	chosen.Connecting = true
	return chosen
}

// hostsOf lists each host:port once, and tells whether every one of them is connected to with TLS alone.
func hostsOf(c *pgconn.Config) (hosts []string, tlsRequired bool) {
	tlsRequired = c.TLSConfig != nil
	seen := map[string]bool{}
	add := func(host string, port uint16) {
		where := net.JoinHostPort(host, strconv.Itoa(int(port)))
		if network, address := pgconn.NetworkAddress(host, port); network == "unix" {
			where = address
		}
		if !seen[where] {
			hosts = append(hosts, where)
		}
		seen[where] = true
	}
	add(c.Host, c.Port)
	for _, f := range c.Fallbacks {
		add(f.Host, f.Port)
		tlsRequired = tlsRequired && f.TLSConfig != nil
	}
	return hosts, tlsRequired
}

// attempts takes apart what was joined.
func attempts(err error) []error {
	var joined interface{ Unwrap() []error }
	if !errors.As(err, &joined) {
		return []error{err}
	}
	var all []error
	for _, one := range joined.Unwrap() {
		all = append(all, attempts(one)...)
	}
	return all
}

const (
	checkAddress = "start PostgreSQL there, or correct host and port in databaseUrl"
	checkTLS     = "give databaseUrl sslrootcert with the certificate of the authority, or another sslmode (PostgreSQL manual, \"SSL Support\")"
)

// judge: what is not known is refused by this side of the connection, which the type does not tell further.
func (a *attempt) judge() (v Verdict, known bool) {
	passing := func(format string, args ...any) Verdict {
		return Verdict{What: fmt.Sprintf(format, args...), Do: checkAddress}
	}
	lasting := func(do, format string, args ...any) Verdict {
		return Verdict{Prospect: Lasting, What: fmt.Sprintf(format, args...), Do: do}
	}
	var pg *pgconn.PgError
	var name *net.DNSError
	var network *net.OpError
	var notPrimary *dsn.NotPrimaryError
	var system syscall.Errno
	isNetwork := errors.As(a.err, &network)
	at := a.where
	if isNetwork && network.Addr != nil && network.Net == "unix" {
		at = network.Addr.String()
	}
	switch {
	case errors.As(a.err, &notPrimary):
		return Verdict{What: fmt.Sprintf("none of %s is what target_session_attrs asks for (%v)", a.where, notPrimary), Do: "promote one of them, or correct databaseUrl"}, true
	case errors.As(a.err, &pg):
		return a.answer(pg), true
	case errors.As(a.err, &name) && name.IsNotFound:
		return passing("the name %s does not resolve", name.Name), true
	case errors.As(a.err, &name):
		return passing("no name server answers for %s", name.Name), true
	case distrusted(a.err):
		return lasting(checkTLS, "the certificate of %s is not trusted: %v", at, rootCause(a.err)), false
	case isNetwork && (network.Op == "remote error" || network.Op == "local error"): // a TLS alert
		return lasting(checkTLS, "%s does not agree on TLS: %v", at, rootCause(a.err)), false
	case errors.As(a.err, &tls.RecordHeaderError{}):
		return lasting(checkAddress, "%s does not speak TLS", at), false
	case errors.Is(a.err, syscall.ECONNREFUSED):
		return passing("%s refuses connections", at), true
	case errors.Is(a.err, syscall.ENOENT):
		return passing("there is no socket %s", at), true
	case errors.Is(a.err, syscall.EACCES), errors.Is(a.err, syscall.EPERM):
		return lasting("let the gateway's user reach it", "this user may not connect to %s", at), true
	case errors.Is(a.err, syscall.ECONNRESET), errors.Is(a.err, syscall.EPIPE):
		return passing("%s closes every connection at once", at), true
	case errors.As(a.err, &system):
		return passing("%s cannot be reached: %v", at, system), true
	case errors.Is(a.err, io.EOF), errors.Is(a.err, io.ErrUnexpectedEOF):
		return passing("%s closes every connection at once", at), true
	case pgconn.Timeout(a.err), errors.Is(a.err, context.DeadlineExceeded), errors.Is(a.err, context.Canceled):
		return passing("%s does not answer", at), true
	case isNetwork:
		return passing("%s cannot be reached: %v", at, rootCause(a.err)), true
	}
	return lasting("correct sslmode, channel_binding and what else databaseUrl asks of the server, or give the server what is asked for: ssl = on, for example",
		"%s is not what databaseUrl asks for: %v", at, rootCause(a.err)), false
}

// distrusted tells whether the certificate of the server is the matter.
func distrusted(err error) bool {
	var verification *tls.CertificateVerificationError
	return errors.As(err, &verification) || errors.As(err, &x509.UnknownAuthorityError{}) || errors.As(err, &x509.CertificateInvalidError{}) ||
		errors.As(err, &x509.HostnameError{}) || errors.As(err, &x509.SystemRootsError{})
}

// answer judges an error that the server, or what stands before it, sent instead of a session.
func (a *attempt) answer(pg *pgconn.PgError) Verdict {
	role, database := quote(a.config.User), quote(a.config.Database)
	_, replicating := a.config.RuntimeParams["replication"]
	said := func(format string, args ...any) string {
		return fmt.Sprintf("%s %s (%v)", a.where, fmt.Sprintf(format, args...), pg)
	}
	v := Verdict{Prospect: Permanent, What: said("refuses the connection"), Do: "mend what it says, or correct databaseUrl"}
	switch pg.Code {
	case pgerrcode.InvalidPassword:
		v.What, v.Do = said("does not take the password of user %s", a.config.User), fmt.Sprintf("correct user and password in databaseUrl, or ALTER ROLE %s PASSWORD '...';", role)
	case pgerrcode.InvalidAuthorizationSpecification:
		v.What = said("does not let user %s into database %s", a.config.User, a.config.Database)
		v.Do = fmt.Sprintf("correct databaseUrl; or let the role in: CREATE ROLE %[1]s LOGIN REPLICATION; where it is missing, ALTER ROLE %[1]s LOGIN; "+
			"where it may not log in, or a line of pg_hba.conf for this user, database and address, with TLS or without as sslmode says", role)
	case pgerrcode.InvalidCatalogName:
		v.What, v.Do = said("has no database %s", a.config.Database), fmt.Sprintf("correct the database in databaseUrl, or CREATE DATABASE %s;", database)
	case pgerrcode.InsufficientPrivilege:
		v.What, v.Do = said("does not let user %s connect to database %s", a.config.User, a.config.Database), fmt.Sprintf("GRANT CONNECT ON DATABASE %s TO %s;", database, role)
		if replicating {
			v.What, v.Do = said("does not let user %s replicate", a.config.User), fmt.Sprintf("ALTER ROLE %s REPLICATION; or what your provider has instead, such as GRANT rds_replication TO %[1]s;", role)
		}
	case pgerrcode.UndefinedObject, pgerrcode.CantChangeRuntimeParam:
		v.What, v.Do = said("does not take a parameter that databaseUrl gives it"), "take the parameter out of databaseUrl, and out of PGOPTIONS"
	case pgerrcode.ProtocolViolation:
		// PostgreSQL itself answers so to no startup message of ours: what does is a pooler, about a parameter or a state of its own.
		v.Prospect, v.What = Lasting, said("does not take the parameters of our session: a pooler seems to answer there")
		v.Do = "give databaseUrl the server's own address: replication needs it; or let the pooler pass on what it complains of (PgBouncer: ignore_startup_parameters)"
	case pgerrcode.ObjectNotInPrerequisiteState:
		v.Prospect, v.What, v.Do = Lasting, said("takes no connections to database %s", a.config.Database), fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS true;", database)
	case pgerrcode.CannotConnectNow:
		v.Prospect, v.What, v.Do = Passing, said("starts, stops or recovers"), "nothing"
	case pgerrcode.TooManyConnections:
		v.Prospect, v.What = Passing, said("has no free connection")
		v.Do = fmt.Sprintf("close sessions, or raise the limit that it names: max_connections (less superuser_reserved_connections), ALTER ROLE %s CONNECTION LIMIT -1; ALTER DATABASE %s CONNECTION LIMIT -1;",
			role, database)
		if replicating {
			v.What, v.Do = said("has no free connection for replication"), "end replication that nobody uses (SELECT * FROM pg_stat_replication;), or raise max_wal_senders and restart PostgreSQL"
		}
	default:
		switch class(pg.Code) {
		case "08", "40", "53", "57", "58":
			v.Prospect, v.What, v.Do = Passing, said("takes no connection"), "nothing; if it lasts, look into the log of the server"
		case "0A", "22", "28", "3D", "42":
		default:
			v.Prospect = Lasting
		}
	}
	return v
}
