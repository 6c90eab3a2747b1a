package config

import (
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"
)

// reactive reads the section of that name. It returns nil only when it reported a problem.
func (d *document) reactive(path string, node ast.Node) []Reactive {
	if sequence, ok := node.(*ast.SequenceNode); ok && len(sequence.Values) == 0 {
		d.fail(path, sequence.Start, "reactive lists no table", "list at least one, or delete the key to serve every table of the publication")
	}
	var entries []Reactive
	tableLines, channelLines := map[TableName]int{}, map[string]int{}
	for _, e := range d.list(path, node) {
		before := len(d.problems)
		entry := d.reactiveEntry(e.path, e.node)
		if len(d.problems) > before {
			continue
		}
		if line := tableLines[entry.Table]; line > 0 {
			d.failAt(e.path+".table", fmt.Sprintf("table %s is listed twice, first in line %d", entry.Table, line),
				"keep one of them, with the scopes of both")
		} else if line := channelLines[entry.Channel]; line > 0 {
			d.failAt(e.path+".channel", fmt.Sprintf("channel %s is taken by the table in line %d", quote(entry.Channel), line),
				"write a channel of its own")
		}
		tableLines[entry.Table] = d.places[e.path].Line
		channelLines[entry.Channel] = d.places[e.path].Line
		entries = append(entries, entry)
	}
	return entries
}

// reactiveEntry reads one table of the section.
func (d *document) reactiveEntry(path string, node ast.Node) Reactive {
	r := Reactive{Source: SourceWAL}
	before := len(d.problems)
	d.mapping(path, node, []key{
		{"table", one(d, kindText, tableName, &r.Table)},
		{"channel", one(d, kindText, channelName, &r.Channel)},
		{"source", one(d, kindText, oneOf(SourceWAL, SourceNotify, SourceHook), &r.Source)},
		{"scopes", some(d, catalogName, &r.Scopes)},
		{"resolveScopes", func(path string, node ast.Node) { r.ResolveScopes = d.resolveScopes(path, node) }},
		{"snapshot", func(path string, node ast.Node) {
			r.Snapshot = &Snapshot{Limit: defaultLimit}
			d.mapping(path, node, []key{
				{"limit", one(d, kindNumber, count, &r.Snapshot.Limit)},
				{"orderBy", one(d, kindText, orderBy, &r.Snapshot.OrderBy)},
			})
		}},
		{"batchMs", one(d, kindNumber, milliseconds, &r.Batch)},
		{"authorize", func(path string, node ast.Node) { r.Authorize = d.authorize(path, node) }},
		{"rowSecurity", one(d, kindText, oneOf(RowSecurityBypassed), &r.RowSecurity)},
		{"filterRow", one(d, kindText, program, &r.FilterRow)},
		{"columns", func(path string, node ast.Node) {
			d.mapping(path, node, []key{
				{"exclude", some(d, catalogName, &r.Columns.Exclude)},
			})
			if mapping, ok := node.(*ast.MappingNode); ok && len(mapping.Values) == 0 {
				d.fail(path, mapping.Start, "columns is empty", "write columns: {exclude: [secret]}, or delete the key")
			}
		}},
	})
	if len(d.problems) > before {
		return r
	}
	if r.Table == (TableName{}) {
		d.failAt(path, "table is missing", "write table: schema.name")
	}
	if r.Channel == "" {
		r.Channel = r.Table.Name
	}
	if r.ResolveScopes != nil && r.Scopes == nil {
		d.failAt(path+".resolveScopes", "resolveScopes has no scopes to come to", "name them in scopes")
	}
	if r.Source != SourceWAL && r.Scopes == nil {
		d.failAt(path, "scopes is missing, and only for source: wal the database tells", "list the columns by which clients subscribe")
	}
	for i, scope := range r.Scopes {
		if slices.Contains(r.Columns.Exclude, scope) {
			d.failAt(fmt.Sprintf("%s.scopes[%d]", path, i), fmt.Sprintf("scope %q is excluded by columns", scope),
				"keep it in one of the two: clients see what they subscribe by")
		}
	}
	return r
}

// one reads a value of a kind.
func one[T any](d *document, as kind, parse func(string) (T, *mistake), value *T) func(string, ast.Node) {
	return func(path string, node ast.Node) {
		d.problems = append(d.problems, understand(d.values(path, node, as, false), func(text string) (m *mistake) {
			*value, m = parse(text)
			return m
		})...)
	}
}

// some reads a list of at least one text into values.
func some[T any](d *document, parse func(string) (T, *mistake), values *[]T) func(string, ast.Node) {
	return func(path string, node ast.Node) {
		if sequence, ok := node.(*ast.SequenceNode); ok && len(sequence.Values) == 0 {
			d.fail(path, sequence.Start, lastKey(path)+" is an empty list", "list at least one column, or delete the key")
		}
		d.problems = append(d.problems, understand(d.values(path, node, kindList, false), func(text string) *mistake {
			value, m := parse(text)
			*values = append(*values, value)
			return m
		})...)
	}
}
