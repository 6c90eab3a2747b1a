package config

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"go.uber.org/zap/zapcore"
)

// setting is one key at the top of the file, which is also a flag and an environment variable.
type setting struct {
	key  string
	kind kind
	// fallback is the default, written as in a flag. A list has none, and is then nil.
	fallback string
	usage    string
	// alias is a variable that is read after the setting's own.
	alias string
	// required has no default; secret is never shown.
	required, secret bool
	field
}

// field is how a text becomes part of a Config. For a list, read is called once per element.
type field struct {
	read func(*Config, string) *mistake
	show func(*Config) string
}

// settings lists them in the order of the help and of the log. A new one is a field of Config, a line here, and its
// lines in reactive.example.yaml.
func settings() []setting {
	return []setting{
		{key: "databaseUrl", required: true, secret: true, alias: "DATABASE_URL",
			usage: "`URL` or keyword/value string of the PostgreSQL primary",
			field: into(databaseURL, func(c *Config) *Secret { return &c.DatabaseURL })},
		{key: "slot", fallback: "mtbreactive",
			usage: "replication slot `NAME`",
			field: into(slotName, func(c *Config) *string { return &c.Slot })},
		{key: "publication", fallback: "mtbreactive",
			usage: "publication `NAME`",
			field: into(catalogName, func(c *Config) *string { return &c.Publication })},
		{key: "setup", fallback: "auto",
			usage: "auto creates what is missing in the database, check refuses to start without it",
			field: into(oneOf(SetupAuto, SetupCheck), func(c *Config) *Setup { return &c.Setup })},
		{key: "listen", fallback: "127.0.0.1:8080",
			usage: "public `ADDRESS`; one that other machines reach needs --allow-anonymous",
			field: into(address, func(c *Config) *string { return &c.Listen })},
		{key: "allowAnonymous", kind: kindBoolean, fallback: "false",
			usage: "let everyone who reaches the public address read everything that is served",
			field: into(trueOrFalse, func(c *Config) *bool { return &c.AllowAnonymous })},
		{key: "path", fallback: "/ws",
			usage: "`PATH` of the WebSocket",
			field: into(urlPath, func(c *Config) *string { return &c.Path })},
		{key: "admin", fallback: "127.0.0.1:9090",
			usage: "`ADDRESS` of health, metrics and status; an empty one switches them off",
			field: into(orEmpty(address), func(c *Config) *string { return &c.Admin })},
		{key: "pprof", kind: kindBoolean, fallback: "false",
			usage: "serve profiles on the admin address",
			field: into(trueOrFalse, func(c *Config) *bool { return &c.Pprof })},
		{key: "allowedOrigins", kind: kindList,
			usage: "`ORIGINS`, scheme://host[:port], whose pages may connect besides the gateway's own",
			field: each(origin, func(c *Config) *[]string { return &c.AllowedOrigins })},
		{key: "allowedHosts", kind: kindList,
			usage: "`HOSTS` that are answered besides localhost, where nobody asks clients who they are and on the operators' address",
			field: each(allowedHost, func(c *Config) *[]string { return &c.AllowedHosts })},
		{key: "logLevel", fallback: "info",
			usage: "debug, info, warn or error",
			field: into(oneOf(zapcore.DebugLevel, zapcore.InfoLevel, zapcore.WarnLevel, zapcore.ErrorLevel),
				func(c *Config) *zapcore.Level { return &c.LogLevel })},
		{key: "maxConnections", kind: kindNumber, fallback: "10000",
			usage: "how many clients may be connected",
			field: into(count, func(c *Config) *int { return &c.MaxConnections })},
		{key: "maxSubscriptions", kind: kindNumber, fallback: "1000",
			usage: "how many subscriptions one client may have",
			field: into(count, func(c *Config) *int { return &c.MaxSubscriptions })},
		{key: "maxMessagesPerSecond", kind: kindNumber, fallback: "200",
			usage: "how many messages one client may send in a second, on the average of ten",
			field: into(count, func(c *Config) *int { return &c.MaxMessagesPerSecond })},
		{key: "databasePool", kind: kindNumber, fallback: "8",
			usage: "how many connections snapshots may have, 1 to 1000; authorize and resolveScopes, and snapshots that ask queries of these, have as many again each",
			field: into(poolSize, func(c *Config) *int { return &c.DatabasePool })},
		{key: "queueBytes", kind: kindQuantity, fallback: "16MiB",
			usage: "how much may wait for one slow client, a `SIZE` such as 64KiB, 16MiB or 1GiB",
			field: into(size, func(c *Config) *int { return &c.QueueBytes })},
		{key: "spillBytes", kind: kindQuantity, fallback: "64MiB",
			usage: "how much of transactions that have not ended yet is kept in memory, a `SIZE`; more goes to disk",
			field: into(size, func(c *Config) *int { return &c.SpillBytes })},
		{key: "spillDir", fallback: "",
			usage: "`DIR` that they go to; the system's for temporary files where not given",
			field: into(orEmpty(folder), func(c *Config) *string { return &c.SpillDir })},
		{key: "maxRowBytes", kind: kindQuantity, fallback: "64MiB",
			usage: "how long the change of one row may be, old and new values together, a `SIZE` from 1MiB to 1073741823; the views of a table with a longer one start over",
			field: into(rowSize, func(c *Config) *int { return &c.MaxRowBytes })},
		{key: "writeTimeout", kind: kindQuantity, fallback: "10s",
			usage: "how long a client that is behind may take for the next 16 KiB of what waits for it",
			field: into(duration, func(c *Config) *time.Duration { return &c.WriteTimeout })},
		{key: "pingInterval", kind: kindQuantity, fallback: "25s",
			usage: "time between two pings to a client",
			field: into(duration, func(c *Config) *time.Duration { return &c.PingInterval })},
		{key: "compression", kind: kindBoolean, fallback: "false",
			usage: "compress frames for clients that ask for it, once for all who get them",
			field: into(trueOrFalse, func(c *Config) *bool { return &c.Compression })},
		{key: "drainTimeout", kind: kindQuantity, fallback: "5s",
			usage: "how long clients have to leave at the end, at most 6s",
			field: into(drainDuration, func(c *Config) *time.Duration { return &c.DrainTimeout })},
		{key: "bigintAs", fallback: "number",
			usage: "number or string: how int8 and numeric reach JavaScript",
			field: into(oneOf(BigintAsNumber, BigintAsString), func(c *Config) *BigintAs { return &c.BigintAs })},
	}
}

// into is a field with one value.
func into[T any](parse func(string) (T, *mistake), of func(*Config) *T) field {
	return field{
		read: func(c *Config, text string) (m *mistake) {
			*of(c), m = parse(text)
			return m
		},
		show: func(c *Config) string { return fmt.Sprint(*of(c)) },
	}
}

// orEmpty accepts the empty text too, for what it switches off.
func orEmpty[T any](parse func(string) (T, *mistake)) func(string) (T, *mistake) {
	return func(text string) (T, *mistake) {
		if text == "" {
			var off T
			return off, nil
		}
		return parse(text)
	}
}

// each is a field with a list of values.
func each[T any](parse func(string) (T, *mistake), of func(*Config) *[]T) field {
	return field{
		read: func(c *Config, text string) *mistake {
			value, m := parse(text)
			if m == nil {
				*of(c) = append(*of(c), value)
			}
			return m
		},
		show: func(c *Config) string { return fmt.Sprint(*of(c)) },
	}
}

// flag is the name of the setting's flag, without dashes: log-level for logLevel.
func (s setting) flag() string { return strings.ToLower(separated(s.key, '-')) }

// env lists the variables that give the setting, first found first.
func (s setting) env() []string {
	names := []string{"REACTIVE_" + strings.ToUpper(separated(s.key, '_'))}
	if s.alias != "" {
		names = append(names, s.alias)
	}
	return names
}

// separated puts a separator before the capitals of a key in camelCase.
func separated(key string, separator rune) string {
	var b strings.Builder
	for _, r := range key {
		if unicode.IsUpper(r) {
			b.WriteRune(separator)
		}
		b.WriteRune(r)
	}
	return b.String()
}
