package wal

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"github.com/jackc/pgx/v5"
)

// Level says how bad a finding is.
type Level int

// The levels. A gateway serves with Good and Warn, and with Mendable after it has run the SQL.
const (
	Good Level = iota
	Warn
	Mendable // setup may run Fix
	Fail
)

// Finding is the answer to one question about the server.
type Finding struct {
	Check  string // what was looked at
	Level  Level
	Detail string
	// Passing: it may go away without anybody's doing, as during a failover or a backup.
	Passing bool
	Fix     string // the SQL, or for what SQL cannot do the words, that mend it; empty where nothing is to be done
	// Or is another way to mend it, as comments in SQL, with what each way costs.
	Or string
	// By says who may run Fix, such as "role app"; empty where that is not known.
	By string
	// Table is the one that it is about; zero where it is about the whole.
	Table TableName
	// Kind is, of a table's finding, what many tables may have in common, in words.
	Kind string
	// LeftOut: for this reason the table is not served, and the others are.
	LeftOut bool

	phase phase
	leaf  *LeafInfo // the relation whose identity Fix changes
	adds  bool      // Fix adds Table to the publication
}

// Wanted is what the gateway is going to serve.
type Wanted struct {
	Slot, Publication string
	Tables            []WantedTable
	// NoTables: there may be none, for what is served does not come from the log.
	NoTables bool
}

// WantedTable is a table with the columns whose old values have to be known: those that scopes, filters and authorizers
// look at.
type WantedTable struct {
	*TableInfo
	Scopes []string
	// RowSecurityBypassed: the configuration says that the table's policies need not hold.
	RowSecurityBypassed bool
	// Watched: its changes matter to an authorizer, and no client is sent its rows. It needs no primary key.
	Watched bool
	// Optional: nobody has named it. Where it cannot be served it is left out, and the others are served.
	Optional bool
}

const (
	minVersion = 140000
	publishAll = "insert, update, delete, truncate"
	// columnListVersion is the first whose publications have column lists.
	columnListVersion = 150000
	// generatedVersion is the first that can publish generated columns, and that refuses updates of a table with
	// REPLICA IDENTITY FULL where it does not.
	generatedVersion = 180000
	publishGenerated = "publish_generated_columns = stored"
)

// Findings judges the facts: every check is there, also the good ones, in the order in which they are to be mended. An operator
// may stop after any statement of that order: none of them makes the server refuse what an application writes.
func (f *Facts) Findings(want Wanted) []Finding {
	j := &judge{facts: f, want: want}
	j.server()
	j.writable()
	j.settings()
	j.publication()
	for _, t := range want.Tables {
		j.table(t)
	}
	j.outbox()
	j.stranded()
	last := len(j.findings)
	j.slot()
	j.retained()
	j.failover()
	for i := last; i < len(j.findings); i++ {
		j.findings[i].phase = phaseSlot
	}
	return inOrder(leaveOut(j.findings, want))
}

type judge struct {
	facts    *Facts
	want     Wanted
	findings []Finding
}

// add adds a finding, which is valid until the next one is added.
func (j *judge) add(check string, level Level, fix, format string, args ...any) *Finding {
	j.findings = append(j.findings, Finding{Check: check, Level: level, Detail: fmt.Sprintf(format, args...), Fix: fix})
	return &j.findings[len(j.findings)-1]
}

// check adds a good finding or, where it does not hold, a failure that a superuser mends.
func (j *judge) check(holds bool, check, good, bad, fix string) {
	if holds {
		j.add(check, Good, "", "%s", good)
		return
	}
	j.add(check, Fail, fix, "%s", bad).By = bySuperuser
}

func (j *judge) server() {
	f := j.facts
	j.version()
	j.check(f.WALLevel == "logical", "wal_level", "logical", fmt.Sprintf("wal_level is %s, logical decoding needs logical", f.WALLevel),
		"ALTER SYSTEM SET wal_level = 'logical'; -- then restart PostgreSQL")
	j.check(!f.InRecovery, "primary", "the server is a primary", "the server is a standby: its snapshots do not show which transactions are open",
		"-- connect to the primary")
	j.passing(f.InRecovery)
	j.check(Decodable(f.Encoding), "encoding", f.Encoding, "the database's encoding is "+f.Encoding+", whose text may have no Unicode",
		"-- move the data to a database made with ENCODING 'UTF8'")
	if len(f.Nameless) > 0 {
		j.add("encoding", Warn, fmt.Sprintf("-- rename what has the name: SELECT oid, pg_catalog.convert_to(relname::pg_catalog.text, %s) FROM pg_catalog.pg_class WHERE oid IN (%s);",
			literal(f.Encoding), strings.ReplaceAll(strings.Trim(fmt.Sprint(f.Nameless), "[]"), " ", ", ")), "%d tables are left out, for a name of theirs, of a column or of a type has a character of %s that has no Unicode", len(f.Nameless), f.Encoding)
	}
	j.replication()
	if f.ProxyInBetween {
		j.add("connection", Warn, "-- give databaseUrl the server's own address", "a pooler stands between the gateway and PostgreSQL: replication does not pass through one")
	} else {
		j.add("connection", Good, "", "direct")
	}
	active := f.Slot != nil && f.Slot.Active
	j.check(f.FreeSenders > 0 || active, "max_wal_senders", fmt.Sprintf("%d of %d free", f.FreeSenders, f.MaxSenders),
		fmt.Sprintf("all %d are in use", f.MaxSenders), fmt.Sprintf("ALTER SYSTEM SET max_wal_senders = %d; -- then restart PostgreSQL", f.MaxSenders+5))
	j.passing(f.FreeSenders <= 0 && !active)
}

// passing marks the last finding.
func (j *judge) passing(is bool) { j.findings[len(j.findings)-1].Passing = is }

// replication judges whether the role may replicate, which only trying tells: managed servers grant it by a membership.
func (j *judge) replication() {
	f, role := j.facts, quote(j.facts.Role)
	switch {
	case f.Replication:
		j.add("role", Good, "", "%s may replicate", f.Role)
	case f.Untried != nil:
		j.add("role", Warn, "", "whether role %s may open replication connections could not be tried: %v", f.Role, f.Untried)
	default:
		refusal := ""
		if f.Refusal != nil {
			refusal = fmt.Sprintf(" (%v)", f.Refusal)
		}
		j.add("role", Fail, fmt.Sprintf("ALTER ROLE %s REPLICATION;", role), "role %s may not open replication connections%s", f.Role, refusal).By = bySuperuser
		j.findings[len(j.findings)-1].Or = fmt.Sprintf("-- on Amazon RDS: GRANT rds_replication TO %s;\n"+
			"-- on Google Cloud SQL and Azure the administrator's role may run the ALTER ROLE above", role)
	}
}

func (j *judge) slot() {
	s, name := j.facts.Slot, j.want.Slot
	create, recreate := createSlotSQL(name, j.facts.Version), remakeSlotSQL(name, j.facts.Version)
	check := "slot " + name
	defer func() { f := &j.findings[len(j.findings)-1]; f.By = cmp.Or(f.By, byRole(j.facts.Role)) }()
	switch {
	case s == nil && j.facts.FreeSlots <= 0:
		j.add(check, Fail, fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d; -- then restart PostgreSQL", j.facts.MaxSlots+5),
			"does not exist, and all %d replication slots are in use", j.facts.MaxSlots).By = bySuperuser
	case s == nil:
		j.add(check, Mendable, create, "does not exist")
	case !s.Logical || s.Plugin != "pgoutput":
		j.add(check, Fail, "-- choose another slot name or, if nobody needs it: "+recreate, "is no logical slot of pgoutput")
	case s.Database != j.facts.CurrentDatabase:
		j.add(check, Fail, "-- choose another slot name, or connect to that database", "belongs to database %s", s.Database)
	case s.Temporary:
		j.add(check, Fail, "-- choose another slot name", "is temporary and belongs to another session")
	case s.WALStatus == "lost":
		j.add(check, Mendable, recreate, "is lost: %s", whyLost(s.Invalidated))
	case s.Active:
		j.add(check, Warn, "", "is in use by process %d: a second gateway waits for its turn", s.ActivePID)
	default:
		j.add(check, Good, "", "at %s, holds back %d bytes of log", s.Confirmed, s.Retained)
	}
}

// whyLost says it for people. Versions before 17 do not tell.
func whyLost(reason string) string {
	switch reason {
	case "idle_timeout":
		return "no gateway ran for longer than idle_replication_slot_timeout"
	case "wal_level_insufficient":
		return "wal_level was lowered meanwhile"
	case "rows_removed":
		return "the server removed rows of the catalog that it still needed"
	}
	return "the server removed log that it still needed, as max_slot_wal_keep_size says"
}

// createSlotSQL makes a slot that standbys may copy, where they can.
func createSlotSQL(name string, version int) string {
	if version >= failoverVersion {
		return fmt.Sprintf("SELECT pg_catalog.pg_create_logical_replication_slot(%s, 'pgoutput', failover => true);", literal(name))
	}
	return fmt.Sprintf("SELECT pg_catalog.pg_create_logical_replication_slot(%s, 'pgoutput');", literal(name))
}

func dropSlotSQL(name string) string {
	return fmt.Sprintf("SELECT pg_catalog.pg_drop_replication_slot(%s);", literal(name))
}

func remakeSlotSQL(name string, version int) string {
	return dropSlotSQL(name) + " " + createSlotSQL(name, version)
}

// Quote gives an identifier for SQL, in one line: whoever may name a table must not end a comment that an operator is given.
func Quote(identifier string) string {
	plain := pgx.Identifier{identifier}.Sanitize()
	if !strings.ContainsFunc(identifier, unicode.IsControl) {
		return plain
	}
	var escaped strings.Builder
	for _, r := range strings.ReplaceAll(plain, `\`, `\\`) {
		if unicode.IsControl(r) {
			fmt.Fprintf(&escaped, `\%04X`, r)
		} else {
			escaped.WriteRune(r)
		}
	}
	return "U&" + escaped.String()
}

// Line gives text that has names in it as one line, in which they cannot pass for lines of their own.
func Line(text string) string {
	if !strings.ContainsFunc(text, unicode.IsControl) {
		return text
	}
	quoted := strconv.QuoteToGraphic(text)
	return strings.ReplaceAll(quoted[1:len(quoted)-1], `\"`, `"`)
}

func quote(identifier string) string { return Quote(identifier) }

// literal quotes a string constant, whatever the server's standard_conforming_strings.
func literal(s string) string {
	quoted := "'" + strings.ReplaceAll(s, "'", "''") + "'"
	if strings.Contains(s, `\`) {
		return " E" + strings.ReplaceAll(quoted, `\`, `\\`)
	}
	return quoted
}
