package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

const shop = `databaseUrl: postgres://app:canary@db.internal/shop
slot: orders
admin: ""
reactive:
  - table: sales.order_item
    channel: order-items
    scopes: [order_id, product_id]
    columns:
      exclude:
        - margin
  - table: '"Odd ""Name"""."T"'
  - table: member
    scopes:
      - Team Id
`

func TestReactive(t *testing.T) {
	c, err := load(t, shop)
	if err != nil {
		t.Fatal(err)
	}
	want := []Reactive{
		{Table: TableName{"sales", "order_item"}, Channel: "order-items", Source: SourceWAL, Scopes: []string{"order_id", "product_id"},
			Columns: Columns{Exclude: []string{"margin"}}},
		{Table: TableName{`Odd "Name"`, "T"}, Channel: "T", Source: SourceWAL},
		{Table: TableName{"public", "member"}, Channel: "member", Source: SourceWAL, Scopes: []string{"Team Id"}},
	}
	if !reflect.DeepEqual(c.Reactive, want) {
		t.Errorf("got  %v\nwant %v", c.Reactive, want)
	}
}

func TestAbsentSectionIsNil(t *testing.T) {
	for _, file := range []string{"", "# nothing yet\n", "---\n", "slot: orders\n"} {
		c, err := load(t, file, "--database-url", "postgres://db.internal/shop")
		if err != nil {
			t.Fatal(err)
		}
		if c.Reactive != nil {
			t.Errorf("%q: got %v", file, c.Reactive)
		}
	}
}

func TestPlaces(t *testing.T) {
	c, err := load(t, "\ufeff"+strings.ReplaceAll(shop, "\n", "\r\n"), "--publication", "shop")
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]Position{
		"slot":                           {"reactive.yaml", 2, 7},
		"admin":                          {"reactive.yaml", 3, 8},
		"reactive":                       {"reactive.yaml", 5, 3},
		"reactive[0]":                    {"reactive.yaml", 5, 5},
		"reactive[0].table":              {"reactive.yaml", 5, 12},
		"reactive[0].scopes":             {"reactive.yaml", 7, 13},
		"reactive[0].scopes[1]":          {"reactive.yaml", 7, 24},
		"reactive[0].columns":            {"reactive.yaml", 9, 7},
		"reactive[0].columns.exclude[0]": {"reactive.yaml", 10, 11},
		"reactive[2].scopes[0]":          {"reactive.yaml", 14, 9},
	} {
		if got, ok := c.At(path); !ok || got != want {
			t.Errorf("%s: got %v, %t, want %v", path, got, ok, want)
		}
	}
	for _, path := range []string{"", "listen", "publication", "reactive[1].channel", "reactive[0].scopes[2]", "nonsense"} {
		if got, ok := c.At(path); ok {
			t.Errorf("%s: got %v", path, got)
		}
	}
}

func TestProblemsFoundLater(t *testing.T) {
	c, err := load(t, shop, "--publication", "shop")
	if err != nil {
		t.Fatal(err)
	}
	got := NewError(
		c.Problem("reactive[2].scopes[0]", `table member has no column "Team Id"`, `write "team_id"`),
		c.Problem("reactive[1].scopes[0]", "table T has no key to subscribe by", "write scopes"),
		c.Problem("publication", "publication shop does not exist", "create it"),
		c.Problem("listen", "127.0.0.1:8080 is in use", "write another port"),
	).Error()
	want := strings.Join([]string{
		`--publication: publication shop does not exist: create it`,
		`listen: 127.0.0.1:8080 is in use: write another port`,
		`reactive.yaml:11:5: table T has no key to subscribe by: write scopes`,
		`reactive.yaml:14:9: table member has no column "Team Id": write "team_id"`,
	}, "\n")
	if got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestValuesThatAreAccepted(t *testing.T) {
	t.Setenv("WORD", "orders")
	t.Setenv("LIMIT", "7")
	t.Setenv("TRUTH", "true")
	for _, v := range []struct{ key, written, want string }{
		{"slot", "${WORD}_${LIMIT}", "orders_7"},
		{"slot", "'${WORD}'", "orders"},
		{"slot", ">-\n  orders", "orders"},
		{"publication", "$${WORD} $WORD $$", "${WORD} $WORD $$"},
		{"publication", "'Odd Name: #1'", "Odd Name: #1"},
		{"maxConnections", "${LIMIT}", "7"},
		{"pprof", "'${TRUTH}'", "true"},
		{"admin", `""`, ""},
		{"listen", "localhost:0", "localhost:0"},
		{"listen", "'[::1]:8080'", "[::1]:8080"},
		{"listen", "127.8.8.8:65535", "127.8.8.8:65535"},
		{"path", "/", "/"},
		{"path", "/live/ws", "/live/ws"},
		{"queueBytes", "1048576", "1048576"},
		{"queueBytes", "64KiB", "65536"},
		{"queueBytes", `"1GiB"`, "1073741824"},
		{"drainTimeout", "6s", "6s"},
		{"writeTimeout", "1m30s", "1m30s"},
		{"allowedOrigins", "[]", "[]"},
		{"allowedOrigins", "['http://localhost:5173', 'http://[::1]:8080', 'capacitor://localhost']",
			"[http://localhost:5173 http://[::1]:8080 capacitor://localhost]"},
		{"allowedHosts", "[app.example.com, gateway, 10.0.0.5, my_service, '::1']", "[app.example.com gateway 10.0.0.5 my_service ::1]"},
		{"databaseUrl", "host=db.internal user=app password='se cret' dbname=shop", "host=db.internal user=app password='se cret' dbname=shop"},
		{"databaseUrl", "|\n  postgres://app@/shop?host=/var/run/postgresql", "postgres://app@/shop?host=/var/run/postgresql"},
	} {
		t.Run(v.key+" "+v.written, func(t *testing.T) {
			args := []string{"--database-url", "postgres://db.internal/shop"}
			if v.key == "databaseUrl" {
				args = nil
			}
			c, err := load(t, v.key+": "+v.written+"\n", args...)
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range settings() {
				if s.key == v.key && shown(c, s) != v.want {
					t.Errorf("got %q, want %q", shown(c, s), v.want)
				}
			}
		})
	}
}

func TestEnvironmentIsNeverReadAsYAML(t *testing.T) {
	t.Setenv("NAME", "'a: [b]' # &c")
	c, err := load(t, "publication: ${NAME}\n", "--database-url", "postgres://db.internal/shop")
	if err != nil {
		t.Fatal(err)
	}
	if c.Publication != "'a: [b]' # &c" {
		t.Errorf("got %q", c.Publication)
	}
}

func TestPublicWithLeave(t *testing.T) {
	c, err := load(t, "listen: :8080\nallowAnonymous: true\nadmin: :9090\n", "--database-url", "postgres://db.internal/shop")
	if err != nil {
		t.Fatal(err)
	}
	if c.Listen != ":8080" || c.Admin != ":9090" {
		t.Errorf("got %v", c)
	}
}

func TestTwoListenersOnAnyPort(t *testing.T) {
	if _, err := load(t, "listen: 127.0.0.1:0\nadmin: 127.0.0.1:0\n", "--database-url", "postgres://db.internal/shop"); err != nil {
		t.Fatal(err)
	}
}

func TestSecretIsNeverPrinted(t *testing.T) {
	c, err := load(t, shop)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{
		c.String(), fmt.Sprintf("%v", *c), fmt.Sprintf("%+v", *c), fmt.Sprintf("%#v", *c), fmt.Sprintf("%q", c.DatabaseURL), string(encoded),
	} {
		if strings.Contains(got, "canary") {
			t.Errorf("the password is printed: %s", got)
		}
		if !strings.Contains(got, hidden) {
			t.Errorf("the database is not mentioned: %s", got)
		}
	}
	if got := c.DatabaseURL.Reveal(); !strings.Contains(got, "canary") {
		t.Errorf("got %q", got)
	}
}

func TestStringNamesEverySetting(t *testing.T) {
	c, err := load(t, shop)
	if err != nil {
		t.Fatal(err)
	}
	const want = `databaseUrl=(hidden) slot=orders publication=mtbreactive setup=auto listen=127.0.0.1:8080 allowAnonymous=false ` +
		`path=/ws admin= pprof=false allowedOrigins=[] allowedHosts=[] logLevel=info maxConnections=10000 maxSubscriptions=1000 maxMessagesPerSecond=200 databasePool=8 ` +
		`queueBytes=16777216 spillBytes=67108864 spillDir= maxRowBytes=67108864 writeTimeout=10s pingInterval=25s compression=false drainTimeout=5s bigintAs=number ` +
		`reactive=[{sales.order_item order-items wal [order_id product_id] {[margin]} [] none everyone   0s} {"Odd ""Name"""."T" T wal [] {[]} [] none everyone   0s} ` +
		`{public.member member wal [Team Id] {[]} [] none everyone   0s}]`
	if got := c.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	c.Reactive = nil
	if got := c.String(); !strings.HasSuffix(got, " reactive=all") {
		t.Errorf("got %s", got)
	}
}
