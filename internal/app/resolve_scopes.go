package app

import (
	"fmt"
	"slices"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal"
)

// scopeSources is an entry's resolveScopes. It is the fanout.ScopeResolver that lets the hub, which knows no expressions,
// ask them.
type scopeSources struct {
	sources []scopeSource
	columns []fanout.InputColumn
	image   rowImage
}

// scopeSource is one element of resolveScopes.
type scopeSource struct {
	*auth.ScopeResolver
	place string // in the file
	// plain is the column that it comes to where it is no more than that, else nil.
	plain *wal.ColumnInfo
}

// scopeSources is nil where every scope is a column.
func (r *resolver) scopeSources(entry config.Reactive, t *wal.TableInfo, typeOf columnTypes, path string) *scopeSources {
	if entry.ResolveScopes == nil {
		return nil
	}
	s := &scopeSources{image: rowImage{types: r.served.types}}
	for i, source := range entry.ResolveScopes {
		place := fmt.Sprintf("%s.resolveScopes[%d]", path, i)
		expression, err := auth.NewScopeResolver(source)
		if err != nil {
			r.problem(place, `write a CEL expression such as "{'col': 'order_id', 'value': row.order_id}"`, "%v", err)
			continue
		}
		for _, scope := range expression.Scopes() {
			if !slices.Contains(entry.Scopes, scope) {
				r.problem(place, fmt.Sprintf("write %s into scopes, or one of them here", scope), "%s is none of the scopes", scope)
			}
		}
		for _, input := range r.inputs(expression.Columns(), entry.Table, typeOf, columnNames(t), place) {
			if !slices.Contains(s.columns, input) {
				s.columns = append(s.columns, input)
			}
		}
		s.sources = append(s.sources, scopeSource{expression, place, t.Column(expression.Plain())})
	}
	return s
}

// of returns the sources of a scope, none where it is a column.
func (s *scopeSources) of(scope string) []scopeSource {
	if s == nil {
		return nil
	}
	var sources []scopeSource
	for _, source := range s.sources {
		if slices.Contains(source.Scopes(), scope) {
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
		kind, ok := fanout.ScopeType(0), false
		if source.plain != nil {
			kind, ok = scopeType(source.plain)
		}
		if !ok || common != 0 && kind != common {
			return fanout.Text
		}
		common = kind
	}
	return common
}

// snapshotBy finds out how a snapshot finds the rows of each scope that is no column, and refuses what no query can.
func (r *resolver) snapshotBy(entry config.Reactive, sources *scopeSources, scopes []fanout.Scope, path string) {
	if entry.Snapshot == nil {
		return
	}
	for _, scope := range scopes {
		var matches []wal.SnapshotMatch
		for _, source := range sources.of(scope.Column) {
			kind, ok := fanout.ScopeType(0), false
			if source.plain != nil {
				kind, ok = scopeType(source.plain)
			}
			if !ok || kind != scope.Type {
				r.problem(source.place, fmt.Sprintf("write {'col': '%s', 'value': row.COLUMN} with a column of the scope's type, or delete snapshot", scope.Column),
					"no snapshot can be read by scope %s, for what it comes to is more than a column", scope.Column)
				break
			}
			matches = append(matches, wal.SnapshotMatch{Column: source.plain.Name})
		}
		if matches != nil {
			r.served.matches[scopeName{entry.Channel, scope.Column}] = matches
		}
	}
}

// Resolve implements fanout.ScopeResolver.
func (s *scopeSources) Resolve(t *cdc.Table, row cdc.Row) ([]fanout.RowScope, error) {
	s.image.set(t, row)
	var found []fanout.RowScope
	for _, source := range s.sources {
		scopes, err := source.ScopeResolver.Resolve(&s.image)
		if err != nil {
			return nil, err
		}
		for _, scope := range scopes {
			text, _ := scope.Text() // of a resolver's scope there always is one
			found = append(found, fanout.RowScope{Column: scope.Column, Value: text})
		}
	}
	return found, nil
}
