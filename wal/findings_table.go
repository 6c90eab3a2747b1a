package wal

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// tableFinding is add for a table. kind is what others may have in common with it.
func (j *judge) tableFinding(t WantedTable, level Level, kind, fix, format string, args ...any) *Finding {
	f := j.add("table "+t.String(), level, fix, format, args...)
	f.Table, f.Kind, f.phase = t.TableName, kind, phaseIdentity
	return f
}

// table asks one question after the other. One that fails, of a table that nobody has named, leaves the table out.
func (j *judge) table(t WantedTable) {
	if !j.key(t) || !j.laterPartitions(t) {
		return
	}
	needed := slices.Concat(t.PrimaryKey, t.Scopes)
	j.rowSecurity(t)
	j.strangersCode(t)
	j.columnList(t, needed)
	j.readable(t)
	j.identity(t, needed)
	j.membership(t)
}

func (j *judge) key(t WantedTable) bool {
	if len(t.PrimaryKey) > 0 || t.Watched {
		return true
	}
	f := j.tableFinding(t, Fail, "has no primary key", fmt.Sprintf("-- ALTER TABLE %s ADD PRIMARY KEY (...);", t.Quoted()), "has no primary key, so clients could not tell its rows apart")
	f.By = byRole(cmp.Or(t.Owner, j.facts.Role))
	return false
}

func (j *judge) columnList(t WantedTable, needed []string) {
	p := j.facts.Publication
	if p == nil {
		return
	}
	if columns := p.Columns[t.TableName]; columns != nil {
		for _, c := range needed {
			if !slices.Contains(columns, c) {
				j.tableFinding(t, Fail, "lacks a column in the publication's column list",
					fmt.Sprintf("-- put %s into the column list of %s in publication %s, or drop the list", quote(c), t.Quoted(), quote(j.want.Publication)),
					"the publication's column list leaves out %s", c)
			}
		}
	}
	if p.Filtered[t.TableName] {
		j.tableFinding(t, Warn, "is filtered by the publication", "", "the publication filters its rows: clients see no others")
	}
}

func (j *judge) readable(t WantedTable) {
	if !t.Unreadable {
		return
	}
	role := quote(j.facts.Role)
	f := j.tableFinding(t, Warn, "may not be read", fmt.Sprintf("GRANT USAGE ON SCHEMA %s TO %s; GRANT SELECT ON %s TO %[2]s;", quote(t.Schema), role, t.Quoted()),
		"role %s may not read it: changes of it flow, but its snapshots fail", j.facts.Role)
	f.By = byRole(cmp.Or(t.Owner, j.facts.Role))
}

// laterPartitions judges a partitioned table whose partitions get no replica identity when they are made: from then on, and
// until somebody gives them one, the server refuses to update and delete their rows.
func (j *judge) laterPartitions(t WantedTable) bool {
	if !t.Partitioned || t.KeyIdentifies {
		return true
	}
	level, say := Fail, "once it is published"
	if j.publishes(t) {
		level, say = Warn, "for it is published"
	}
	j.tableFinding(t, level, "has partitions without a replica identity to come",
		fmt.Sprintf("-- give %s a primary key that is not DEFERRABLE; or publish it yourself, and give each partition REPLICA IDENTITY FULL when it is made", t.Quoted()),
		"no primary key can be the replica identity of partitions that are made later: %s, the server refuses to update and delete their rows", say).
		By = byRole(cmp.Or(t.Owner, j.facts.Role))
	return level != Fail
}

// identity judges what the before images hold.
func (j *judge) identity(t WantedTable, needed []string) {
	forbids, allow := j.forbidsFull(t)
	full := true
	for i := range t.Leaves {
		l := &t.Leaves[i]
		if l.Identity == 'f' && forbids == "" && l.Kind != 'f' {
			continue
		}
		full = false
		var f *Finding
		switch covers := l.Usable() && l.Covers(needed); {
		case l.Kind == 'f':
			j.tableFinding(t, Fail, "has a foreign table for a partition", fmt.Sprintf("-- ALTER TABLE %s DETACH PARTITION %s; if its rows need not be there", t.Quoted(), l.Quoted()),
				"its partition %s is a foreign table, whose changes no log has", l.TableName).By = byRole(cmp.Or(t.Owner, j.facts.Role))
			continue
		case forbids != "" && l.Identity == 'f':
			j.tableFinding(t, Fail, "cannot be updated with REPLICA IDENTITY FULL", allow,
				"%s, and with REPLICA IDENTITY FULL the server refuses to update or delete rows of %s", forbids, l.TableName)
			continue
		case forbids != "" && !covers:
			j.tableFinding(t, Fail, "cannot have REPLICA IDENTITY FULL", allow+", or give it a unique index over "+Line(strings.Join(needed, ", "))+" as REPLICA IDENTITY",
				"the before images of %s leave out columns that scopes, filterRow or authorize look at, and REPLICA IDENTITY FULL is not possible: %s", l.TableName, forbids)
			continue
		case forbids != "":
			j.tableFinding(t, Warn, "logs its identity alone", allow, "the before images of %s hold only its identity: an update lists every other column as changed", l.TableName)
			continue
		case !l.Usable() && len(needed) == 0:
			f = j.tableFinding(t, Mendable, "has no replica identity", fullSQL(l), "%s has no replica identity: once published, the server would refuse to update and delete its rows", l.TableName)
		case !covers:
			f = j.tableFinding(t, Mendable, "needs a wider replica identity", fullSQL(l),
				"the before images of %s leave out columns that scopes, filterRow or authorize look at: a row that moves or is deleted would stay on the clients", l.TableName)
		case l.Identity == 'd':
			f = j.tableFinding(t, Mendable, "logs its key alone", fullSQL(l), "the before images of %s hold only the key: which columns an update changed would not be known", l.TableName)
		case t.Partitioned:
			f = j.tableFinding(t, Mendable, "has a replica identity unlike its partitions'", fullSQL(l),
				"the before images of %s hold only its identity index, and those of a table and its partitions have to be alike", l.TableName)
		default:
			f = j.tableFinding(t, Warn, "logs its identity index alone", fullSQL(l), "the before images of %s hold only its identity index: an update lists every other column as changed", l.TableName)
		}
		f.leaf, f.By, f.Or = l, byRole(cmp.Or(l.Owner, j.facts.Role)), j.indexInstead(t, l, needed)
		switch {
		case f.Level != Mendable || l.Owner == "":
		case f.Kind == "logs its key alone":
			f.Level = Warn // good enough, and others' to make better
			f.Detail = fmt.Sprintf("the before images of %s hold only the key: an update lists every other column as changed", l.TableName)
		default:
			f.Level = Fail
			f.Detail += fmt.Sprintf(", and role %s does not own it", j.facts.Role)
		}
	}
	if full {
		j.tableFinding(t, Good, "", "", "REPLICA IDENTITY FULL, for %s", strings.Join(t.Scopes, ", "))
	}
}

// CostOfFull says, as comments in SQL, what REPLICA IDENTITY FULL takes.
const CostOfFull = "-- REPLICA IDENTITY FULL writes the whole old row into the log with every UPDATE and DELETE: about a sixth more log for\n" +
	"-- a row of 50 short columns, seven times as much for one with two long texts that the update leaves alone."

// indexInstead offers the identity that costs less. A partitioned table's partitions have to be FULL.
func (j *judge) indexInstead(t WantedTable, l *LeafInfo, needed []string) string {
	if t.Partitioned || l.Identity == 'i' && l.Usable() && l.Covers(needed) {
		return ""
	}
	var columns, nullable []string
	for _, c := range slices.Compact(slices.Sorted(slices.Values(needed))) {
		columns = append(columns, quote(c))
		if column := t.Column(c); column != nil && !column.NotNull {
			nullable = append(nullable, c)
		}
	}
	if len(columns) == 0 {
		return ""
	}
	index := shorten(t.Name, 40) + "_identity"
	text := fmt.Sprintf("-- or, for little more log than with the key alone; an update then lists every other column as changed:\n"+
		"-- CREATE UNIQUE INDEX CONCURRENTLY %s ON %s (%s);\n-- ALTER TABLE %[2]s REPLICA IDENTITY USING INDEX %[1]s;", quote(index), l.Quoted(), strings.Join(columns, ", "))
	if len(nullable) > 0 {
		text += fmt.Sprintf("\n-- The index has to be over columns that are NOT NULL, which %s may not be yet.", Line(strings.Join(nullable, ", ")))
	}
	return text
}

// shorten keeps a name within a length in bytes.
func shorten(name string, most int) string {
	for len(name) > most {
		runes := []rune(name)
		name = string(runes[:len(runes)-1])
	}
	return name
}

func fullSQL(l *LeafInfo) string {
	return fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL;", l.Quoted())
}

// forbidsFull says what makes the server refuse the updates and deletions of a table that has REPLICA IDENTITY FULL, and
// what to do about it; both are empty where nothing does (PostgreSQL manual, "Column Lists", "Generated Column Replication").
func (j *judge) forbidsFull(t WantedTable) (why, allow string) {
	if p := j.facts.Publication; p != nil && p.Listed[t.TableName] {
		return "the publication has a column list for the table",
			fmt.Sprintf("-- drop the column list of %s from publication %s", t.Quoted(), quote(j.want.Publication))
	}
	for i := range t.Leaves {
		other, ok := j.facts.Others[t.Leaves[i].OID]
		switch {
		case !ok:
		case other.list != "":
			return fmt.Sprintf("publication %s has a column list for %s", other.publication, other.list),
				fmt.Sprintf("-- drop the column list of %s from publication %s, of role %s", Line(other.list), quote(other.publication), quote(other.owner))
		default:
			return fmt.Sprintf("publication %s leaves out generated columns of the table", other.publication),
				fmt.Sprintf("-- ALTER PUBLICATION %s SET (%s); by role %s, if its subscribers can take them", quote(other.publication), publishGenerated, quote(other.owner))
		}
	}
	if t.has(VirtualGenerated) {
		return "the table has virtual generated columns", fmt.Sprintf("-- make the virtual generated columns of %s STORED", t.Quoted())
	}
	return "", ""
}
