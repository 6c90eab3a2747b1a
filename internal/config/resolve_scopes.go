package config

import "github.com/goccy/go-yaml/ast"

// ScopeSource says where scopes of a row come from that are not its own columns. One of CEL and SQL is set.
type ScopeSource struct {
	// CEL is an expression over row that comes to {'col': ..., 'value': ...} or to a list of such maps.
	CEL string
	// SQL is a query for the values of the scope Col. $row.column stands for the row's value.
	SQL string
	// Col may be empty where the table has one scope only.
	Col string
}

// resolveScopes reads the key of that name: a list of expressions and queries, or one query.
func (d *document) resolveScopes(path string, node ast.Node) []ScopeSource {
	switch list := node.(type) {
	case *ast.MappingNode:
		return []ScopeSource{d.scopeQuery(path, node)}
	case *ast.SequenceNode:
		if len(list.Values) == 0 {
			d.fail(path, list.Start, "resolveScopes is an empty list", "list at least one expression, or delete the key")
		}
	default:
		d.failType(path, node, `a list such as ["{'col': 'order_id', 'value': row.order_id}"], or {col: project_id, sql: "select ..."}`)
		return nil
	}
	var sources []ScopeSource
	for _, e := range d.list(path, node) {
		if _, ok := e.node.(*ast.MappingNode); ok {
			sources = append(sources, d.scopeQuery(e.path, e.node))
			continue
		}
		var source ScopeSource
		one(d, kindText, program, &source.CEL)(e.path, e.node)
		sources = append(sources, source)
	}
	return sources
}

func (d *document) scopeQuery(path string, node ast.Node) ScopeSource {
	var s ScopeSource
	before := len(d.problems)
	d.mapping(path, node, []key{
		{"col", one(d, kindText, catalogName, &s.Col)},
		{"sql", one(d, kindText, program, &s.SQL)},
	})
	if len(d.problems) == before {
		d.required(path, "sql", s.SQL != "", `write a query such as "select project_id from public.task_list where id = $row.list_id"`)
	}
	return s
}
