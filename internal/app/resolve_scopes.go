package app

import (
	"context"
	"fmt"
	"slices"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
)

// scopeSources is an entry's resolveScopes. It is the fanout.ScopeResolver that lets the hub, which knows neither expressions
// nor queries, ask them.
type scopeSources struct {
	ctx     context.Context // for queries
	table   wal.TableName
	sources []scopeSource
	columns []fanout.InputColumn
	image   rowImage
	// broken: one of them is a problem, and nobody knows which scopes it would have served.
	broken bool
}

// scopeSource is one element of resolveScopes, an expression or a query, or a Go function for all of it.
type scopeSource struct {
	place      string // in the file
	scopes     []string
	expression *auth.ScopeResolver
	function   *ChannelFunctions
	query      *auth.ScopeQuery
	lookup     *lookup
	// column is what it comes to where that is a column of the table or of the query, else nil.
	column *wal.ColumnInfo
	// sqlType is that of what query returns, as SQL has it.
	sqlType string
}

// scopeSources is nil where every scope is a column.
func (r *resolver) scopeSources(entry config.Reactive, t *wal.TableInfo, typeOf columnTypes, path string) *scopeSources {
	f := r.functions.Channels[entry.Channel]
	if entry.ResolveScopes == nil && f.ResolveScopes == nil {
		return nil
	}
	s := &scopeSources{ctx: context.WithoutCancel(r.ctx), table: t.TableName, image: rowImage{types: r.served.types}}
	if f.ResolveScopes != nil {
		place := functionPath(entry.Channel, "ResolveColumns")
		s.columns = r.inputs(f.ResolveColumns, entry.Table, typeOf, columnNames(t), place)
		s.sources = []scopeSource{{place: functionPath(entry.Channel, "ResolveScopes"), scopes: entry.Scopes, function: &f}}
	}
	for i, given := range entry.ResolveScopes {
		place := fmt.Sprintf("%s.resolveScopes[%d]", path, i)
		var source *scopeSource
		var names []string
		if given.SQL != "" {
			source, names = r.scopeQuery(given, entry, place)
		} else {
			source, names = r.scopeExpression(given.CEL, t, place, r.known(entry, t))
		}
		inputs := r.inputs(names, entry.Table, typeOf, columnNames(t), place)
		if source == nil || len(inputs) < len(names) {
			s.broken = true
			continue
		}
		for _, scope := range source.scopes {
			if !slices.Contains(entry.Scopes, scope) {
				r.problem(place, fmt.Sprintf("write %s into scopes, or one of them here", scope), "%s is none of the scopes", scope)
			}
		}
		for _, input := range inputs {
			if !slices.Contains(s.columns, input) {
				s.columns = append(s.columns, input)
			}
		}
		if source.query != nil && !r.describe(source, t, entry) {
			s.broken = true
			continue
		}
		s.sources = append(s.sources, *source)
	}
	return s
}

func (r *resolver) scopeExpression(source string, t *wal.TableInfo, place string, known *auth.Types) (*scopeSource, []string) {
	e, err := auth.NewScopeResolver(source, known)
	if err != nil {
		r.problem(place, mismatchFix(err, `write a CEL expression such as "{'col': 'order_id', 'value': row.order_id}"`), "%v", err)
		return nil, nil
	}
	return &scopeSource{place: place, scopes: e.Scopes(), expression: e, column: t.Column(e.Plain())}, e.Columns()
}

func (r *resolver) scopeQuery(given config.ScopeSource, entry config.Reactive, place string) (*scopeSource, []string) {
	q, err := auth.NewScopeQuery(given.SQL)
	switch {
	case err != nil:
		r.problem(place, `write a query such as "select project_id from public.task_list where id = $row.list_id"`, "%v", err)
		return nil, nil
	case given.Col == "" && len(entry.Scopes) != 1:
		r.problem(place, "write {col: project_id, sql: ...} with the scope that the values are of", "there are several scopes, and none of them is named here")
		return nil, nil
	case given.Col == "":
		given.Col = entry.Scopes[0]
	}
	l := &lookup{
		scope: given.Col, query: wal.Lookups{Pool: r.path.pool, Query: q.Text()}, columns: q.Columns(), channel: entry.Channel, answers: map[string]*answer{},
	}
	return &scopeSource{place: place, scopes: []string{given.Col}, query: q, lookup: l}, q.Columns()
}

// describe asks the server what a query is. It returns false where that is a problem.
func (r *resolver) describe(source *scopeSource, t *wal.TableInfo, entry config.Reactive) bool {
	info, err := wal.DescribeQuery(r.ctx, r.path.pool, source.query.Text())
	switch {
	case wal.Temporary(err):
		r.err = err
		return false
	case err != nil:
		why, fix, failed := r.path.explain(r.ctx, source.query, source.query.Text(), err)
		switch {
		case failed != nil:
			r.err = failed
		case why != "":
			r.problem(source.place, fix, "%v: %s", err, why)
		default:
			r.problem(source.place, "mend the query", "%v", err)
		}
		return false
	case len(info.Columns) != 1:
		r.problem(source.place, "select the scope's value alone", "the query returns %d columns", len(info.Columns))
		return false
	}
	switch why, fix, err := r.path.misread(r.ctx, source.query, info.Reads); {
	case err != nil:
		r.err = err
		return false
	case why != "":
		r.problem(source.place, fix, "%s", why)
		return false
	}
	if !r.policies(entry, source.place, "the query of resolveScopes reads it", true, info.Reads...) {
		return false
	}
	source.column, source.sqlType = &info.Columns[0], info.Types[0]
	if _, ok := scopeType(source.column); !ok {
		r.problem(source.place, "cast it to text, or to another type that a scope may have", "the query returns %s, whose values cannot be compared by their text",
			source.column.TypeName)
		return false
	}
	source.lookup.reads = info.Reads
	if form := source.query.Lookup(); form != nil && len(info.Reads) == 1 {
		read, plain, err := wal.Names(r.ctx, r.path.pool, form.Schema, form.Table)
		if err != nil {
			r.err = err
			return false
		}
		if about := r.facts.Table(read); plain && about != nil && read == info.Reads[0] {
			source.lookup.shape, r.err = newLookupShape(r.ctx, r.path.pool, form, about, t, source.lookup.columns)
		}
	}
	r.served.lookups = append(r.served.lookups, source.lookup)
	return r.err == nil
}

// watchLookups finds out which queries can be told when what they read changes.
func (s *served) watchLookups(facts *wal.Facts, publication string) {
	for _, l := range s.lookups {
		l.captured = true
		for _, name := range l.reads {
			if s.publishes(name, facts) {
				continue
			}
			l.captured = false
			s.findings = append(s.findings, wal.Finding{
				Check: "resolveScopes of channel " + l.channel, Level: wal.Warn,
				Detail: fmt.Sprintf("it reads %s, whose changes are not all published: rows go where it had them up to %s ago, and clients keep those that should leave", name, lookupHolds),
				Fix:    publishFix(publication, name, facts),
			})
		}
	}
}

// of returns the sources of a scope, none where it is a column.
func (s *scopeSources) of(scope string) []scopeSource {
	if s == nil {
		return nil
	}
	var sources []scopeSource
	for _, source := range s.sources {
		if slices.Contains(source.scopes, scope) {
			sources = append(sources, source)
		}
	}
	return sources
}

// typeOf is the type by which a scope is compared: that of the table's column of its name, if there is one, else that of
// the columns that it comes to, if these are all of one type; everything else is compared as text.
func (s *scopeSources) typeOf(scope string, column *wal.ColumnInfo) fanout.ScopeType {
	if column != nil {
		if kind, ok := scopeType(column); ok {
			return kind
		}
		return fanout.Text
	}
	var common fanout.ScopeType
	for _, source := range s.of(scope) {
		kind, ok := source.kind()
		if !ok || common != 0 && kind != common {
			return fanout.Text
		}
		common = kind
	}
	return common
}

// kind is the type of what the source comes to, and false where that is not of one type.
func (s *scopeSource) kind() (fanout.ScopeType, bool) {
	if s.column == nil {
		return 0, false
	}
	return scopeType(s.column)
}

// snapshotBy finds out how a snapshot finds the rows of each scope that is no column, and refuses what no query can.
func (r *resolver) snapshotBy(entry config.Reactive, sources *scopeSources, scopes []fanout.Scope) {
	if entry.Snapshot == nil {
		return
	}
	for _, scope := range scopes {
		found := snapshotMatch{alias: sources.alias()}
		for _, source := range sources.of(scope.Column) {
			switch kind, ok := source.kind(); {
			case source.function != nil:
				r.problem(source.place, "delete snapshot", "no snapshot can be read by scope %s, for no query knows which rows a function puts there", scope.Column)
				return
			case !ok || kind != scope.Type:
				r.problem(source.place, fmt.Sprintf("write {'col': '%s', 'value': row.COLUMN}, or {col: %[1]s, sql: \"select ... $row.COLUMN\"}, "+
					"of the scope's type, or delete snapshot", scope.Column),
					"no snapshot can be read by scope %s, for what it comes to is more than a column", scope.Column)
				return
			case source.query != nil:
				found.match = append(found.match, wal.SnapshotMatch{Query: source.query.Correlated(found.alias), Type: source.sqlType})
				found.reads = append(found.reads, source.lookup.reads...)
			default:
				found.match = append(found.match, wal.SnapshotMatch{Column: source.column.Name})
			}
		}
		if found.match != nil {
			r.served.matches[scopeName{entry.Channel, scope.Column}] = found
		}
	}
}

// alias is a name for the table that no query uses.
func (s *scopeSources) alias() string {
	alias := "mtbreactive_row"
	for slices.ContainsFunc(s.sources, func(source scopeSource) bool { return source.query != nil && source.query.Mentions(alias) }) {
		alias += "_"
	}
	return alias
}

// resolver is what the hub asks: with queries it has to ask itself first.
func (s *scopeSources) resolver() fanout.ScopeResolver {
	if slices.ContainsFunc(s.sources, func(source scopeSource) bool { return source.lookup != nil }) {
		return lookingUp{s}
	}
	return s
}

// Resolve implements fanout.ScopeResolver.
func (s *scopeSources) Resolve(t *cdc.Table, row cdc.Row) ([]fanout.RowScope, error) {
	s.image.set(t, row)
	var found []fanout.RowScope
	for _, source := range s.sources {
		if source.lookup != nil {
			scopes, err := source.lookup.resolve(t, row)
			if err != nil {
				return nil, err
			}
			found = append(found, scopes...)
			continue
		}
		scopes, err := source.resolve(&s.image)
		if err != nil {
			return nil, err
		}
		for _, scope := range scopes {
			text, ok := scope.Text() // of an expression's scope there always is one
			if !ok {
				return nil, fmt.Errorf("the value of scope %s is a %T: return an int64, a bool or a string", scope.Column, scope.Value)
			}
			found = append(found, fanout.RowScope{Column: scope.Column, Value: text})
		}
	}
	return found, nil
}

// resolve asks what is no query.
func (s *scopeSource) resolve(row *rowImage) ([]auth.Scope, error) {
	if s.function != nil {
		return s.function.resolve(row)
	}
	return s.expression.Resolve(row)
}

// lookingUp is a fanout.LookupResolver.
type lookingUp struct{ *scopeSources }

// Prepare implements fanout.LookupResolver.
func (s lookingUp) Prepare(tx *cdc.Transaction, needed bool) (all bool, stale []fanout.RowScope) {
	about := slices.ContainsFunc(tx.Tables(), func(t *cdc.Table) bool { return s.table == wal.TableName{Schema: t.Schema, Name: t.Name} })
	for _, source := range s.sources {
		if source.lookup == nil {
			continue
		}
		everything, values := source.lookup.changed(tx)
		all = all || everything
		for _, value := range values {
			stale = append(stale, fanout.RowScope{Column: source.lookup.scope, Value: value})
		}
		if needed && about || source.lookup.crowded() {
			source.lookup.prepare(s.ctx, s.table, tx)
		}
	}
	return all, stale
}

// Forget implements fanout.LookupResolver.
func (s lookingUp) Forget() {
	for _, source := range s.sources {
		if source.lookup != nil {
			source.lookup.forget()
		}
	}
}
