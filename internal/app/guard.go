package app

import (
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/wal"
)

// guard lets the hub, which knows no policies, look again at who may be subscribed, when a table has changed that an
// authorizer asks. It is a fanout.Guard.
type guard struct {
	authorizer queried
	channel    string
	tables     map[fanout.TableName]*guardTable
}

// queried is an authorizer that asks the database.
type queried interface {
	auth.Authorizer
	Text() (sql string, parameters int)
	Membership() *auth.Membership
	Forget()
}

// guardTable is a table that the authorizer's query reads.
type guardTable struct {
	// membership says which rows matter to whom; nil where any change may matter to all.
	membership *auth.Membership
	columns    []guardColumn // by membership.Columns
	// scope is the channel's scope column whose values are those of columns[scopeAt] in the same text; empty for none.
	scope   string
	scopeAt int
}

// guardColumn is a column that the query compares with something.
type guardColumn struct {
	name string
	oid  uint32
	kind fanout.ScopeType // 0 where equal values may have different texts
}

// guards gives each channel whose authorizer asks published tables its guard. The findings are what cannot be guarded.
func (a *access) guards(ctx context.Context, pool *pgxpool.Pool, facts *wal.Facts, tables *served, publication string) ([]wal.Finding, error) {
	var findings []wal.Finding
	for i := range tables.channels {
		ch := &tables.channels[i]
		authorizer, ok := a.authorizers[ch.Name].(queried)
		if !ok {
			continue
		}
		reads, err := a.tablesRead(ctx, pool, ch.Name, authorizer)
		if err != nil {
			return nil, err
		}
		g := &guard{authorizer: authorizer, channel: ch.Name, tables: map[fanout.TableName]*guardTable{}}
		for _, name := range reads {
			if !tables.publishes(name, facts) {
				findings = append(findings, wal.Finding{
					Check: "authorize of channel " + ch.Name, Level: wal.Warn,
					Detail: fmt.Sprintf("it reads %s, whose changes are not all published: a client that loses a right there keeps its subscriptions until it reconnects", name),
					Fix:    publishFix(publication, name, facts),
				})
				continue
			}
			g.tables[fanout.TableName(name)] = &guardTable{}
		}
		if len(g.tables) == 0 {
			continue
		}
		if m := authorizer.Membership(); m != nil && len(reads) == 1 {
			name, plain, err := wal.Names(ctx, pool, m.Schema, m.Table)
			if err != nil {
				return nil, err
			}
			if plain && name == reads[0] {
				g.tables[fanout.TableName(name)] = newGuardTable(m, facts.Table(name), ch, a.scopeColumns[ch.Name])
			}
		}
		ch.Guard = g
	}
	return findings, nil
}

// publishFix is what has a table's changes published, whole.
func publishFix(publication string, name wal.TableName, facts *wal.Facts) string {
	t, p := facts.Table(name), facts.Publication
	switch {
	case t == nil:
		return "-- it is no ordinary table: let the query read the tables behind it"
	case p != nil && p.Filtered[name]:
		return fmt.Sprintf("-- drop the row filter of %s from publication %s", name.Quoted(), wal.Quote(publication))
	case p != nil && p.Tables[name]:
		return fmt.Sprintf("ALTER PUBLICATION %s SET (publish_via_partition_root = true);", wal.Quote(publication))
	}
	fix := wal.AddTableSQL(publication, t)
	for _, leaf := range t.Leaves { // first, for the server refuses to update and delete what it could not tell of
		if leaf.Identity != 'f' {
			fix = fmt.Sprintf("ALTER TABLE %s REPLICA IDENTITY FULL; ", leaf.Quoted()) + fix
		}
	}
	return fix
}

// publishes tells whether the stream brings every change of a table, once what is wanted was set up.
func (s *served) publishes(name wal.TableName, facts *wal.Facts) bool {
	if p := facts.Publication; p != nil && p.Filtered[name] {
		return false
	}
	t := facts.Table(name)
	wanted := slices.ContainsFunc(s.wanted, func(w wal.WantedTable) bool { return w.TableName == name })
	return t != nil && (wanted || facts.Publication != nil && facts.Publication.Includes(t))
}

// newGuardTable makes the description of a table whose rows are memberships. Where the table lacks a column, every change
// matters to all.
func newGuardTable(m *auth.Membership, t *wal.TableInfo, ch *fanout.Channel, scope string) *guardTable {
	g := &guardTable{membership: m, scopeAt: m.Scope()}
	for _, name := range m.Columns() {
		column := t.Column(name)
		if column == nil {
			return &guardTable{}
		}
		kind, _ := scopeType(column)
		g.columns = append(g.columns, guardColumn{name, column.TypeOID, kind})
	}
	at := slices.IndexFunc(ch.Scopes, func(s fanout.Scope) bool { return s.Column == scope })
	if g.scopeAt >= 0 && at >= 0 && g.columns[g.scopeAt].kind.SameText(ch.Scopes[at].Type) {
		g.scope = scope
	}
	return g
}

// Tables implements fanout.Guard.
func (g *guard) Tables() []fanout.TableName {
	var names []fanout.TableName
	for name := range g.tables {
		names = append(names, name)
	}
	return names
}

// Forget implements fanout.Guard.
func (g *guard) Forget() { g.authorizer.Forget() }

// Authorize implements fanout.Guard.
func (g *guard) Authorize(ctx context.Context, viewer any, s fanout.ScopeValue) error {
	principal, _ := viewer.(*auth.Principal) // nobody is let through as nil
	return g.authorizer.Authorize(ctx, principal, g.subscription(s))
}

func (g *guard) subscription(s fanout.ScopeValue) auth.Subscription {
	return auth.Subscription{Channel: g.channel, Scope: auth.Scope{Column: s.Column, Value: s.Native()}}
}

// Concerns implements fanout.Guard: a change may matter to those for whom the row, as it was or as it is, makes a difference.
// What is not known may matter to all.
func (g *guard) Concerns(c *cdc.Change) []fanout.Concern {
	all := []fanout.Concern{{}}
	t := g.tables[fanout.TableName{Schema: c.Table.Schema, Name: c.Table.Name}]
	if t.membership == nil || c.Op.OfTable() {
		return all
	}
	was, now, known := t.images(c)
	if !known {
		return all
	}
	if c.Op == cdc.Update && slices.EqualFunc(was, now, cdc.Value.Equal) {
		return nil
	}
	var concerns []fanout.Concern
	for _, image := range [][]cdc.Value{was, now} {
		if concern, ok := g.concern(t, image); ok {
			concerns = append(concerns, concern)
		}
	}
	return concerns
}

// images returns what the row had in the columns and has, nil where there was or is no row, and false where that is not
// known.
func (t *guardTable) images(c *cdc.Change) (was, now []cdc.Value, known bool) {
	for _, column := range t.columns {
		at := c.Table.Column(column.name)
		if at < 0 || c.Table.Columns[at].TypeOID != column.oid {
			return nil, nil, false
		}
		before, after := c.Before.Value(at), c.After.Value(at)
		switch {
		case c.Op == cdc.Update && c.Before == nil && c.Table.Columns[at].Identity: // which the update left alone
			before = after
		case c.Op == cdc.Update && after.State == cdc.Absent:
			after = before
		}
		if c.Op != cdc.Insert {
			was = append(was, before)
		}
		if c.Op != cdc.Delete {
			now = append(now, after)
		}
		if c.Op != cdc.Insert && before.State == cdc.Absent || c.Op != cdc.Delete && after.State == cdc.Absent {
			return nil, nil, false
		}
	}
	return was, now, true
}

// concern returns false where the row is nobody's: it has a NULL, or is none.
func (g *guard) concern(t *guardTable, row []cdc.Value) (fanout.Concern, bool) {
	if row == nil || slices.ContainsFunc(row, func(v cdc.Value) bool { return v.State == cdc.Null }) {
		return fanout.Concern{}, false
	}
	concern := fanout.Concern{Client: func(viewer any, s fanout.ScopeValue) bool {
		principal, _ := viewer.(*auth.Principal)
		values, ok := t.membership.Values(principal, g.subscription(s))
		if !ok {
			return true // it should not be there, and will be asked about
		}
		for i, column := range t.columns {
			// What is not canonical may still be equal.
			if text, ok := column.kind.Canonical(values[i]); ok && text != string(row[i].Text) {
				return false
			}
		}
		return true
	}}
	if t.scope != "" {
		concern.Column, concern.Value = t.scope, string(row[t.scopeAt].Text)
	}
	return concern, true
}
