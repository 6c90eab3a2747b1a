package integration_test

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// refuser stands in for a server, or for a pooler: it refuses every session. why may change meanwhile.
func refuser(t *testing.T, why func(parameters map[string]string) *pgproto3.ErrorResponse) (address string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	answer := func(conn net.Conn) {
		defer conn.Close()
		backend := pgproto3.NewBackend(conn, conn)
		for {
			message, err := backend.ReceiveStartupMessage()
			if err != nil {
				return
			}
			if startup, ok := message.(*pgproto3.StartupMessage); ok {
				backend.Send(why(startup.Parameters))
				_ = backend.Flush()
				return
			}
			if _, err := conn.Write([]byte{'N'}); err != nil { // no TLS
				return
			}
		}
	}
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				serving.Go(func() { answer(conn) })
			}
		}
	})
	t.Cleanup(func() { listener.Close(); serving.Wait() })
	return listener.Addr().String()
}

func fatal(code, format string, args ...any) *pgproto3.ErrorResponse {
	return &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: fmt.Sprintf(format, args...)}
}

// No retry mends these: the start ends and says what does.
func TestP74MistakesEndTheStartWithWhatToDo(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages)
	name := slotOf(t, database)
	role := name + "_role"
	pgtest.Exec(t, database, "create role "+role+" login superuser")
	t.Cleanup(func() { pgtest.Exec(t, database, fmt.Sprintf("drop owned by %[1]s; drop role %[1]s", role)) })
	pgtest.Exec(t, database, fmt.Sprintf("alter role %s in database %s set default_transaction_read_only = on", role, name))
	pooler := refuser(t, func(map[string]string) *pgproto3.ErrorResponse {
		return fatal("08P01", "unsupported startup parameter: extra_float_digits")
	})
	password := refuser(t, func(p map[string]string) *pgproto3.ErrorResponse {
		return fatal("28P01", "password authentication failed for user %q", p["user"])
	})
	tlsOnly := strings.Replace(database, "sslmode=disable", "sslmode=require", 1)
	for what, c := range map[string]struct {
		url  string
		code int
		want []string
	}{
		"a Java URL": {"jdbc:postgresql://127.0.0.1:5432/shop?user=app&password=pa55", 2,
			[]string{"DATABASE_URL: value is a Java URL: write postgres://USER:PASSWORD@127.0.0.1:5432/shop"}},
		"another database's URL": {"mysql://app:pa55@127.0.0.1/shop", 2, []string{"is a mysql URL: write postgres://"}},
		"replication=database":   {database + "&replication=database", 2, []string{"replication, which is set by the gateway itself", "leave it out"}},
		"replication=true":       {"host=127.0.0.1 dbname=shop replication=true", 2, []string{"replication, which is set by the gateway itself"}},
		"another's parameter":    {database + "&schema=public", 2, []string{`unrecognized configuration parameter "schema"`, "take the parameter out of databaseUrl"}},
		"read-only role": {strings.Replace(database, "postgres@", role+"@", 1), 1,
			[]string{"default_transaction_read_only", fmt.Sprintf(`ALTER ROLE "%s" IN DATABASE "%s" SET default_transaction_read_only = off;`, role, name)}},
		"read-only by the URL":  {database + "&default_transaction_read_only=on", 1, []string{"take default_transaction_read_only out of databaseUrl"}},
		"a pooler":              {"postgres://app@" + pooler + "/shop?sslmode=disable", 2, []string{"unsupported startup parameter: extra_float_digits", "the server's own address", "ignore_startup_parameters"}},
		"a pooler, TLS or not":  {"postgres://app@" + pooler + "/shop", 2, []string{"unsupported startup parameter", "the server's own address"}},
		"wrong password":        {"postgres://app:pa55@" + password + "/shop?sslmode=disable", 2, []string{"DATABASE_URL: ", "does not take the password of user app", `ALTER ROLE "app" PASSWORD`}},
		"no such database":      {strings.Replace(database, name, name+"_missing", 1), 2, []string{"has no database " + name + "_missing", "CREATE DATABASE"}},
		"no such role":          {strings.Replace(database, "postgres@", name+"_nobody@", 1), 2, []string{"does not exist", "CREATE ROLE"}},
		"no TLS on that server": {tlsOnly, 2, []string{"is not what databaseUrl asks for", "ssl = on"}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			write(t, filepath.Join(dir, "reactive.yaml"), chat)
			p := run(t, dir, []string{"DATABASE_URL=" + c.url}, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--slot", name)
			if code := p.wait(); code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			for _, want := range c.want {
				if !strings.Contains(p.stderr.String(), want) {
					t.Errorf("it does not say %s:\n%s", want, p.stderr)
				}
			}
			if strings.Contains(p.stderr.String(), "pa55") {
				t.Errorf("it shows the password:\n%s", p.stderr)
			}
		})
	}
}

// What passes by itself is waited for. The log and /status say what that is, when it changes as well.
func TestP74TheLogAndTheStatusSayWhatIsWaitedFor(t *testing.T) {
	onAnyServer(t)
	var why atomic.Pointer[pgproto3.ErrorResponse]
	why.Store(fatal("57P03", "the database system is starting up"))
	address := refuser(t, func(map[string]string) *pgproto3.ErrorResponse { return why.Load() })
	operators := freeAddress(t)
	g := start(t, "postgres://app@"+address+"/shop?sslmode=disable", chat, "--admin", operators)
	g.operators = "http://" + operators
	for _, c := range []struct{ code, said, want, do string }{
		{"57P03", "the database system is starting up", "starts, stops or recovers", "nothing"},
		{"53300", "sorry, too many clients already", "has no free connection", "max_connections"},
		{"57P01", "terminating connection due to administrator command", "takes no connection", "nothing"},
	} {
		why.Store(fatal(c.code, "%s", c.said))
		g.awaitSaid("waiting for the database: " + address + " " + c.want + " (FATAL: " + c.said)
		eventually(t, "/status says so", func() bool {
			_, status := g.ask("/status")
			return strings.Contains(status, address+" "+c.want) && strings.Contains(status, c.said) && strings.Contains(status, c.do)
		})
		g.awaitReadiness(http.StatusServiceUnavailable, "starting")
	}
	if !g.running() {
		t.Error("it does not wait")
	}
	if said := strings.Count(g.stderr.String(), "starts, stops or recovers"); said != 1 {
		t.Errorf("the same thing is said %d times", said)
	}
	why.Store(fatal("28P01", "password authentication failed"))
	if code := g.wait(); code != 2 {
		t.Errorf("exit code %d for what does not pass", code)
	}
}

// What an application's URL has for its own pool or for libpq is none of the server's business.
func TestP73PoolParametersOfTheURL(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	for _, more := range []string{"pool_max_conns=8", "pool_max_conn_lifetime=1h&pool_min_conns=2", "keepalives=1&keepalives_idle=30&gssencmode=disable&fallback_application_name=app"} {
		g := serve(t, database+"&"+more, chat)
		c := connect(t, g)
		v := c.subscribe("message", "conversation_id", "1")
		pgtest.Exec(t, database, `insert into message values (1, 1, 'Ready?')`, `delete from message`)
		c.until("changes flow", func() bool { return len(v.events) == 2 })
		line := g.awaitLogged("parameters of databaseUrl have no effect here")
		if name, _, _ := strings.Cut(more, "="); !strings.Contains(fmt.Sprint(line["parameters"]), name) {
			t.Errorf("%s is not named: %v", name, line)
		}
		g.stop(interrupt)
		awaitFreeSlot(t, database)
	}
}

// A password in every spelling, in every place where somebody may put one. Nothing that the program writes has a part of it.
func TestP74NoPartOfAPasswordIsShownHoweverItIsWritten(t *testing.T) {
	onAnyServer(t)
	server := refuser(t, func(p map[string]string) *pgproto3.ErrorResponse {
		return fatal("28P01", "password authentication failed for user %q of %q", p["user"], p["database"])
	})
	const c = "c4n4ry"
	type try struct {
		env, args []string
		yaml      string
	}
	var tries []try
	url := func(text string) { tries = append(tries, try{env: []string{"DATABASE_URL=" + text}}) }
	for _, special := range []string{"@", "/", "?", "#", "%", "%zz", "@s/", "/s@", "&w=", " ", "'", "[", ":", "?x=y@"} {
		url("postgres://app:" + c + special + c + "@" + server + "/shop?sslmode=disable")
	}
	url("postgres://app:" + c + "%40" + c + "@" + server + "/shop?sslmode=disable")
	url("postgres://" + server + "/shop?sslmode=disable&user=app&password=" + c + "&" + c + "=1")
	url("postgres://" + server + "/shop?user=app&sslpassword=" + c + "@" + c)
	url("postgres://app:" + c + "@" + server + "," + server + "/shop?sslmode=disable")
	url("host=127.0.0.1 user=app password='" + c + " " + c + "' dbname=shop port=x")
	url("host=127.0.0.1 user=app password=" + c + " " + c + " dbname=shop")
	url("jdbc:postgresql://app:" + c + "@" + server + "/shop?password=" + c)
	url("postgresql+psycopg2://app:" + c + "@" + server + "/shop")
	url("app:" + c + "@" + server + "/shop")
	whole := "postgres://app:" + c + "/" + c + "@" + server + "/shop"
	good := []string{"DATABASE_URL=postgres://app@" + server + "/shop?sslmode=disable"}
	for _, args := range [][]string{
		{"--database-url", whole}, {"--database-url=" + whole}, {"-database-url", whole, "--slot"}, {"--databse-url=" + whole}, {"--databse-url", whole},
		{"--=" + whole}, {"--allow-anonymous=" + whole}, {"--slot", whole}, {"--listen=" + whole}, {whole}, {"doctor", whole}, {"doctor", "--database-url", whole},
		{"migrate", "up", "--database-url=" + whole}, {"migrate", "notify-trigger", "--print=" + whole, "t"}, {"--config", whole}, {"demo", "--slot=" + whole},
	} {
		tries = append(tries, try{env: good, args: args})
	}
	for _, yaml := range []string{
		"databaseUrl: " + whole, "databaseUrl: \"" + whole + "\"x", "databaseUrl: 'postgres://app:" + c, "databaseUrl: postgres://app: " + c + "@h/d", "databaseUrl: [" + whole,
		"databaseUrl: {password: " + c + "}", "databaseUrl:\n  - " + whole, "databaseUrl: postgres://app:${" + c + "}@h/d", "databaseUrl: postgres://app:${" + c + "@h/d",
		"databaseUrl: \"postgres://app:\\q" + c + "@h/d\"", "databaseURL: " + whole, whole + ": x", "slot: " + whole, "databaseUrl: !" + c + " x\nslot: 1", "databaseUrl: |" + c + "\n x",
		"databaseUrl: @" + c, "databaseUrl: postgres://app:x #" + c + "\n  " + c + "@h/d: y",
	} {
		tries = append(tries, try{yaml: yaml})
	}
	tries = append(tries, try{env: append(good, "REACTIVE_DATABASE_URLS="+whole)}, try{env: append(good, "REACTIVE_LISTEN="+whole)}, try{env: append(good, "REACTIVE_ALLOWED_ORIGINS="+whole)})
	for _, one := range tries {
		dir := t.TempDir()
		if one.yaml != "" {
			write(t, filepath.Join(dir, "reactive.yaml"), one.yaml+"\n")
		}
		p := run(t, dir, one.env, one.args...)
		if code := p.wait(); code != 1 && code != 2 {
			t.Errorf("%q: exit code %d", one, code)
		}
		if said := p.stdout.String() + p.stderr.String(); strings.Contains(said, c) || said == "" {
			t.Errorf("%q shows it:\n%s", one, said)
		}
	}
}
