package wal

import (
	"cmp"
	"fmt"
	"slices"
)

// publication judges the publication itself. It is made empty: a table enters it once its identity lets rows be updated.
func (j *judge) publication() {
	p, name := j.facts.Publication, quote(j.want.Publication)
	if p == nil {
		j.noPublication()
		return
	}
	before := len(j.findings)
	if !p.all() {
		f := j.add("publication", Fail, fmt.Sprintf("ALTER PUBLICATION %s SET (publish = '%s');", name, publishAll),
			"publication %s leaves out a kind of change, so views would go stale", j.want.Publication)
		// Once all its tables have an identity, for from then on the server asks for it.
		f.phase, f.By = phasePublish, byRole(cmp.Or(p.Owner, j.facts.Role))
	}
	j.option(p.ViaRoot, func(t WantedTable) bool { return t.Partitioned }, "publish_via_partition_root = true",
		"publication %s sends changes of partitioned tables under the names of their partitions")
	j.option(p.Generated || j.facts.Version < generatedVersion, func(t WantedTable) bool { return t.has(StoredGenerated) }, publishGenerated,
		"publication %s leaves out the generated columns of tables: with REPLICA IDENTITY FULL the server would refuse updates of them")
	if p.Stranger != "" {
		f := j.add("publication", Warn, fmt.Sprintf("-- unless it is meant so: ALTER PUBLICATION %s OWNER TO %s;", name, quote(j.facts.Role)),
			"publication %s belongs to role %s, who can take tables and rows out of it, or drop it: clients would start over, or miss changes", j.want.Publication, p.Stranger)
		f.phase, f.By = phasePublication, bySuperuser
	}
	if len(j.findings) == before {
		j.add("publication", Good, "", "%s has %d tables", j.want.Publication, len(p.Tables)).phase = phasePublication
	}
}

func (j *judge) noPublication() {
	if len(j.want.Tables) == 0 && !j.want.NoTables {
		f := j.add("publication", Fail, "-- create a table with a primary key first", "there is no publication %s, and no table with a primary key to publish", j.want.Publication)
		f.phase = phasePublication
		return
	}
	f := j.add("publication", Mendable, fmt.Sprintf("CREATE PUBLICATION %s WITH (%s);", quote(j.want.Publication), j.publicationOptions()),
		"there is no publication %s", j.want.Publication)
	f.phase, f.By = phasePublication, byRole(j.facts.Role)
	if j.facts.Creator != "" {
		f.Level, f.By = Fail, byRole(j.facts.Creator)
		f.Detail += fmt.Sprintf(", and role %s may not create one in this database", j.facts.Role)
	}
}

// option judges an option that some tables need. A publication of others is left as it is: then those tables cannot be
// served.
func (j *judge) option(holds bool, needs func(WantedTable) bool, option, detail string) {
	p := j.facts.Publication
	first := slices.IndexFunc(j.want.Tables, needs)
	if holds || first < 0 {
		return
	}
	detail = fmt.Sprintf(detail, j.want.Publication)
	sql := fmt.Sprintf("ALTER PUBLICATION %s SET (%s);", quote(j.want.Publication), option)
	if p.Owner == "" && !p.AllTables {
		f := j.add("publication", Mendable, sql, "%s, such as %s", detail, j.want.Tables[first])
		f.phase, f.By = phasePublication, byRole(j.facts.Role)
		return
	}
	for _, t := range j.want.Tables {
		if needs(t) {
			f := j.tableFinding(t, Fail, "needs an option of the publication", sql, "%s, and the publication is not the gateway's to alter", detail)
			f.phase, f.By = phasePublication, byRole(cmp.Or(p.Owner, j.facts.Role))
		}
	}
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
	if p == nil {
		return false
	}
	if p.AllTables || p.Tables[t.TableName] {
		return true
	}
	return t.Partitioned && !p.ViaRoot && slices.ContainsFunc(t.Leaves, func(l LeafInfo) bool { return p.Tables[l.TableName] })
}

// membership judges whether the table is in the publication. Tables that inherit from it are others: they do not enter with
// it, for each needs an identity of its own.
func (j *judge) membership(t WantedTable) {
	if j.publishes(t) {
		return
	}
	f := j.tableFinding(t, Mendable, "is not in the publication", AddTableSQL(j.want.Publication, t.TableInfo), "is not in publication %s", j.want.Publication)
	f.phase, f.adds = phaseMembership, true
	// A role that adds it has to own both.
	publisher, owner := j.facts.Creator, cmp.Or(t.Owner, j.facts.Role)
	if p := j.facts.Publication; p != nil {
		publisher = p.Owner
	}
	switch publisher = cmp.Or(publisher, j.facts.Role); {
	case publisher == owner && owner == j.facts.Role:
		f.By = byRole(owner)
	case publisher == owner:
		f.Level, f.By = Fail, byRole(owner)
		f.Detail += fmt.Sprintf(", and role %s owns neither", j.facts.Role)
	default:
		f.Level, f.By = Fail, bySuperuser
		f.Detail += fmt.Sprintf(": it takes the rights of the table's owner, %s, and of the publication's, %s", owner, publisher)
	}
}

// AddTableSQL adds the table alone, without those that inherit from it.
func AddTableSQL(publication string, t *TableInfo) string {
	only := "ONLY "
	if t.Partitioned {
		only = ""
	}
	return fmt.Sprintf("ALTER PUBLICATION %s ADD TABLE %s%s;", quote(publication), only, t.Quoted())
}

const strandedKind = "has no replica identity, and is published"

// stranded finds tables that nobody wants of the publication, and of which the server refuses to update and delete rows.
func (j *judge) stranded() {
	p := j.facts.Publication
	if p == nil || !p.Update && !p.Delete {
		return
	}
	wanted := map[TableName]bool{}
	for _, t := range j.want.Tables {
		wanted[t.TableName] = true
	}
	for _, t := range j.facts.Tables {
		if wanted[t.TableName] {
			continue
		}
		for i := range t.Leaves {
			l := &t.Leaves[i]
			published := p.AllTables || p.Tables[t.TableName] || p.Tables[l.TableName]
			if !published || l.Kind == 'p' || l.Kind == 'f' || l.Usable() {
				continue
			}
			f := j.tableFinding(WantedTable{TableInfo: t}, Warn, strandedKind, fullSQL(l),
				"publication %s has it, and %s has no replica identity: the server refuses every UPDATE and DELETE of its rows", j.want.Publication, l.TableName)
			f.phase, f.By = phaseIdentity, byRole(cmp.Or(l.Owner, j.facts.Role))
			if !p.AllTables && p.Tables[t.TableName] && !t.Partitioned {
				f.Or = fmt.Sprintf("-- or, by the publication's owner: ALTER PUBLICATION %s DROP TABLE ONLY %s;", quote(j.want.Publication), t.Quoted())
			}
		}
	}
}
