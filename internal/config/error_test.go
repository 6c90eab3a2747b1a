package config

import (
	"errors"
	"strconv"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// refusal is a configuration and what the operator reads about it. Where the database does not matter, it is given.
type refusal struct {
	name string
	file string
	env  map[string]string
	args []string
	want string
}

func (r refusal) check(t *testing.T) {
	for name, value := range r.env {
		t.Setenv(name, value)
	}
	args := r.args
	if !strings.Contains(r.file+strings.Join(args, " "), "database") && r.env["DATABASE_URL"] == "" {
		args = append(args, "--database-url=postgres://db.internal/app")
	}
	c, err := load(t, r.file, args...)
	if err == nil {
		t.Fatalf("accepted:\n%s\n%v", r.file, c)
	}
	if got := err.Error(); got != r.want {
		t.Errorf("file:\n%s\ngot:\n%s\nwant:\n%s", r.file, got, r.want)
	}
	var coder cli.ExitCoder
	if !errors.As(err, &coder) || coder.ExitCode() != 2 {
		t.Errorf("not an exit code of 2: %T", err)
	}
}

// column is the column after some text, as an error prints it.
func column(before string) string { return strconv.Itoa(len(before) + 1) }

func TestYAMLThatIsRefused(t *testing.T) {
	const fix = ": indent with spaces, and put text with special characters into 'single quotes'"
	for _, r := range []refusal{
		{name: "tab", file: "reactive:\n\t- table: message\n",
			want: "reactive.yaml:2:1: is not YAML: found character '\t' that cannot start any token" + fix},
		{name: "open bracket", file: "allowedOrigins: [https://app.example.com\nslot: orders\n",
			want: "reactive.yaml:2:1: is not YAML: ',' or ']' must be specified" + fix},
		{name: "reference in brackets", file: "allowedOrigins: [${ORIGIN}]\n",
			want: "reactive.yaml:1:19: is not YAML: ',' or ']' must be specified" + fix},
		{name: "quotes inside", file: "reactive:\n- table: \"Odd Name\".\"T\"\n",
			want: "reactive.yaml:2:20: is not YAML: value is not allowed in this context. map key-value is pre-defined" + fix},
		{name: "not UTF-8", file: "slot: orders\npublication: caf\xe9\n",
			want: "reactive.yaml:2:1: is not UTF-8 text: save the file as UTF-8"},
		{name: "two documents", file: "---\nslot: orders\n---\nslot: members\n",
			want: "reactive.yaml:4:1: has more than one document: write keys and values only, without --- and %"},
		{name: "directive", file: "%YAML 1.2\n---\nslot: orders\n",
			want: "reactive.yaml:1:1: has more than one document: write keys and values only, without --- and %"},
		{name: "no mapping", file: "postgres://app:canary@db.internal/app\n",
			want: "reactive.yaml:1:1: the file is text: write keys and values"},
		{name: "list of settings", file: "# settings\n- slot: orders\n",
			want: "reactive.yaml:2:1: the file is a list: write keys and values"},
		{name: "mapping for a value", file: "slot: {name: orders}\n",
			want: "reactive.yaml:1:7: slot is a mapping: write one value"},
		{name: "list for a value", file: "slot:\n  - orders\n",
			want: "reactive.yaml:2:3: slot is a list: write one value"},
		{name: "value for a list", file: "allowedOrigins: https://app.example.com\n",
			want: "reactive.yaml:1:17: allowedOrigins is text: write a list"},
		{name: "number for a list", file: "allowedOrigins: 7\n",
			want: "reactive.yaml:1:17: allowedOrigins is a number: write a list"},
		{name: "boolean for a list", file: "reactive: true\n",
			want: "reactive.yaml:1:11: reactive is true or false: write a list"},
		{name: "no value", file: "slot:\nadmin: ~\n",
			want: "reactive.yaml:1:6: slot is empty: write one value, or delete the key\n" +
				"reactive.yaml:2:8: admin is empty: write one value, or delete the key"},
		{name: "alias", file: "listen: *:8080\n",
			want: "reactive.yaml:1:9: listen begins with &, * or !, which YAML takes as an anchor, an alias or a tag: " +
				"write the value itself, in 'single quotes' if it begins so"},
		{name: "number for text", file: "slot: 42\n",
			want: `reactive.yaml:1:7: slot "42" is a number to YAML: write "42", with the quotes`},
		{name: "boolean for text", file: "publication: true\n",
			want: `reactive.yaml:1:14: publication "true" is true or false to YAML: write "true", with the quotes`},
		{name: "text for a number", file: "maxConnections: '10'\n",
			want: `reactive.yaml:1:17: maxConnections "10" is text because of its quotes: write it without quotes`},
		{name: "text for a boolean", file: "pprof: \"true\"\n",
			want: `reactive.yaml:1:8: pprof "true" is text because of its quotes: write it without quotes`},
	} {
		t.Run(r.name, r.check)
	}
}

func TestKeysThatAreRefused(t *testing.T) {
	for _, r := range []refusal{
		{name: "typo", file: "slot: orders\nlogLevl: info\n",
			want: `reactive.yaml:2:1: unknown key "logLevl": write "logLevel"`},
		{name: "typo in a table", file: "reactive:\n  - table: message\n    scope: [conversation_id]\n",
			want: `reactive.yaml:3:5: unknown key "scope": write "scopes"`},
		{name: "name of the variable", file: "MAX_CONNECTIONS: 10\n",
			want: `reactive.yaml:1:1: unknown key "MAX_CONNECTIONS": write "maxConnections"`},
		{name: "name of the flag", file: "ping-interval: 10s\n",
			want: `reactive.yaml:1:1: unknown key "ping-interval": write "pingInterval"`},
		{name: "cut short", file: "reactive:\n- {table: message, columns: {excl: [secret]}}\n",
			want: `reactive.yaml:2:30: unknown key "excl": write "exclude"`},
		{name: "nothing near", file: "reactive:\n  - table: message\n    wibble: 1\n",
			want: `reactive.yaml:3:5: unknown key "wibble": write one of table, channel, source, scopes, resolveScopes, snapshot, batchMs, authorize, rowSecurity, filterRow, columns`},
		{name: "secret as a key", file: "? postgres://app:canary@db.internal/app\n: 1\n",
			want: "reactive.yaml:1:1: unknown key (hidden): write one of databaseUrl, slot, publication, setup, listen, " +
				"allowAnonymous, path, admin, pprof, allowedOrigins, allowedHosts, logLevel, maxConnections, maxSubscriptions, maxMessagesPerSecond, databasePool, " +
				"queueBytes, spillBytes, spillDir, maxRowBytes, writeTimeout, pingInterval, compression, drainTimeout, bigintAs, authenticate, ingest, reactive, resume"},
		{name: "number as a key", file: "reactive:\n  - 1: message\n",
			want: "reactive.yaml:2:5: a key is not plain text: write one of table, channel, source, scopes, resolveScopes, snapshot, batchMs, authorize, rowSecurity, filterRow, columns"},
		{name: "twice", file: "slot: orders\nsetup: auto\nslot: members\n",
			want: `reactive.yaml:3:1: key "slot" is given twice, first in line 1: keep one of them`},
		{name: "all at once", file: "slott: orders\nsetup: automatic\nlisten: 8080\nqueueBytes: 16MB\n",
			args: []string{"--path", "ws"},
			want: "--path: value \"ws\" does not begin with \"/\": write \"/ws\"\n" +
				"reactive.yaml:1:1: unknown key \"slott\": write \"slot\"\n" +
				"reactive.yaml:2:8: setup \"automatic\" is not one of auto, check: write auto\n" +
				"reactive.yaml:3:9: listen \"8080\" is a number to YAML: write \"8080\", with the quotes\n" +
				"reactive.yaml:4:13: queueBytes \"16MB\" is not written like a size: write 16MiB"},
	} {
		t.Run(r.name, r.check)
	}
}

func TestValuesThatAreRefused(t *testing.T) {
	const (
		addressFix  = ": write an address such as 127.0.0.1:8080"
		slotFix     = ": write 1 to 63 of a-z, 0-9 and _, for example mtbreactive"
		catalogFix  = ": write the name as the catalog has it, without SQL quotes"
		sizeFix     = ": write bytes, or a size such as 64KiB, 16MiB or 1GiB"
		durationFix = ": write a duration such as 500ms, 10s or 2m"
		originFix   = ": write scheme://host[:port], for example https://app.example.com"
		originsFix  = ": list each origin" + originFix
	)
	long := strings.Repeat("a", 100)
	for _, r := range []struct{ key, value, want string }{
		{"slot", `""`, "slot is empty" + slotFix},
		{"slot", "Order-Items", `slot "Order-Items" has other characters than a-z, 0-9 and _: write "order_items"`},
		{"slot", "日本", `slot "日本" has other characters than a-z, 0-9 and _` + slotFix},
		{"slot", long, `slot "` + long[:80] + `"... has 100 characters` + slotFix},
		{"publication", `""`, "publication is empty" + catalogFix},
		{"publication", long, `publication "` + long[:80] + `"... is longer than 63 bytes` + catalogFix},
		{"publication", `"a\nb"`, `publication "a\nb" has unprintable characters` + catalogFix},
		{"setup", "manual", `setup "manual" is not one of auto, check: write auto or check`},
		{"logLevel", "warning", `logLevel "warning" is not one of debug, info, warn, error: write warn`},
		{"bigintAs", "strings", `bigintAs "strings" is not one of number, string: write string`},
		{"allowAnonymous", "yes", `allowAnonymous "yes" is neither true nor false: write true or false`},
		{"listen", `""`, "listen is empty" + addressFix},
		{"listen", "'8080'", `listen "8080" has no host: write 127.0.0.1:8080`},
		{"listen", "localhost", `listen "localhost" has no port: write localhost:8080`},
		{"listen", "'::1'", `listen "::1" has no port: write [::1]:8080`},
		{"listen", "http://localhost:8080", `listen "http://localhost:8080" is not host:port` + addressFix},
		{"listen", "localhost:http", `listen "localhost:http" has a port that is not a number from 0 to 65535` + addressFix},
		{"listen", "localhost:65536", `listen "localhost:65536" has a port that is not a number from 0 to 65535` + addressFix},
		{"listen", "'*:8080'", `listen "*:8080" has a host that is not a name or an IP address: write 0.0.0.0:8080`},
		{"listen", "my host:8080", `listen "my host:8080" has a host that is not a name or an IP address` + addressFix},
		{"path", `""`, `path is empty: write a path such as /ws`},
		{"path", "ws", `path "ws" does not begin with "/": write "/ws"`},
		{"path", "/ws?a=1", `path "/ws?a=1" has characters that do not belong into a path: write a path such as /ws`},
		{"path", "'/{room}'", `path "/{room}" has characters that do not belong into a path: write a path such as /ws`},
		{"path", "/live/../ws/", `path "/live/../ws/" is not the shortest form of that path: write "/ws"`},
		{"maxConnections", "0", `maxConnections "0" is not a whole number from 1 to 2147483647: write digits only, for example 10000`},
		{"maxConnections", "10_000", `maxConnections "10_000" is not a whole number from 1 to 2147483647: write digits only, for example 10000`},
		{"maxSubscriptions", "-1", `maxSubscriptions "-1" is not a whole number from 1 to 2147483647: write digits only, for example 10000`},
		{"queueBytes", `""`, `queueBytes is empty` + sizeFix},
		{"queueBytes", "much", `queueBytes "much" is not a size` + sizeFix},
		{"queueBytes", "16TiB", `queueBytes "16TiB" is not a size` + sizeFix},
		{"queueBytes", "16BBB", `queueBytes "16BBB" is not a size` + sizeFix},
		{"queueBytes", "64 kb", `queueBytes "64 kb" is not written like a size: write 64KiB`},
		{"queueBytes", "1G", `queueBytes "1G" is not written like a size: write 1GiB`},
		{"queueBytes", "512B", `queueBytes "512B" is not written like a size: write 512`},
		{"maxRowBytes", "1023KiB", `maxRowBytes "1023KiB" is not from 1MiB to 1073741823: write a size such as 64MiB`},
		{"maxRowBytes", "1GiB", `maxRowBytes "1GiB" is not from 1MiB to 1073741823: write a size such as 64MiB`},
		{"maxRowBytes", "64MB", `maxRowBytes "64MB" is not written like a size: write 64MiB`},
		{"queueBytes", "0", `queueBytes "0" is less than one byte` + sizeFix},
		{"queueBytes", "9999999999GiB", `queueBytes "9999999999GiB" is more than a machine can hold` + sizeFix},
		{"writeTimeout", "10", `writeTimeout "10" has no unit: write 10s`},
		{"writeTimeout", "1.5", `writeTimeout "1.5" is not a duration` + durationFix},
		{"writeTimeout", "soon", `writeTimeout "soon" is not a duration` + durationFix},
		{"pingInterval", "0s", `pingInterval "0s" is shorter than 1ms` + durationFix},
		{"drainTimeout", "10s", `drainTimeout "10s" is longer than 6s, and the process has to be gone within 10s: write at most 6s`},
		{"drainTimeout", "-1s", `drainTimeout "-1s" is shorter than 1ms` + durationFix},
	} {
		t.Run(r.key+" "+r.value, refusal{
			file: r.key + ": " + r.value + "\n",
			want: "reactive.yaml:1:" + column(r.key+": ") + ": " + r.want,
		}.check)
	}
	for _, r := range []struct{ origin, want string }{
		{`"*"`, `"*" would let every web page read with its visitors' rights` + originsFix},
		{`"null"`, `"null" is what every sandboxed page and local file sends` + originFix},
		{`"https://*.example.com"`, `"https://*.example.com" has a wildcard, and origins are compared exactly` + originsFix},
		{`App.example.com`, `"App.example.com" is not an origin: write "https://app.example.com"`},
		{`""`, `is empty` + originFix},
		{`file:///`, `"file:///" is not an origin` + originFix},
		{`https://app:canary@app.example.com`, `(hidden) is not an origin` + originFix},
		{`https://аpp.example.com`, `"https://аpp.example.com" has a host that no browser sends` + originFix + ", other letters in their xn-- form"},
		{`https://App.example.com/`, `"https://App.example.com/" is not exactly what a browser sends: write "https://app.example.com"`},
		{`https://app.example.com:443`, `"https://app.example.com:443" is not exactly what a browser sends: write "https://app.example.com"`},
		{`"http://[::1]:80"`, `"http://[::1]:80" is not exactly what a browser sends: write "http://[::1]"`},
		{`https://app.example.com?a`, `"https://app.example.com?a" is not exactly what a browser sends: write "https://app.example.com"`},
	} {
		t.Run(r.origin, refusal{
			file: "allowedOrigins:\n  - " + r.origin + "\n",
			want: "reactive.yaml:2:5: allowedOrigins " + r.want,
		}.check)
	}
	const hostFix = ": write a host name, for example app.example.com"
	for _, r := range []struct{ host, want string }{
		{`"*"`, `"*" has a wildcard, and hosts are compared exactly: list each host` + hostFix},
		{`"*.example.com"`, `"*.example.com" has a wildcard, and hosts are compared exactly: list each host` + hostFix},
		{`https://app.example.com`, `"https://app.example.com" is not just a host in small letters: write app.example.com`},
		{`App.example.com:8443`, `"App.example.com:8443" is not just a host in small letters: write app.example.com`},
		{`app.example.com.`, `"app.example.com." is not just a host in small letters: write app.example.com`},
		{`"[::1]"`, `"[::1]" is not just a host in small letters: write ::1`},
		{`""`, `is empty` + hostFix + ", other letters in their xn-- form"},
		{`my host`, `"my host" has characters that no browser sends in a host` + hostFix + ", other letters in their xn-- form"},
		{`аpp.example.com`, `"аpp.example.com" has characters that no browser sends in a host` + hostFix + ", other letters in their xn-- form"},
	} {
		t.Run("host "+r.host, refusal{
			file: "allowedHosts:\n  - " + r.host + "\n",
			want: "reactive.yaml:2:5: allowedHosts " + r.want,
		}.check)
	}
	t.Run("origin twice", refusal{
		file: "allowedOrigins: [https://app.example.com, https://app.example.com]\n",
		want: `reactive.yaml:1:43: allowedOrigins "https://app.example.com" is listed twice: keep one of them`,
	}.check)
}

func TestReactiveThatIsRefused(t *testing.T) {
	const (
		tableFix   = `: write schema.table, for example public.message, and names with special characters as public."Odd Name"`
		catalogFix = ": write the name as the catalog has it, without SQL quotes"
	)
	for _, r := range []refusal{
		{name: "no table", file: "reactive: []\n",
			want: "reactive.yaml:1:11: reactive lists no table: list at least one, or delete the key to serve every table of the publication"},
		{name: "null", file: "reactive: ~\n",
			want: "reactive.yaml:1:11: reactive is empty: write a list, or delete the key"},
		{name: "no list", file: "reactive:\n  table: message\n",
			want: "reactive.yaml:2:3: reactive is a mapping: write a list"},
		{name: "table without keys", file: "reactive:\n  - public.message\n",
			want: "reactive.yaml:2:5: reactive is text: write keys and values"},
		{name: "unnamed", file: "reactive:\n  - channel: message\n    scopes: [conversation_id]\n",
			want: "reactive.yaml:2:5: table is missing: write table: schema.name"},
		{name: "empty table", file: "reactive:\n  - table: ''\n",
			want: "reactive.yaml:2:12: table is empty" + tableFix},
		{name: "no scopes", file: "reactive:\n  - table: message\n    scopes: []\n",
			want: "reactive.yaml:3:13: scopes is an empty list: list at least one column, or delete the key"},
		{name: "empty scope", file: "reactive:\n  - table: message\n    scopes: [conversation_id, '']\n",
			want: "reactive.yaml:3:31: scopes is empty" + catalogFix},
		{name: "scope twice", file: "reactive:\n  - table: message\n    scopes: [conversation_id, conversation_id]\n",
			want: `reactive.yaml:3:31: scopes "conversation_id" is listed twice: keep one of them`},
		{name: "row security that holds", file: "reactive:\n  - table: message\n    rowSecurity: enforced\n",
			want: `reactive.yaml:3:18: rowSecurity "enforced" is not one of bypassed: write bypassed`},
		{name: "resolveScopes without scopes", file: "reactive:\n  - table: message\n    resolveScopes: [row.a]\n",
			want: "reactive.yaml:3:20: resolveScopes has no scopes to come to: name them in scopes"},
		{name: "no source", file: "reactive:\n  - table: message\n    scopes: [a]\n    resolveScopes: []\n",
			want: "reactive.yaml:4:20: resolveScopes is an empty list: list at least one expression, or delete the key"},
		{name: "sources as text", file: "reactive:\n  - table: message\n    scopes: [a]\n    resolveScopes: row.a\n",
			want: `reactive.yaml:4:20: resolveScopes is text: write a list such as ["{'col': 'order_id', 'value': row.order_id}"], or {col: project_id, sql: "select ..."}`},
		{name: "source without sql", file: "reactive:\n  - table: message\n    scopes: [a]\n    resolveScopes: [{col: a}]\n",
			want: `reactive.yaml:4:21: sql is missing: write a query such as "select project_id from public.task_list where id = $row.list_id"`},
		{name: "no columns", file: "reactive:\n  - table: message\n    columns: {}\n",
			want: "reactive.yaml:3:14: columns is empty: write columns: {exclude: [secret]}, or delete the key"},
		{name: "nothing excluded", file: "reactive:\n  - table: message\n    columns: {exclude: []}\n",
			want: "reactive.yaml:3:24: exclude is an empty list: list at least one column, or delete the key"},
		{name: "excluded scope", file: "reactive:\n  - table: message\n    scopes: [id, member_id]\n    columns: {exclude: [member_id]}\n",
			want: `reactive.yaml:3:18: scope "member_id" is excluded by columns: keep it in one of the two: clients see what they subscribe by`},
		{name: "channel of spaces", file: "reactive:\n  - {table: message, channel: ' message '}\n",
			want: `reactive.yaml:2:31: channel " message " begins or ends with a space: write "message"`},
		{name: "unprintable channel", file: "reactive:\n  - {table: message, channel: \"a\\tb\"}\n",
			want: `reactive.yaml:2:31: channel "a\tb" has unprintable characters: write a name such as message or order-items`},
		{name: "table twice", file: "reactive:\n  - table: message\n  - table: public.message\n    channel: other\n",
			want: "reactive.yaml:3:12: table public.message is listed twice, first in line 2: keep one of them, with the scopes of both"},
		{name: "channel twice", file: "reactive:\n  - table: message\n  - table: sales.order_item\n    channel: message\n",
			want: `reactive.yaml:4:14: channel "message" is taken by the table in line 2: write a channel of its own`},
		{name: "channel by default", file: "reactive:\n  - table: public.message\n  - table: archive.message\n",
			want: `reactive.yaml:3:5: channel "message" is taken by the table in line 2: write a channel of its own`},
		{name: "capitals", file: "reactive:\n  - table: Sales.Order\n",
			want: `reactive.yaml:2:12: table "Sales.Order" has capitals outside double quotes, which SQL turns into small letters: ` +
				`write sales.order, or '"Sales"."Order"' if that is its name`},
		{name: "special characters", file: "reactive:\n  - table: sales.order-item\n",
			want: `reactive.yaml:2:12: table "sales.order-item" has special characters outside double quotes: write 'sales."order-item"'`},
		{name: "three parts", file: "reactive:\n  - table: app.public.message\n",
			want: `reactive.yaml:2:12: table "app.public.message" is not schema.table` + tableFix},
		{name: "no name", file: "reactive:\n  - table: public.\n",
			want: `reactive.yaml:2:12: table "public." is not schema.table` + tableFix},
		{name: "open quote", file: "reactive:\n  - table: public." + `"message` + "\n",
			want: `reactive.yaml:2:12: table "public.\"message" is not schema.table` + tableFix},
		{name: "quote inside", file: "reactive:\n  - table: " + `'"public"message'` + "\n",
			want: `reactive.yaml:2:12: table "\"public\"message" is not schema.table` + tableFix},
		{name: "unprintable", file: "reactive:\n  - table: \"a\\nb\"\n",
			want: `reactive.yaml:2:12: table "a\nb" is not schema.table` + tableFix},
		{name: "long part", file: "reactive:\n  - table: " + strings.Repeat("a", 64) + "\n",
			want: `reactive.yaml:2:12: table "` + strings.Repeat("a", 64) + `" has a part longer than 63 bytes` + tableFix},
	} {
		t.Run(r.name, r.check)
	}
}

func TestVariablesThatAreRefused(t *testing.T) {
	for _, r := range []refusal{
		{name: "unset", file: "slot: orders\nlisten: ${LISTEN_OF_THIS_TEST}:80\n",
			want: `reactive.yaml:2:9: listen "${LISTEN_OF_THIS_TEST}:80" needs the environment variable LISTEN_OF_THIS_TEST, which is not set: ` +
				"set LISTEN_OF_THIS_TEST, or write the value itself"},
		{name: "unset for the database", file: "databaseUrl: postgres://app:canary@${DB_OF_THIS_TEST}/app\n",
			want: "reactive.yaml:1:14: databaseUrl needs the environment variable DB_OF_THIS_TEST, which is not set: " +
				"set DB_OF_THIS_TEST, or write the value itself"},
		{name: "shell default", file: "slot: ${SLOT:-orders}\n",
			want: `reactive.yaml:1:7: slot "${SLOT:-orders}" has a ${ that no variable's name and } follow: ` +
				"write ${NAME}, or $${ for the two characters themselves"},
		{name: "open", file: "slot: ${SLOT\n",
			want: `reactive.yaml:1:7: slot "${SLOT" has a ${ that no variable's name and } follow: ` +
				"write ${NAME}, or $${ for the two characters themselves"},
		{name: "bad value by reference", file: "path: ${WS_PATH}\n", env: map[string]string{"WS_PATH": "canary"},
			want: `reactive.yaml:1:7: path "${WS_PATH}" does not begin with "/": write a path such as /ws`},
		{name: "empty by reference", file: "path: ${WS_PATH}\n", env: map[string]string{"WS_PATH": ""},
			want: `reactive.yaml:1:7: path "${WS_PATH}" is empty: write a path such as /ws`},
		{name: "never read as YAML", file: "allowedOrigins: ['${ORIGINS}']\n", env: map[string]string{"ORIGINS": "https://a.example, https://b.example"},
			want: `reactive.yaml:1:18: allowedOrigins "${ORIGINS}" is not an origin: write scheme://host[:port], for example https://app.example.com`},
		{name: "bad variable", env: map[string]string{"REACTIVE_MAX_CONNECTIONS": "many"},
			want: `REACTIVE_MAX_CONNECTIONS: value "many" is not a whole number from 1 to 2147483647: write digits only, for example 10000`},
		{name: "empty variable", env: map[string]string{"REACTIVE_SLOT": ""},
			want: "REACTIVE_SLOT: value is empty: write 1 to 63 of a-z, 0-9 and _, for example mtbreactive"},
		{name: "list in a variable", env: map[string]string{"REACTIVE_ALLOWED_ORIGINS": "https://app.example.com,"},
			want: "REACTIVE_ALLOWED_ORIGINS: value is empty: write scheme://host[:port], for example https://app.example.com"},
	} {
		t.Run(r.name, r.check)
	}
}

func TestSecretsStayOutOfErrors(t *testing.T) {
	const fix = ": write postgres://USER:PASSWORD@HOST:PORT/DATABASE, special characters in the password as %XX, " +
		"or host=HOST user=USER password=PASSWORD dbname=DATABASE"
	const port = "has a port that is not a number from 1 to 65535: write HOST:PORT; if that is a part of the password, " +
		"write the special characters of user, password and parameters as %XX: @ is %40, / is %2F, ? is %3F, # is %23, & is %26, % is %25"
	const slotFix = " has other characters than a-z, 0-9 and _: write 1 to 63 of a-z, 0-9 and _, for example mtbreactive"
	for _, r := range []refusal{
		{name: "bad port", file: "databaseUrl: postgres://app:canary@db.internal:port/app\n",
			want: "reactive.yaml:1:14: databaseUrl " + port},
		{name: "other database", file: "databaseUrl: mysql://app:canary@db.internal/app\n",
			want: "reactive.yaml:1:14: databaseUrl is a mysql URL" + fix},
		{name: "bad keyword", file: "databaseUrl: host=db.internal canary\n",
			want: "reactive.yaml:1:14: databaseUrl has a word that is not NAME=VALUE: put values with spaces into single quotes; " +
				`in them a quote is \' and a backslash \\`},
		{name: "number", file: "databaseUrl: 4711\n",
			want: "reactive.yaml:1:14: databaseUrl is a number to YAML: put it in quotes"},
		{name: "missing file", file: "databaseUrl: postgres://app:canary@db.internal/app?sslmode=verify-full&sslrootcert=/absent/ca.pem\n",
			want: `reactive.yaml:1:14: databaseUrl names the file "/absent/ca.pem", which cannot be read: no such file or directory: ` +
				"write the path of a file that this process may read"},
		{name: "flag", args: []string{"--database-url", "postgres://app:canary@db.internal:port/app"},
			want: "--database-url: value " + port},
		{name: "variable", env: map[string]string{"DATABASE_URL": "app:canary"},
			want: "DATABASE_URL: value is not a PostgreSQL connection string" + fix},
		{name: "empty", args: []string{"--database-url", " "},
			want: "--database-url: value is empty" + fix},
		{name: "in another key", file: "slot: postgres://app:canary@db.internal/app\n",
			want: "reactive.yaml:1:7: slot (hidden)" + slotFix},
		{name: "in another flag", args: []string{"--slot", "host=db.internal password=canary"},
			want: "--slot: value (hidden)" + slotFix},
		{name: "in another key by reference", file: "slot: ${TOKEN}\n", env: map[string]string{"TOKEN": "canary!"},
			want: `reactive.yaml:1:7: slot "${TOKEN}"` + slotFix},
	} {
		t.Run(r.name, r.check)
		if strings.Contains(r.want, "canary") {
			t.Errorf("%s: the test wants the secret to be shown", r.name)
		}
	}
}

func TestDatabaseIsRequired(t *testing.T) {
	_, err := load(t, "slot: orders\n")
	if want := "databaseUrl: is not given, and has no default: set REACTIVE_DATABASE_URL, or write databaseUrl into the file"; err == nil || err.Error() != want {
		t.Errorf("got %v", err)
	}
}

func TestSettingsThatContradictEachOther(t *testing.T) {
	const fix = ": write an authenticate section, or allowAnonymous: true if all of them may read everything that is served, or listen: 127.0.0.1:8080"
	for _, r := range []refusal{
		{name: "public without leave", file: "slot: orders\nlisten: 0.0.0.0:8080\n",
			want: "reactive.yaml:2:9: other machines reach 0.0.0.0:8080, and nothing asks clients who they are" + fix},
		{name: "every interface", args: []string{"--listen", ":8080"},
			want: "--listen: other machines reach :8080, and nothing asks clients who they are" + fix},
		{name: "by name", env: map[string]string{"REACTIVE_LISTEN": "gw.internal:8080"},
			want: "REACTIVE_LISTEN: other machines reach gw.internal:8080, and nothing asks clients who they are" + fix},
		{name: "one address", file: "listen: 127.0.0.1:9090\n",
			want: "admin: 127.0.0.1:9090 is the public address too: write an address with another port"},
		{name: "profiles nowhere", file: "admin: ''\npprof: true\n",
			want: "reactive.yaml:2:8: profiles are served on the admin address, and that is switched off: write an admin address, or pprof: false"},
	} {
		t.Run(r.name, r.check)
	}
}

func TestErrorOfNothingIsNil(t *testing.T) {
	if err := NewError(); err != nil {
		t.Errorf("got %v", err)
	}
}
