package dsn

import (
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// TestMain takes away what the machine's own environment would configure.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		if name, _, _ := strings.Cut(variable, "="); strings.HasPrefix(name, "PG") {
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
	os.Exit(m.Run())
}

func TestWhatIsUnderstood(t *testing.T) {
	for text, want := range map[string]string{
		"postgres://app:pa55@db.internal:6432/shop?sslmode=disable":                 "db.internal:6432 app pa55 shop",
		"postgresql://app:pa55@db.internal/shop?sslmode=disable":                    "db.internal:5432 app pa55 shop",
		"PostgreSQL://app:pa55@db.internal/shop?sslmode=disable":                    "db.internal:5432 app pa55 shop",
		" postgres://app@db.internal/shop?sslmode=disable\n":                        "db.internal:5432 app  shop",
		"postgres://app:p%40s%2Fs%3F%25@db/shop?sslmode=disable":                    "db:5432 app p@s/s?% shop",
		"postgres://app:p#w?x@db/shop?sslmode=disable":                              "db:5432 app p#w?x shop", // as libpq takes them
		"postgres://app:a:b@db/shop?sslmode=disable":                                "db:5432 app a:b shop",
		"postgres://:pa55@db/shop?user=app&sslmode=disable":                         "db:5432 app pa55 shop",
		"postgres://app@[::1]:6432/shop?sslmode=disable":                            "::1:6432 app  shop",
		"postgres://app@%2Fvar%2Frun/shop":                                          "/var/run:5432 app  shop",
		"postgres://app@/shop?host=/var/run&port=6432":                              "/var/run:6432 app  shop",
		"postgres://app@a:1,b:2/shop?sslmode=disable":                               "a:1 app  shop, b:2",
		"postgres://app@a,[::2]:2/shop?sslmode=disable":                             "a:5432 app  shop, ::2:2",
		"postgres://db/shop?user=app&password=p%26w&sslmode=disable":                "db:5432 app p&w shop",
		"host=db user=app password=pa55 dbname=shop sslmode=disable":                "db:5432 app pa55 shop",
		`host=db user=app password='a \'b\\ c' database=shop sslmode=disable`:       `db:5432 app a 'b\ c shop`,
		`host = db user=app password=a\ b dbname = shop sslmode=disable`:            "db:5432 app a b shop",
		"host=a,b port=1,2 user=app dbname=shop sslmode=disable":                    "a:1 app  shop, b:2",
		"user=app password='x' search_path=app dbname=shop host=db sslmode=disable": "db:5432 app x shop",
	} {
		a, err := Parse(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		c := a.Config
		got := fmt.Sprintf("%s:%d %s %s %s", c.Host, c.Port, c.User, c.Password, c.Database)
		for _, f := range c.Fallbacks {
			got += fmt.Sprintf(", %s:%d", f.Host, f.Port)
		}
		if got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

// pgx sends to the server what it does not know, and the server ends the connection. Entry P73's URL among them.
func TestP73ParametersThatAreNotTheServers(t *testing.T) {
	const base = "postgres://app@db/shop?sslmode=require&"
	for query, want := range map[string]struct {
		ignored string
		sent    string
	}{
		"pool_max_conns=8": {"pool_max_conns", ""},
		"pool_max_conns=many&pool_min_conns=0&pool_max_conn_lifetime=1h&pool_ping_timeout=1s": {"pool_max_conn_lifetime pool_max_conns pool_min_conns pool_ping_timeout", ""},
		"pool_min_idle_conns=1&pool_max_conn_idle_time=x&pool_health_check_period=1m&pool_max_conn_lifetime_jitter=1s": {
			"pool_health_check_period pool_max_conn_idle_time pool_max_conn_lifetime_jitter pool_min_idle_conns", ""},
		"keepalives=1&keepalives_idle=30&tcp_user_timeout=5&sslcompression=0&gssencmode=disable": {
			"gssencmode keepalives keepalives_idle sslcompression tcp_user_timeout", ""},
		"load_balance_hosts=disable&default_query_exec_mode=exec":                {"default_query_exec_mode load_balance_hosts", ""},
		"channel_binding=require&krbsrvname=postgres&statement_cache_capacity=8": {"", ""},
		"application_name=gw&fallback_application_name=other":                    {"", "application_name=gw"},
		"fallback_application_name=other":                                        {"", "application_name=other"},
		"statement_timeout=5000&app.tenant=7&options=-cjit%3Doff":                {"", "app.tenant=7 options=-cjit=off statement_timeout=5000"},
	} {
		a, err := Parse(base + query)
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		if got := strings.Join(a.Ignored, " "); got != want.ignored {
			t.Errorf("%s: ignored %q, want %q", query, got, want.ignored)
		}
		var sent []string
		for _, name := range slices.Sorted(maps.Keys(a.Config.RuntimeParams)) {
			sent = append(sent, name+"="+a.Config.RuntimeParams[name])
		}
		if got := strings.Join(sent, " "); got != want.sent {
			t.Errorf("%s: sent %q, want %q", query, got, want.sent)
		}
	}
}

// A service file brings the same parameters by another way.
func TestP73ParametersOfAServiceFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "services")
	write := func(more string) {
		t.Helper()
		if err := os.WriteFile(file, []byte("[shop]\nhost=db\ndbname=shop\nuser=app\n"+more), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("pool_max_conns=8\nkeepalives=1\n")
	a, err := Parse("service=shop servicefile=" + file)
	if err != nil {
		t.Fatal(err)
	}
	if a.Config.Host != "db" || !slices.Equal(a.Ignored, []string{"keepalives", "pool_max_conns"}) || len(a.Config.RuntimeParams) != 0 {
		t.Errorf("host %s, ignored %v, sent %v", a.Config.Host, a.Ignored, a.Config.RuntimeParams)
	}
	write("replication=database\n")
	if _, err := Parse("service=shop servicefile=" + file); err == nil || !strings.Contains(err.Error(), "replication") {
		t.Errorf("error %v", err)
	}
}

func TestP73TLSVersions(t *testing.T) {
	a, err := Parse("postgres://app@a,b/shop?sslmode=require&ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.3")
	if err != nil {
		t.Fatal(err)
	}
	configs := []*tls.Config{a.Config.TLSConfig}
	for _, f := range a.Config.Fallbacks {
		configs = append(configs, f.TLSConfig)
	}
	for _, c := range configs {
		if c.MinVersion != tls.VersionTLS13 || c.MaxVersion != tls.VersionTLS13 {
			t.Errorf("TLS from %x to %x", c.MinVersion, c.MaxVersion)
		}
	}
	if len(configs) != 2 || len(a.Config.RuntimeParams) != 0 {
		t.Errorf("%d hosts, sent %v", len(configs), a.Config.RuntimeParams)
	}
}

// Each mistake says which part is wrong and what to write.
func TestP74ConnectionStringsThatNoRetryMends(t *testing.T) {
	for text, want := range map[string]string{
		"": "is empty", " \n": "is empty",
		"jdbc:postgresql://db.internal:6432/shop?user=app&password=canary":             "is a Java URL: write postgres://USER:PASSWORD@db.internal:6432/shop,",
		"jdbc:postgresql://db.internal/shop":                                           "write postgres://USER:PASSWORD@db.internal:5432/shop,",
		"JDBC:postgresql://app:canary@db.internal/shop":                                "write postgres://USER:PASSWORD@HOST:PORT/DATABASE",
		"jdbc:postgresql:shop":                                                         "write postgres://USER:PASSWORD@HOST:PORT/DATABASE",
		"r2dbc:postgresql://db/shop":                                                   "write postgres://USER:PASSWORD@db:5432/shop",
		"jdbc:mysql://db/shop":                                                         "is a Java URL of another database",
		"mysql://app:canary@db/shop":                                                   "is a mysql URL",
		"postgresql+asyncpg://app:canary@db/shop":                                      "names the driver of another language before ://",
		"pgsql://app:canary@db/shop":                                                   "does not begin with postgres://",
		"app:canary@db/shop":                                                           "does not begin with postgres://: write postgres:// in front of it",
		`"postgres://app:canary@db/shop"`:                                              "begins with a quote: write it without the quotes",
		"postgres://app:canary@db/shop?replication=database":                           "has the parameter replication, which is set by the gateway itself",
		"host=db replication=true":                                                     "has the parameter replication",
		"postgres://app:canary@db/shop?target_session_attrs=standby":                   "asks for a standby in target_session_attrs",
		"postgres://app:canary@db/shop?sslmode=on":                                     "has a sslmode that cannot be used",
		"postgres://app:canary@db/shop?connect_timeout=soon":                           "has a connect_timeout that cannot be used",
		"postgres://app:canary@db/shop?sslmod=verify-full":                             "has a parameter sslmod, which nobody knows",
		"postgres://app:canary@db/shop?sslcrl=/crl.pem":                                "has the parameter sslcrl, which asks for a check",
		"postgres://app:canary@db/shop?requirepeer=postgres":                           "has the parameter requirepeer",
		"postgres://app:canary@db/shop?gssencmode=require":                             "asks for GSSAPI encryption",
		"postgres://app:canary@db/shop?hostaddr=10.0.0.1":                              "has the parameter hostaddr",
		"postgres://app:canary@db/shop?sslrootcert=/absent/ca.pem&sslmode=verify-full": `names the file "/absent/ca.pem", which cannot be read`,
		"postgres://app:canary@db:port/shop":                                           "has a port that is not a number",
		"postgres://app:canary@db:70000/shop":                                          "has a port that is not a number",
		"postgres://app:canary@[::1/shop":                                              "has a [ that no IPv6 address and ] follow",
		"postgres://app:canary@my host/shop":                                           "has a host that is neither",
		"postgres://app:can ary@db/shop":                                               "has a space in it",
		"host=db port=many":                                                            "has a port that cannot be used",
		"host=db user=app password='canary":                                            "has a single quote that is not closed",
		"host=db service=nosuch":                                                       "has a service that cannot be used",
		"postgres://app@db/shop?sslmode":                                               "has a parameter that is not NAME=VALUE",
		"host=db;port=5432;user=app;password=canary;dbname=shop":                       "separates its parameters with another character",
		"Host=db;Username=app;Password=canary;Database=shop":                           "separates its parameters with another character",
		"Server=db;Port=5432;User Id=app;Password=canary;Database=shop":                "separates its parameters with another character",
		"host=db,password=canary":                                                      "separates its parameters with another character",
		"dbname=shop&password=canary":                                                  "separates its parameters with another character",
		"canary":                                                                       "is not a PostgreSQL connection string",
	} {
		_, err := Parse(text)
		var mistake *Error
		if !errors.As(err, &mistake) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "canary") || mistake.Fix == "" {
			t.Errorf("%q: error %v, want %q", text, err, want)
		}
	}
}

// spellings are ways to write, and to misspell, a password that has the word canary before and after every character
// that may end it too early. What is accepted has to have all of it in the password.
func spellings() []string {
	const c = "c4n4ry"
	var all []string
	for _, special := range []string{"@", "/", "?", "#", "%", "%zz", "&", "=", ":", " ", "'", `\`, "[", "]", ",", "+", "@h/", "/d@", "?x=", "?x=y@", "&x=", " x=", "://", "?password=", "\n", "\t"} {
		password := c + special + c
		all = append(all,
			"postgres://app:"+password+"@db/shop",
			"postgres://app:"+password+"@db:5432,db2/shop?sslmode=disable",
			"postgres://app:12"+special+c+"@db/shop",
			"postgres://db/shop?user=app&password="+password,
			"postgres://db/shop?password="+password+"&user=app",
			"postgres://db/shop?sslpassword="+password+"&user=app",
			"postgres://db:5432?password="+password,
			"postgresql+psycopg2://app:"+password+"@db/shop",
			"jdbc:postgresql://db/shop?user=app&password="+password,
			"jdbc:postgresql://app:"+password+"@db/shop",
			"mysql://app:"+password+"@db/shop",
			"app:"+password+"@db/shop",
			"host=db user=app password="+password+" dbname=shop",
			"password="+password+" host=db user=app dbname=shop",
			"host=db user=app dbname=shop password='"+password,
			"host=db user=app dbname=shop password='"+password+"'",
			"host=db user=app dbname=shop sslpassword="+password,
			"DATABASE_URL=postgres://app:"+password+"@db/shop",
		)
	}
	return all
}

// Whatever is shown of an address later, and of an error now, holds nothing of the password.
func TestP74NoPartOfAPasswordIsShown(t *testing.T) {
	accepted := 0
	for _, text := range spellings() {
		a, err := Parse(text)
		if err != nil {
			if shown := fmt.Sprintf("%v %+v %#v", err, err, err); strings.Contains(shown, "c4n4ry") {
				t.Errorf("%q: the error shows it: %s", text, shown)
			}
			continue
		}
		accepted++
		c := a.Config
		shown := fmt.Sprint(c.Host, c.Port, c.User, c.Database, c.RuntimeParams, a.Ignored)
		for _, f := range c.Fallbacks {
			shown += fmt.Sprint(f.Host, f.Port)
		}
		if strings.Contains(shown, "c4n4ry") {
			t.Errorf("%q: taken for something else than the password: %s", text, shown)
		}
	}
	if accepted < 20 {
		t.Errorf("only %d spellings are accepted", accepted)
	}
}

// What libpq's own reading and ours differ in is refused, not guessed.
func FuzzParse(f *testing.F) {
	for _, text := range spellings() {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Parse(text)
		if err != nil {
			var mistake *Error
			if !errors.As(err, &mistake) || mistake.Problem == "" || mistake.Fix == "" {
				t.Errorf("not an *Error: %v", err)
			}
			return
		}
		if scheme, _, isURL := strings.Cut(text, "://"); isURL && strings.TrimSpace(scheme) != "postgres" && strings.TrimSpace(scheme) != "postgresql" {
			return // in capitals it is a URL to us alone
		}
		theirs, err := pgconn.ParseConfig(strings.TrimSpace(text))
		if err != nil || theirs.User == "" || strings.Contains(strings.ToLower(text), "ssl") {
			return // such as a pool's parameter with a value of another kind
		}
		if theirs.User != a.Config.User || theirs.Password != a.Config.Password || theirs.Host != a.Config.Host || theirs.Database != a.Config.Database {
			t.Errorf("read otherwise than pgx does: user %q and %q, host %q and %q, database %q and %q",
				a.Config.User, theirs.User, a.Config.Host, theirs.Host, a.Config.Database, theirs.Database)
		}
	})
}
