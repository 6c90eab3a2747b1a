package wal

import (
	"fmt"
	"slices"
	"strings"
)

// phase is where a finding's SQL stands in the order in which all of it may be run, with a stop after any statement.
type phase int

// The phases. A table's replica identity comes before its membership of the publication, for in between the server would
// refuse to update and delete rows. All kinds of changes are published last, for that asks for an identity of every table.
const (
	phaseServer      phase = iota // settings and rights
	phasePublication              // it exists, and its options are right
	phaseIdentity                 // of each table
	phaseMembership               // tables enter
	phasePublish                  // all kinds of changes are published
	phaseSlot
)

const bySuperuser = "a superuser"

func byRole(name string) string { return "role " + name }

// inOrder sorts by phase, and keeps the order within each.
func inOrder(findings []Finding) []Finding {
	slices.SortStableFunc(findings, func(a, b Finding) int { return int(a.phase) - int(b.phase) })
	return findings
}

// WithSchema puts what is to be done about schema mtbreactive into its place among findings in order: behind the server's
// settings, and before all that is made with the schema there.
func WithSchema(findings []Finding, schema Finding) []Finding {
	at := slices.IndexFunc(findings, func(f Finding) bool { return f.phase > phaseServer })
	if at < 0 {
		at = len(findings)
	}
	return slices.Insert(findings, at, schema)
}

// leaveOut makes failures of tables that nobody has named warnings. What else there is to mend of such a table stays as it
// is: it would be altered for nothing.
func leaveOut(findings []Finding, want Wanted) []Finding {
	optional, out := map[TableName]bool{}, map[TableName]bool{}
	for _, t := range want.Tables {
		optional[t.TableName] = t.Optional
	}
	for i := range findings {
		f := &findings[i]
		if f.Level == Fail && optional[f.Table] {
			f.Level, f.LeftOut, f.Detail, out[f.Table] = Warn, true, "is not served: "+f.Detail, true
		}
	}
	return slices.DeleteFunc(findings, func(f Finding) bool { return f.Level == Mendable && out[f.Table] })
}

// Needed tells whether Fix mends something that keeps the table or all from being served, or an application from writing.
func (f *Finding) Needed() bool { return f.Level >= Mendable || f.LeftOut || f.Kind == strandedKind }

// Group is what some findings say in common.
type Group struct {
	Findings []Finding // the first of them
	More     []Finding // those that are not told one by one
}

// Groups gathers what many tables have in common, most of each kind one by one, and keeps the order.
func Groups(findings []Finding, most int) []Group {
	type sort struct {
		kind, by string
		level    Level
	}
	var groups []Group
	known := map[sort]int{}
	for _, f := range findings {
		key := sort{f.Kind, f.By, f.Level}
		at, ok := known[key]
		if !ok || f.Kind == "" {
			at = len(groups)
			groups = append(groups, Group{})
			if f.Kind != "" {
				known[key] = at
			}
		}
		if g := &groups[at]; len(g.Findings) < most {
			g.Findings = append(g.Findings, f)
		} else {
			g.More = append(g.More, f)
		}
	}
	return groups
}

// Summary says in a line what the findings of More have in common; empty where there are none.
func (g Group) Summary() string {
	if len(g.More) == 0 {
		return ""
	}
	var names []string
	for _, f := range g.More {
		names = append(names, f.Table.String())
	}
	return fmt.Sprintf("and %d more: each %s: %s", len(names), g.More[0].Kind, Some(names))
}

// Some lists the first names, and counts the others.
func Some(names []string) string {
	const most = 10
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// turn is what one transaction does to a table, or to one partition of it.
type turn struct {
	leaf  *LeafInfo
	steps []Finding
}

// tablePlan is what is to be done for one table.
type tablePlan struct {
	table   WantedTable
	turns   []turn
	leftOut []Finding
}

// planTables picks, of findings in order, what is to be done for each wanted table. Each relation is altered in a transaction
// of its own, the table itself last and together with its entering the publication.
func planTables(want Wanted, findings []Finding) []tablePlan {
	plans := make([]tablePlan, len(want.Tables))
	at := map[TableName]int{}
	for i, t := range want.Tables {
		plans[i].table, at[t.TableName] = t, i
	}
	last := map[TableName]turn{}
	for _, f := range findings {
		i, ok := at[f.Table]
		if !ok {
			continue
		}
		p := &plans[i]
		own := p.table.leaf()
		switch {
		case f.LeftOut:
			p.leftOut = append(p.leftOut, f)
		case f.Level != Mendable:
		case f.adds || f.leaf != nil && own != nil && f.leaf.OID == own.OID:
			last[f.Table] = turn{own, append(last[f.Table].steps, f)}
		case f.leaf != nil:
			p.turns = append(p.turns, turn{f.leaf, []Finding{f}})
		}
	}
	for i := range plans {
		if t, ok := last[plans[i].table.TableName]; ok {
			plans[i].turns = append(plans[i].turns, t)
		}
	}
	return plans
}

// leaf is the table itself among its leaves.
func (t *TableInfo) leaf() *LeafInfo {
	for i := range t.Leaves {
		if t.Leaves[i].TableName == t.TableName {
			return &t.Leaves[i]
		}
	}
	return nil
}
