package wal

import (
	"fmt"
	"slices"
	"strings"

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
}

const (
	minVersion = 140000
	publishAll = "insert, update, delete, truncate"
	// generatedVersion is the first that can publish generated columns, and that refuses updates of a table with
	// REPLICA IDENTITY FULL where it does not.
	generatedVersion = 180000
	publishGenerated = "publish_generated_columns = stored"
)

// Findings judges the facts: every check is there, also the good ones, in the order in which they are to be mended.
func (f *Facts) Findings(want Wanted) []Finding {
	j := &judge{facts: f, want: want}
	j.server()
	j.settings()
	j.publication()
	for _, t := range want.Tables {
		j.table(t)
	}
	j.slot()
	j.retained()
	j.failover()
	return j.findings
}

type judge struct {
	facts    *Facts
	want     Wanted
	findings []Finding
}

func (j *judge) add(check string, level Level, fix, format string, args ...any) {
	j.findings = append(j.findings, Finding{Check: check, Level: level, Detail: fmt.Sprintf(format, args...), Fix: fix})
}

// check adds a good finding or, where it does not hold, a failure.
func (j *judge) check(holds bool, check, good, bad, fix string) {
	if holds {
		j.add(check, Good, "", "%s", good)
		return
	}
	j.add(check, Fail, fix, "%s", bad)
}

func (j *judge) server() {
	f := j.facts
	j.version()
	j.check(f.WALLevel == "logical", "wal_level", "logical", fmt.Sprintf("wal_level is %s, logical decoding needs logical", f.WALLevel),
		"ALTER SYSTEM SET wal_level = 'logical'; -- then restart PostgreSQL")
	j.check(!f.InRecovery, "primary", "the server is a primary", "the server is a standby: its snapshots do not show which transactions are open",
		"-- connect to the primary")
	j.passing(f.InRecovery)
	j.check(f.Encoding != "SQL_ASCII", "encoding", f.Encoding, "the database's encoding is SQL_ASCII, so its text has no known encoding",
		"-- move the data to a database made with ENCODING 'UTF8'")
	j.check(f.Replication, "role", fmt.Sprintf("%s may replicate", f.Role), fmt.Sprintf("role %s may not open replication connections", f.Role),
		fmt.Sprintf("ALTER ROLE %s REPLICATION;", quote(f.Role)))
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

func (j *judge) publication() {
	p, name := j.facts.Publication, quote(j.want.Publication)
	if p == nil {
		var tables []string
		for _, t := range j.want.Tables {
			tables = append(tables, t.Quoted())
		}
		list := ""
		if len(tables) > 0 {
			list = "FOR TABLE " + strings.Join(tables, ", ") + " "
		}
		sql := fmt.Sprintf("CREATE PUBLICATION %s %sWITH (%s);", name, list, j.publicationOptions())
		if len(tables) == 0 && !j.want.NoTables {
			j.add("publication", Fail, "-- create a table with a primary key first", "there is no publication %s, and no table with a primary key to publish", j.want.Publication)
			return
		}
		j.add("publication", Mendable, sql, "there is no publication %s", j.want.Publication)
		return
	}
	if !p.Insert || !p.Update || !p.Delete || !p.Truncate {
		j.add("publication", Fail, fmt.Sprintf("ALTER PUBLICATION %s SET (publish = '%s');", name, publishAll),
			"publication %s leaves out a kind of change, so views would go stale", j.want.Publication)
	}
	partitioned := slices.ContainsFunc(j.want.Tables, func(t WantedTable) bool { return t.Partitioned })
	if partitioned && !p.ViaRoot {
		j.add("publication", Mendable, fmt.Sprintf("ALTER PUBLICATION %s SET (publish_via_partition_root = true);", name),
			"publication %s sends changes of partitioned tables under the names of their partitions", j.want.Publication)
	}
	generated := slices.IndexFunc(j.want.Tables, func(t WantedTable) bool { return t.has(StoredGenerated) })
	if j.facts.Version >= generatedVersion && generated >= 0 && !p.Generated {
		j.add("publication", Mendable, fmt.Sprintf("ALTER PUBLICATION %s SET (%s);", name, publishGenerated),
			"publication %s leaves out the generated columns of %s: with REPLICA IDENTITY FULL the server would refuse its updates", j.want.Publication, j.want.Tables[generated])
	}
	var missing []string
	for _, t := range j.want.Tables {
		if !j.publishes(t) {
			missing = append(missing, t.Quoted())
		}
	}
	if len(missing) > 0 {
		j.add("publication", Mendable, fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s;", name, strings.Join(missing, ", ")),
			"publication %s lacks %s", j.want.Publication, strings.Join(missing, ", "))
		return
	}
	j.add("publication", Good, "", "%s has %d tables", j.want.Publication, len(p.Tables))
}

func (j *judge) publicationOptions() string {
	const viaRoot = "publish_via_partition_root = true"
	if j.facts.Version < generatedVersion {
		return viaRoot
	}
	return viaRoot + ", " + publishGenerated
}

// publishes also finds a partitioned table that is listed by its partitions only, for want of ViaRoot.
func (j *judge) publishes(t WantedTable) bool {
	p := j.facts.Publication
	if p.AllTables || p.Tables[t.TableName] {
		return true
	}
	return t.Partitioned && !p.ViaRoot && slices.ContainsFunc(t.Leaves, func(l LeafInfo) bool { return p.Tables[l.TableName] })
}

func (j *judge) table(t WantedTable) {
	check := "table " + t.String()
	if len(t.PrimaryKey) == 0 && !t.Watched {
		j.add(check, Fail, fmt.Sprintf("ALTER TABLE %s ADD PRIMARY KEY (...);", t.Quoted()), "has no primary key, so clients could not tell its rows apart")
		return
	}
	j.rowSecurity(t)
	needed := slices.Concat(t.PrimaryKey, t.Scopes)
	if p := j.facts.Publication; p != nil {
		if columns := p.Columns[t.TableName]; columns != nil {
			for _, c := range needed {
				if !slices.Contains(columns, c) {
					j.add(check, Fail, fmt.Sprintf("-- put %s into the column list of %s in publication %s, or drop the list", quote(c), t.Quoted(), quote(j.want.Publication)),
						"the publication's column list leaves out %s", c)
				}
			}
		}
		if p.Filtered[t.TableName] {
			j.add(check, Warn, "", "the publication filters its rows: clients see no others")
		}
	}
	if t.Unreadable {
		role := quote(j.facts.Role)
		j.add(check, Warn, fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %[2]s;", quote(t.Schema), role, t.Quoted()),
			"role %s may not read it: changes of it flow, but its snapshots fail", j.facts.Role)
	}
	j.identity(t, check, needed)
}

// identity judges what the before images hold.
func (j *judge) identity(t WantedTable, check string, needed []string) {
	forbids, allow := j.forbidsFull(t)
	full := true
	for _, l := range t.Leaves {
		sql := fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL;", l.Quoted())
		switch {
		case forbids != "" && l.Identity == 'f':
			j.add(check, Fail, allow, "%s, and with REPLICA IDENTITY FULL the server refuses to update or delete rows of %s", forbids, l.TableName)
		case l.Identity == 'f':
			continue
		case forbids != "" && !l.Covers(needed):
			j.add(check, Fail, allow+", or give it a unique index over "+strings.Join(needed, ", ")+" as REPLICA IDENTITY",
				"the before images of %s leave out columns that scopes, filterRow or authorize look at, and REPLICA IDENTITY FULL is not possible: %s", l.TableName, forbids)
		case forbids != "":
			j.add(check, Warn, allow, "the before images of %s hold only its identity: an update lists every other column as changed", l.TableName)
		case !l.Covers(needed):
			j.add(check, Mendable, sql, "the before images of %s leave out columns that scopes, filterRow or authorize look at: a row that moves or is deleted would stay on the clients", l.TableName)
		case l.Identity == 'd':
			j.add(check, Mendable, sql, "the before images of %s hold only the key: which columns an update changed would not be known", l.TableName)
		case t.Partitioned:
			j.add(check, Mendable, sql, "the before images of %s hold only its identity index, and those of a table and its partitions have to be alike", l.TableName)
		default:
			j.add(check, Warn, sql, "the before images of %s hold only its identity index: an update lists every other column as changed", l.TableName)
		}
		full = false
	}
	if full {
		j.add(check, Good, "", "REPLICA IDENTITY FULL, for %s", strings.Join(t.Scopes, ", "))
	}
}

// forbidsFull says what makes the server refuse the updates and deletions of a table that has REPLICA IDENTITY FULL, and
// what to do about it; both are empty where nothing does (PostgreSQL manual, "Column Lists", "Generated Column Replication").
func (j *judge) forbidsFull(t WantedTable) (why, allow string) {
	if p := j.facts.Publication; p != nil && p.Listed[t.TableName] {
		return "the publication has a column list for the table",
			fmt.Sprintf("-- drop the column list of %s from publication %s", t.Quoted(), quote(j.want.Publication))
	}
	if t.has(VirtualGenerated) {
		return "the table has virtual generated columns", fmt.Sprintf("-- make the virtual generated columns of %s STORED", t.Quoted())
	}
	return "", ""
}

func (j *judge) slot() {
	s, name := j.facts.Slot, j.want.Slot
	create, recreate := createSlotSQL(name, j.facts.Version), remakeSlotSQL(name, j.facts.Version)
	check := "slot " + name
	switch {
	case s == nil && j.facts.FreeSlots <= 0:
		j.add(check, Fail, fmt.Sprintf("ALTER SYSTEM SET max_replication_slots = %d; -- then restart PostgreSQL", j.facts.MaxSlots+5),
			"does not exist, and all %d replication slots are in use", j.facts.MaxSlots)
	case s == nil:
		j.add(check, Mendable, create, "does not exist")
	case !s.Logical || s.Plugin != "pgoutput":
		j.add(check, Fail, recreate, "is no logical slot of pgoutput: choose another name, or make it anew")
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
		return fmt.Sprintf("SELECT pg_create_logical_replication_slot(%s, 'pgoutput', failover => true);", literal(name))
	}
	return fmt.Sprintf("SELECT pg_create_logical_replication_slot(%s, 'pgoutput');", literal(name))
}

func dropSlotSQL(name string) string {
	return fmt.Sprintf("SELECT pg_drop_replication_slot(%s);", literal(name))
}

func remakeSlotSQL(name string, version int) string {
	return dropSlotSQL(name) + " " + createSlotSQL(name, version)
}

// Quote gives an identifier for SQL.
func Quote(identifier string) string { return pgx.Identifier{identifier}.Sanitize() }

func quote(identifier string) string { return Quote(identifier) }

// literal quotes a string constant. Slot names have no backslash, which the configuration has checked.
func literal(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }
