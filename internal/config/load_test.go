package config

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/urfave/cli/v2"
)

// TestMain takes away what the machine's own environment would configure.
func TestMain(m *testing.M) {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, "REACTIVE_") || strings.HasPrefix(name, "PG") || name == "DATABASE_URL" {
			if err := os.Unsetenv(name); err != nil {
				panic(err)
			}
		}
	}
	os.Exit(m.Run())
}

// load runs Load in a directory of its own, as a command with these arguments.
func load(t *testing.T, file string, args ...string) (*Config, error) {
	t.Helper()
	t.Chdir(t.TempDir())
	if file != "" {
		write(t, "reactive.yaml", file)
	}
	return run(t, args...)
}

func run(t *testing.T, args ...string) (c *Config, err error) {
	t.Helper()
	app := &cli.App{
		Flags:          Flags(),
		Action:         func(ctx *cli.Context) error { c, err = Load(ctx); return nil },
		ExitErrHandler: func(*cli.Context, error) {},
	}
	if usage := app.Run(append([]string{"reactive-gw"}, args...)); usage != nil {
		t.Fatal(usage)
	}
	return c, err
}

func write(t *testing.T, file, content string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// precedence gives for every key a value of the flag, the variable, the file and the default, and how String shows them.
func precedence() map[string][4]string {
	const db = "postgres://app:secret@db.internal/"
	return map[string][4]string{
		"databaseUrl":          {db + "flag", db + "env", db + "file", db + "default"},
		"slot":                 {"from_flag", "from_env", "from_file", "mtbreactive"},
		"publication":          {"from flag", "from env", "from file", "mtbreactive"},
		"setup":                {"check", "auto", "check", "auto"},
		"listen":               {"127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3", "127.0.0.1:8080"},
		"allowAnonymous":       {"true", "false", "true", "false"},
		"path":                 {"/flag", "/env", "/file", "/ws"},
		"admin":                {"127.0.0.1:1", "", "127.0.0.1:3", "127.0.0.1:9090"},
		"pprof":                {"true", "false", "true", "false"},
		"allowedOrigins":       {"[https://flag.example]", "[https://env.example http://b.example:8080]", "[https://file.example]", "[]"},
		"allowedHosts":         {"[flag.example]", "[env.example b.example]", "[file.example]", "[]"},
		"logLevel":             {"debug", "warn", "error", "info"},
		"maxConnections":       {"1", "2", "3", "10000"},
		"maxSubscriptions":     {"1", "2", "3", "1000"},
		"maxMessagesPerSecond": {"1", "2", "3", "200"},
		"databasePool":         {"1", "2", "1000", "8"},
		"queueBytes":           {"65536", "67108864", "1073741824", "16777216"},
		"spillBytes":           {"65536", "67108864", "1073741824", "67108864"},
		"spillDir":             {"/flag", "", "/file", ""},
		"maxRowBytes":          {"1048576", "67108864", "1073741823", "67108864"},
		"writeTimeout":         {"1s", "2s", "3s", "10s"},
		"pingInterval":         {"1s", "2s", "3s", "25s"},
		"compression":          {"true", "false", "true", "false"},
		"drainTimeout":         {"1s", "2s", "3s", "5s"},
		"bigintAs":             {"string", "number", "string", "number"},
	}
}

// shown is the value of a setting as text; the connection string, which String hides, is revealed.
func shown(c *Config, s setting) string {
	if s.secret {
		return c.DatabaseURL.Reveal()
	}
	return s.show(c)
}

func TestFlagThenEnvironmentThenFileThenDefault(t *testing.T) {
	table := precedence()
	for _, s := range settings() {
		values, known := table[s.key]
		if !known {
			t.Errorf("precedence of %s is not tested", s.key)
			continue
		}
		delete(table, s.key)
		t.Run(s.key, func(t *testing.T) {
			file, env, args := "", s.env(), []string{}
			if !s.required {
				t.Setenv("DATABASE_URL", "postgres://db.internal/app")
			}
			check := func(want string) {
				t.Helper()
				c, err := load(t, file, args...)
				if err != nil {
					t.Fatal(err)
				}
				if got := shown(c, s); got != want {
					t.Errorf("file %q, arguments %q: got %q, want %q", file, args, got, want)
				}
			}
			if !s.required {
				check(values[3])
			}
			// In the file a list is in brackets, outside it has commas.
			outside := strings.NewReplacer("[", "", "]", "", " ", ",").Replace
			if s.kind != kindList {
				outside = func(text string) string { return text }
			}
			file = fmt.Sprintf("%s: %s\n", s.key, values[2])
			check(values[2])
			for i := len(env) - 1; i >= 0; i-- {
				t.Setenv(env[i], outside(values[1]))
				check(values[1])
			}
			args = []string{"--" + s.flag() + "=" + outside(values[0])}
			check(values[0])
		})
	}
	for key := range table {
		t.Errorf("precedence of %s is tested, but there is no such setting", key)
	}
}

func TestEveryFieldOfConfigComesFromSomewhere(t *testing.T) {
	settable := map[string]bool{}
	for _, s := range settings() {
		settable[strings.ToLower(s.key)] = true
	}
	for _, field := range reflect.VisibleFields(reflect.TypeFor[Config]()) {
		if field.IsExported() && !slices.Contains([]string{"Reactive", "Authenticate", "Resume", "Ingest"}, field.Name) && !settable[strings.ToLower(field.Name)] {
			t.Errorf("no setting is named like Config.%s", field.Name)
		}
	}
}

func TestNamesFollowFromTheKey(t *testing.T) {
	for _, s := range settings() {
		if s.key != "logLevel" {
			continue
		}
		if got := s.flag(); got != "log-level" {
			t.Errorf("flag: got %q", got)
		}
		if got := s.env(); !reflect.DeepEqual(got, []string{"REACTIVE_LOG_LEVEL"}) {
			t.Errorf("variables: got %q", got)
		}
	}
}

func TestOwnVariableGoesBeforeDatabaseURL(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db.internal/shared")
	t.Setenv("REACTIVE_DATABASE_URL", "postgres://db.internal/own")
	c, err := load(t, "")
	if err != nil {
		t.Fatal(err)
	}
	if got := c.DatabaseURL.Reveal(); got != "postgres://db.internal/own" {
		t.Errorf("got %q", got)
	}
}

func TestWhichFileIsRead(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db.internal/app")
	t.Chdir(t.TempDir())
	slot := func(args ...string) string {
		t.Helper()
		c, err := run(t, args...)
		if err != nil {
			t.Fatal(err)
		}
		return c.Slot
	}
	if got := slot(); got != "mtbreactive" {
		t.Errorf("without a file: got %q", got)
	}
	for _, name := range []string{"reactive", "by_variable", "by_flag"} {
		write(t, name+".yaml", "slot: "+name+"\n")
	}
	if got := slot(); got != "reactive" {
		t.Errorf("default file: got %q", got)
	}
	t.Setenv("REACTIVE_CONFIG", "by_variable.yaml")
	if got := slot(); got != "by_variable" {
		t.Errorf("file of the variable: got %q", got)
	}
	if got := slot("--config", "by_flag.yaml"); got != "by_flag" {
		t.Errorf("file of the flag: got %q", got)
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	t.Chdir(t.TempDir())
	const fix = ": give --config or REACTIVE_CONFIG the path of a file that this process may read"
	for file, want := range map[string]string{
		"absent.yaml": "absent.yaml: cannot be read: no such file or directory" + fix,
		".":           ".: cannot be read: is a directory" + fix,
		"":            "config: cannot be read: no such file or directory" + fix,
	} {
		if _, err := run(t, "--config", file); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if err := os.Mkdir("reactive.yaml", 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := run(t); err == nil || err.Error() != "reactive.yaml: cannot be read: is a directory"+fix {
		t.Errorf("a default file that is there has to be readable: got %v", err)
	}
}

func TestOverriddenValueIsNotLookedAt(t *testing.T) {
	c, err := load(t, "databaseUrl: ${UNSET_FOR_THIS_TEST}\nslot: Orders!\n",
		"--database-url", "postgres://db.internal/app", "--slot", "orders")
	if err != nil {
		t.Fatal(err)
	}
	if c.Slot != "orders" {
		t.Errorf("got %q", c.Slot)
	}
	if at, ok := c.At("slot"); ok {
		t.Errorf("a flag has no place in the file: got %v", at)
	}
}

func TestListsFromOutside(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db.internal/app")
	want := []string{"https://a.example", "https://b.example"}
	for _, args := range [][]string{
		{"--allowed-origins", "https://a.example, https://b.example"},
		{"--allowed-origins", "https://a.example", "--allowed-origins", "https://b.example"},
	} {
		c, err := load(t, "allowedOrigins: [https://file.example]", args...)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(c.AllowedOrigins, want) {
			t.Errorf("%q: got %q", args, c.AllowedOrigins)
		}
	}
	t.Setenv("REACTIVE_ALLOWED_ORIGINS", "")
	c, err := load(t, "allowedOrigins: [https://file.example]")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.AllowedOrigins) != 0 {
		t.Errorf("an empty variable is an empty list: got %q", c.AllowedOrigins)
	}
}

func TestExampleIsTheDefaults(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db.internal/app")
	defaults, err := load(t, "")
	if err != nil {
		t.Fatal(err)
	}
	example, err := load(t, Example())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings() {
		if !strings.Contains(Example(), "\n"+s.key+": ") {
			t.Errorf("%s is not in reactive.example.yaml", s.key)
		}
	}
	example.places, defaults.places, defaults.absent = nil, nil, ""
	if !reflect.DeepEqual(example, defaults) {
		t.Errorf("reactive.example.yaml is not the defaults:\ngot  %v\nwant %v", example, defaults)
	}
}

func TestCommentedSectionOfTheExample(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db.internal/app")
	_, section, found := strings.Cut(Example(), "# reactive:\n")
	if !found {
		t.Fatal("the example has no commented section reactive")
	}
	c, err := load(t, "reactive:\n"+strings.ReplaceAll("\n"+section, "\n# ", "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := []Reactive{{
		Table:    TableName{Schema: "public", Name: "message"},
		Channel:  "message",
		Source:   SourceWAL,
		Scopes:   []string{"conversation_id", "project_id"},
		Columns:  Columns{Exclude: []string{"secret"}},
		Snapshot: &Snapshot{Limit: 100, OrderBy: []Order{{Column: "created_at", Descending: true, NullsFirst: true}}},
		Batch:    50 * time.Millisecond,
		Authorize: &Authorize{
			Member:   &Member{Table: TableName{Schema: "public", Name: "member"}, Scope: "conversation_id", User: "user_id"},
			Timeout:  2 * time.Second,
			CacheFor: 30 * time.Second,
		},
		RowSecurity: RowSecurityBypassed,
		FilterRow:   "!row.private || row.author_id == ctx.sub",
		ResolveScopes: []ScopeSource{
			{CEL: "{'col': 'conversation_id', 'value': row.conversation_id}"},
			{Col: "project_id", SQL: "select project_id from public.task_list where id = $row.list_id"},
		},
	}}
	if !reflect.DeepEqual(c.Reactive, want) {
		t.Errorf("got %v", c.Reactive)
	}
}

func TestCommentedAuthenticateOfTheExample(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db.internal/app")
	_, section, found := strings.Cut(Example(), "# authenticate:\n")
	section, _, ended := strings.Cut(section, "\n\n")
	if !found || !ended {
		t.Fatal("the example has no commented section authenticate")
	}
	c, err := load(t, "authenticate:\n"+strings.ReplaceAll("\n"+section, "\n# ", "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Authenticate{JWT: &JWT{
		JWKSURL: "https://login.example.com/keys", Algorithms: []string{"RS256"}, Audience: "app", Issuer: "https://login.example.com",
		Leeway: 30 * time.Second, Token: TokenPlaces{Authorization: true, Subprotocol: true},
	}, Claims: map[string]ClaimType{"tenant": {Kind: ClaimInt}, "roles": {Kind: ClaimString, List: true}}}
	if !reflect.DeepEqual(c.Authenticate, want) {
		t.Errorf("got %+v", c.Authenticate)
	}
}

func TestHelpNamesEveryVariable(t *testing.T) {
	var help strings.Builder
	app := &cli.App{Flags: Flags(), Writer: &help}
	if err := app.Run([]string{"reactive-gw", "--help"}); err != nil {
		t.Fatal(err)
	}
	for _, s := range settings() {
		for _, name := range append(s.env(), s.fallback) {
			if !strings.Contains(help.String(), name) {
				t.Errorf("help of %s does not show %s", s.key, name)
			}
		}
	}
}
