package config

import (
	_ "embed"
	"fmt"
	"io"
	"strings"
	"time"

	"go.uber.org/zap/zapcore"
)

// Config is a complete and checked configuration. Nobody changes it after Load, so any goroutine may read it.
type Config struct {
	// DatabaseURL is the connection string of the PostgreSQL primary: a URL or keyword/value pairs (PostgreSQL
	// manual, "Connection Strings"). It was parsed, but nothing was connected to.
	DatabaseURL Secret
	// Slot is the logical replication slot: 1 to 63 of a-z, 0-9 and _.
	Slot string
	// Publication names what is captured: 1 to 63 bytes, as the catalog has it, not quoted.
	Publication string
	// Setup says who creates what is missing in the database.
	Setup Setup

	// Listen is the public address, host:port. Unless AllowAnonymous is set, the host is the loopback.
	Listen         string
	AllowAnonymous bool
	// Path is where the WebSocket is served: it begins with "/" and is clean.
	Path string
	// Admin is the address for operators, host:port; empty when there is none.
	Admin string
	// Pprof serves profiles on Admin.
	Pprof bool
	// AllowedOrigins are the web origins (RFC 6454, section 6.2) that may connect besides the gateway's own:
	// scheme://host[:port] as a browser writes them, in lower case, no wildcards.
	AllowedOrigins []string
	// AllowedHosts are host names, in lower case and without a port, that are answered besides this machine's own and IP
	// addresses: on Listen while nobody asks clients who they are, on Admin always.
	AllowedHosts []string

	LogLevel zapcore.Level

	// MaxConnections bounds the clients, MaxSubscriptions the subscriptions of one of them; both at least 1.
	MaxConnections   int
	MaxSubscriptions int
	// MaxMessagesPerSecond is how many messages a client may send, on the average of ten seconds; at least 1.
	MaxMessagesPerSecond int
	// DatabasePool is how many connections snapshots may have, and the questions of rights and scopes as many again: 1 to 1000.
	DatabasePool int
	// QueueBytes is how much may wait for one slow client, in bytes; at least 1.
	QueueBytes int
	// SpillBytes is how much of transactions that have not ended yet is kept in memory, in bytes; at least 1. What is more
	// goes to files in SpillDir; empty is the system's folder for temporary files.
	SpillBytes int
	SpillDir   string
	// MaxRowBytes is how long the change of one row may be to be read, in bytes: 1 MiB to 1 GiB - 1.
	MaxRowBytes int
	// Compression compresses frames for clients that ask for it.
	Compression bool
	// WriteTimeout is how long a client that is behind may take for the next 16 KiB, PingInterval the time between pings, both at least
	// 1ms. DrainTimeout is how long clients have to leave at the end: 1ms to 6s.
	WriteTimeout time.Duration
	PingInterval time.Duration
	DrainTimeout time.Duration
	// BigintAs is how int8 and numeric reach JavaScript.
	BigintAs BigintAs

	// Authenticate says how clients prove who they are; nil asks nobody.
	Authenticate *Authenticate
	// Reactive lists the tables that are served; nil means every table of the publication.
	Reactive []Reactive
	// Resume bounds what is kept for clients that come back.
	Resume Resume
	// Ingest says how events come that the log does not bring; nil is not at all, but for what SQL emits.
	Ingest *Ingest

	places places
	absent string
}

// Absent says, for people, that there is no configuration file, and where it was looked for. It is empty where there is one.
func (c *Config) Absent() string { return c.absent }

// Setup says who creates what is missing in the database.
type Setup string

const (
	// SetupAuto creates what is missing.
	SetupAuto Setup = "auto"
	// SetupCheck refuses to start when something is missing.
	SetupCheck Setup = "check"
)

// BigintAs is how integers that JavaScript cannot hold are written.
type BigintAs string

const (
	// BigintAsNumber writes int8 and numeric as JSON numbers, as PostgreSQL's to_jsonb does.
	BigintAsNumber BigintAs = "number"
	// BigintAsString writes them as JSON strings.
	BigintAsString BigintAs = "string"
)

// Reactive is one served table.
type Reactive struct {
	Table TableName
	// Channel is the name that clients subscribe to; no two tables share one.
	Channel string
	// Source is the way by which changes of the table come. Only of SourceWAL the table has to exist.
	Source Source
	// Scopes are the columns by which clients may subscribe; nil, which only SourceWAL may have, means the foreign-key and
	// primary-key columns.
	Scopes  []string
	Columns Columns
	// ResolveScopes says where the values of scopes come from that are not columns of the table; nil where all are.
	ResolveScopes []ScopeSource
	// Snapshot is what new subscribers are sent first; nil for nothing.
	Snapshot *Snapshot
	// Authorize says who may subscribe; nil is everyone who got in.
	Authorize *Authorize
	// RowSecurity is RowSecurityBypassed where the policies of the table, and of those that Authorize and ResolveScopes read, need
	// not hold; empty refuses such tables.
	RowSecurity RowSecurity
	// FilterRow is a CEL expression over ctx and row that says which rows a client sees; empty is all.
	FilterRow string
	// Batch is how long events may wait to go out in one frame; 0 sends each at once.
	Batch time.Duration
}

// RowSecurity says what becomes of tables with row level security.
type RowSecurity string

// RowSecurityBypassed reads and sends rows whatever policies say: rights are Authorize and FilterRow.
const RowSecurityBypassed RowSecurity = "bypassed"

// Columns selects the columns that clients see.
type Columns struct {
	// Exclude never reaches a client, and holds no column of Scopes.
	Exclude []string
}

// Secret is text that is printed as (hidden), by fmt, by encoders and by loggers alike.
type Secret string

const hidden = "(hidden)"

// Reveal returns the text itself.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string { return hidden }

// GoString keeps the text out of %#v.
func (s Secret) GoString() string { return hidden }

// Format keeps the text out of every verb of fmt, those included that String is not asked for.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, hidden) }

// MarshalText keeps the text out of JSON and YAML.
func (s Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// String gives every setting in one line, for the log; secrets are hidden.
func (c *Config) String() string {
	var b strings.Builder
	for _, s := range settings() {
		fmt.Fprintf(&b, "%s=%s ", s.key, s.show(c))
	}
	if c.Reactive == nil {
		b.WriteString("reactive=all")
	} else {
		fmt.Fprintf(&b, "reactive=%v", c.Reactive)
	}
	if c.Ingest != nil {
		fmt.Fprintf(&b, " ingest=%v", c.Ingest)
	}
	return b.String()
}

// Example returns a reactive.yaml with every key, its default and what it means.
func Example() string { return example }

//go:embed reactive.example.yaml
var example string
