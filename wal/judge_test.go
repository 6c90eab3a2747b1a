package wal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

func TestP58TemporaryErrors(t *testing.T) {
	server := func(code string) error { return fmt.Errorf("stream: %w", &pgconn.PgError{Code: code}) }
	for what, c := range map[string]struct {
		err  error
		want wal.Prospect
	}{
		"connection cut":           {fmt.Errorf("receive: %w", io.ErrUnexpectedEOF), wal.Passing},
		"context":                  {context.DeadlineExceeded, wal.Passing},
		"closed on this side":      {fmt.Errorf("write: %w", net.ErrClosed), wal.Passing},
		"shutdown by the operator": {server("57P01"), wal.Passing},
		"starting":                 {server("57P03"), wal.Passing},
		"slot in use":              {server("55006"), wal.Passing},
		"slot invalidated":         {server("55000"), wal.Passing},
		"too many connections":     {server("53300"), wal.Passing},
		"disk full":                {server("53100"), wal.Passing},
		"lock timeout":             {server("55P03"), wal.Passing},
		"made by another gateway":  {server("23505"), wal.Passing},
		"session was idle":         {server("25P03"), wal.Passing},
		"wrong password":           {server("28P01"), wal.Permanent},
		"role may not":             {server("28000"), wal.Permanent},
		"no such database":         {server("3D000"), wal.Permanent},
		"no privilege":             {server("42501"), wal.Permanent},
		"no such object":           {server("42704"), wal.Permanent},
		"not in this server":       {server("0A000"), wal.Permanent},
		"read-only session":        {server("25006"), wal.Lasting},
		"a trigger's own error":    {server("P0001"), wal.Lasting},
		"pooler":                   {server("26000"), wal.Lasting},
		"nobody knows":             {errors.New("something else"), wal.Lasting},
		"malformed message":        {fmt.Errorf("decode: %w", wal.ErrMessage), wal.Permanent},
		"another package's":        {fmt.Errorf("migrate: %w", waiter{}), wal.Passing},
		"setup":                    {fmt.Errorf("stream: %w", &wal.SetupError{}), wal.Permanent},
		"walsenders are taken":     {&wal.SetupError{Findings: []wal.Finding{{Check: "max_wal_senders", Level: wal.Fail, Passing: true}}}, wal.Lasting},
		"that and another thing": {&wal.SetupError{Findings: []wal.Finding{
			{Check: "max_wal_senders", Level: wal.Fail, Passing: true}, {Check: "wal_level", Level: wal.Fail},
		}}, wal.Permanent},
	} {
		v := wal.Judge(c.err)
		if v.Prospect != c.want || v.What == "" || v.Connecting {
			t.Errorf("%s: %+v", what, v)
		}
		if wal.Temporary(c.err) != (c.want == wal.Passing) {
			t.Errorf("%s: temporary is %t", what, wal.Temporary(c.err))
		}
	}
	if wal.Temporary(nil) {
		t.Error("no error is temporary")
	}
}

type waiter struct{}

func (waiter) Error() string              { return "locked" }
func (waiter) WaitsFor() (string, string) { return "a lock is held", "end its holder" }

// Every class of the manual's list is judged, in answer to a startup message and in answer to a statement.
func TestP74EveryClassOfErrorsIsJudged(t *testing.T) {
	t.Parallel()
	const passing, lasting, permanent = wal.Passing, wal.Lasting, wal.Permanent
	classes := map[string]struct{ connecting, statement wal.Prospect }{
		"00": {lasting, lasting}, "01": {lasting, lasting}, "02": {lasting, lasting}, "03": {lasting, lasting},
		"08": {passing, passing}, "09": {lasting, lasting}, "0A": {permanent, permanent}, "0B": {lasting, lasting},
		"0F": {lasting, lasting}, "0L": {lasting, lasting}, "0P": {lasting, lasting}, "0Z": {lasting, lasting},
		"20": {lasting, lasting}, "21": {lasting, lasting}, "22": {permanent, lasting}, "23": {lasting, lasting},
		"24": {lasting, lasting}, "25": {lasting, lasting}, "26": {lasting, lasting}, "27": {lasting, lasting},
		"28": {permanent, permanent}, "2B": {lasting, lasting}, "2D": {lasting, lasting}, "2F": {lasting, lasting},
		"34": {lasting, lasting}, "38": {lasting, lasting}, "39": {lasting, lasting}, "3B": {lasting, lasting},
		"3D": {permanent, permanent}, "3F": {lasting, lasting}, "40": {passing, passing}, "42": {permanent, permanent},
		"44": {lasting, lasting}, "53": {passing, passing}, "54": {lasting, lasting}, "55": {lasting, passing},
		"57": {passing, passing}, "58": {passing, passing}, "72": {lasting, passing}, "F0": {lasting, lasting},
		"HV": {lasting, lasting}, "P0": {lasting, lasting}, "XX": {lasting, passing},
	}
	var code string
	address := answers(t, func(map[string]string) *pgproto3.ErrorResponse { return refusal(code, "no") })
	for class, want := range classes {
		code = class + "000"
		v := connecting(t, "postgres://app@"+address+"/shop?sslmode=disable")
		if v.Prospect != want.connecting || !v.Connecting || !strings.Contains(v.What, address) || !strings.Contains(v.What, code) || v.Do == "" {
			t.Errorf("%s when connecting: %+v", class, v)
		}
		if v := wal.Judge(&pgconn.PgError{Code: code}); v.Prospect != want.statement || v.Connecting || v.Do == "" {
			t.Errorf("%s of a statement: %+v", class, v)
		}
	}
}

// connecting judges the error of connecting to a server.
func connecting(t *testing.T, url string) wal.Verdict {
	t.Helper()
	pool, err := wal.OpenPool(t.Context(), url, wal.PoolOptions{})
	if err != nil {
		return wal.Judge(err)
	}
	defer pool.Close()
	err = pool.Ping(t.Context())
	if err == nil {
		t.Fatalf("%s lets us in", url)
	}
	return wal.Judge(fmt.Errorf("inspect server: %w", err))
}

// What answers is no server, or one that cannot be meant.
func TestP74WhatAnswersInsteadOfASession(t *testing.T) {
	t.Parallel()
	nobody, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refuses := nobody.Addr().String()
	nobody.Close()
	// PgBouncer names a parameter that it does not know, and nobody else's code says so of a startup message.
	pooler := answers(t, func(parameters map[string]string) *pgproto3.ErrorResponse {
		for _, name := range []string{"IntervalStyle", "bytea_output"} {
			if parameters[name] != "" {
				return refusal("08P01", "unsupported startup parameter: %s", name)
			}
		}
		return nil
	})
	say := func(code, format string, args ...any) string {
		return answers(t, func(map[string]string) *pgproto3.ErrorResponse { return refusal(code, format, args...) })
	}
	starting := say("57P03", "the database system is starting up")
	password := say("28P01", "password authentication failed for user \"app\"")
	for _, c := range []struct {
		url, query string
		want       wal.Prospect
		what, do   string
	}{
		{pooler, "sslmode=disable", wal.Lasting, "a pooler seems to answer there (FATAL: unsupported startup parameter", "the server's own address"},
		{pooler, "", wal.Lasting, "a pooler seems to answer there", "ignore_startup_parameters"},
		{say("08P01", "no more connections allowed"), "sslmode=disable", wal.Lasting, "no more connections allowed", "the server's own address"},
		{say("XX000", "Tenant or user not found"), "sslmode=disable", wal.Lasting, "Tenant or user not found", "databaseUrl"},
		{starting, "sslmode=disable", wal.Passing, starting + " starts, stops or recovers (FATAL: the database system is starting up", "nothing"},
		{starting, "sslmode=prefer", wal.Passing, "starts, stops or recovers", "nothing"},
		{starting, "sslmode=require", wal.Lasting, "is not what databaseUrl asks for: server refused TLS connection", "ssl = on"},
		{password, "sslmode=prefer", wal.Permanent, password + " does not take the password of user app", `ALTER ROLE "app" PASSWORD`},
		{say("28000", "no pg_hba.conf entry"), "", wal.Permanent, "does not let user app into database shop", "pg_hba.conf"},
		{say("28000", "role \"app\" does not exist"), "sslmode=disable", wal.Permanent, "does not exist", `CREATE ROLE "app" LOGIN REPLICATION;`},
		{say("3D000", "database \"shop\" does not exist"), "", wal.Permanent, "has no database shop", `CREATE DATABASE "shop";`},
		{say("42501", "permission denied for database"), "", wal.Permanent, "permission denied", `GRANT CONNECT ON DATABASE "shop" TO "app";`},
		{say("42704", "unrecognized configuration parameter \"schema\""), "schema=public", wal.Permanent, `parameter "schema"`, "take the parameter out"},
		{say("22023", "invalid value for parameter"), "", wal.Permanent, "invalid value", "databaseUrl"},
		{say("55000", "not currently accepting connections"), "", wal.Lasting, "takes no connections to database shop", "ALLOW_CONNECTIONS true"},
		{say("53300", "sorry, too many clients already"), "", wal.Passing, "has no free connection", `ALTER ROLE "app" CONNECTION LIMIT`},
		{refuses, "sslmode=disable", wal.Passing, refuses + " refuses connections", "start PostgreSQL there"},
		{refuses, "", wal.Passing, refuses + " refuses connections", "start PostgreSQL there"},
		{standsIn(t, func(net.Conn) {}), "sslmode=disable", wal.Passing, "closes every connection at once", "start PostgreSQL there"},
		{"nosuchhost.invalid", "", wal.Passing, "the name nosuchhost.invalid", "host"},
		{refuses + "," + starting, "sslmode=disable", wal.Passing, "refuses connections", "start PostgreSQL there"},
		{password + "," + refuses, "sslmode=disable", wal.Permanent, "does not take the password", "databaseUrl"},
		{say("28000", "no entry") + "," + starting, "sslmode=disable", wal.Passing, "starts, stops or recovers", "nothing"},
	} {
		v := connecting(t, "postgres://app:pa55@"+c.url+"/shop?"+c.query)
		if v.Prospect != c.want || !v.Connecting || !strings.Contains(v.What, c.what) || !strings.Contains(v.Do, c.do) {
			t.Errorf("%s: %+v, want %d %q %q", c.url, v, c.want, c.what, c.do)
		}
	}
	socket := t.TempDir()
	v := connecting(t, "host="+socket+" user=app dbname=shop")
	if v.Prospect != wal.Passing || v.What != "there is no socket "+filepath.Join(socket, ".s.PGSQL.5432") {
		t.Errorf("no socket: %+v", v)
	}
}

// Real servers say the same.
func TestP74WhatAServerAnswers(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical", "max_connections": "10", "superuser_reserved_connections": "5"})
	owner := postgres.URL("postgres")
	pgtest.Exec(t, owner, "create role shop login password 'pa55'", "create role nobody nologin", "create role few login connection limit 0",
		"create database closed allow_connections false", "create database private", "revoke connect on database private from public")
	rules := "local all all trust\nhost all postgres,nobody,few,walsender 127.0.0.1/32 trust\nhost all shop 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(pgtest.Query[string](t, owner, "show hba_file"), []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, owner, "select pg_reload_conf()")
	eventually(t, "the rules count", func() bool { return !admits(t, strings.Replace(owner, "postgres@", "shop:wrong@", 1)) })
	to := func(user, database string) string {
		return strings.Replace(strings.Replace(owner, "postgres@", user+"@", 1), "/postgres", "/"+database, 1)
	}
	for url, want := range map[string]struct {
		prospect wal.Prospect
		what     string
	}{
		to("shop:wrong", "postgres"):                                    {wal.Permanent, "does not take the password of user shop"},
		to("missing", "postgres"):                                       {wal.Permanent, "does not let user missing into database postgres"},
		to("nobody", "postgres"):                                        {wal.Permanent, "not permitted to log in"},
		to("shop:pa55", "missing"):                                      {wal.Permanent, "has no database missing"},
		to("shop:pa55", "private"):                                      {wal.Permanent, "does not let user shop connect to database private"},
		to("shop:pa55", "closed"):                                       {wal.Lasting, "takes no connections to database closed"},
		to("few", "postgres"):                                           {wal.Passing, "has no free connection"},
		owner + "&schema=public":                                        {wal.Permanent, "does not take a parameter"},
		owner + "&work_mem=plenty":                                      {wal.Permanent, "refuses the connection"},
		owner + "&max_connections=7":                                    {wal.Permanent, "does not take a parameter"},
		strings.Replace(owner, "sslmode=disable", "sslmode=require", 1): {wal.Lasting, "is not what databaseUrl asks for"},
	} {
		if v := connecting(t, url); v.Prospect != want.prospect || !strings.Contains(v.What, want.what) || v.Do == "" || strings.Contains(v.What+v.Do, "pa55") {
			t.Errorf("%s: %+v, want %d %s", url, v, want.prospect, want.what)
		}
	}
}

// Sessions that may not write cannot keep a checkpoint. Whatever set that is named, with what undoes it for the gateway alone.
func TestP74ReadOnlySessions(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	role := pgtest.Query[string](t, url, "select current_database()") + "_role"
	pgtest.Exec(t, url, fmt.Sprintf("create role %s login superuser", role))
	t.Cleanup(func() { pgtest.Exec(t, url, fmt.Sprintf("drop owned by %[1]s; drop role %[1]s", role)) })
	db := pgtest.Query[string](t, url, "select current_database()")
	as := strings.Replace(url, "postgres@", role+"@", 1)
	anyway := strings.Replace(url, "?", "?default_transaction_read_only=off&", 1)
	named := strings.NewReplacer("ROLE_", role, "DATABASE_", db).Replace
	const forRole = `ALTER ROLE "ROLE_" SET default_transaction_read_only = off;`
	for _, c := range []struct{ set, url, fix string }{
		{"alter role ROLE_ set default_transaction_read_only = on", as, forRole},
		{"alter role ROLE_ reset all; alter database DATABASE_ set default_transaction_read_only = on", as, forRole},
		{"alter role ROLE_ in database DATABASE_ set default_transaction_read_only = on", as,
			`ALTER ROLE "ROLE_" IN DATABASE "DATABASE_" SET default_transaction_read_only = off;`},
		{"alter role ROLE_ in database DATABASE_ reset all; alter database DATABASE_ reset all", as + "&default_transaction_read_only=on",
			"-- take default_transaction_read_only out of databaseUrl"},
		{"select 1", as + "&options=-c%20default_transaction_read_only%3Don", "-- take default_transaction_read_only out of databaseUrl"},
	} {
		pgtest.Exec(t, anyway, named(c.set))
		server := newServer(t, c.url)
		facts, err := server.Inspect(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		_, err = server.Ensure(t.Context(), facts, wal.Wanted{Slot: server.Slot, Publication: server.Publication})
		var setup *wal.SetupError
		if !errors.As(err, &setup) || !slices.ContainsFunc(setup.Findings, func(f wal.Finding) bool {
			return f.Check == "default_transaction_read_only" && strings.HasPrefix(f.Fix, named(c.fix))
		}) {
			t.Errorf("%s: error %v, want %s", c.set, err, named(c.fix))
		}
		if strings.HasPrefix(c.fix, "ALTER") {
			pgtest.Exec(t, anyway, named(c.fix))
			if now := readOnly(t, c.url); now != "off" {
				t.Errorf("%s leaves it %s", named(c.fix), now)
			}
		}
	}
}

func readOnly(t *testing.T, url string) string {
	t.Helper()
	return query[string](t, newServer(t, url).Pool, "show default_transaction_read_only")
}
