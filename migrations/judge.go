package migrations

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// Foreign is something about schema mtbreactive that the gateway did not make so.
type Foreign struct {
	Object  string // in words
	Problem string
	Fix     string // SQL
}

// ForeignError says that schema mtbreactive, or something in it, is not the gateway's own. Nothing of it was run.
type ForeignError struct {
	Found []Foreign // at most maxForeign
	More  int       // that are left out of it
}

// maxForeign bounds what is told of a schema that somebody else has filled.
const maxForeign = 20

// Error implements error.
func (e *ForeignError) Error() string {
	return "schema mtbreactive is not the gateway's own: " + e.Detail()
}

// Detail lists what was found.
func (e *ForeignError) Detail() string {
	var list []string
	for _, f := range e.Found {
		list = append(list, f.Object+" "+f.Problem)
	}
	if e.More > 0 {
		list = append(list, fmt.Sprintf("and %d more", e.More))
	}
	return strings.Join(list, "; ")
}

// Fix is the SQL that mends what was found.
func (e *ForeignError) Fix() string {
	var list []string
	for _, f := range e.Found {
		if !slices.Contains(list, f.Fix) {
			list = append(list, f.Fix)
		}
	}
	return strings.Join(list, "\n")
}

// judge finds what is not ours. While migrations are pending, what they make may be missing, and functions may be older ones.
func (i *inspection) judge(want *shape, pending bool) error {
	j := &judge{inspection: i, want: want, pending: pending, seen: map[string]bool{}}
	for _, p := range i.parts {
		if p.kind == "schema" {
			j.part(p)
		}
	}
	for _, p := range i.parts {
		if p.kind != "schema" {
			j.part(p)
		}
	}
	if !pending {
		j.missing()
	}
	if len(j.found) == 0 {
		return nil
	}
	kept := min(len(j.found), maxForeign)
	return &ForeignError{Found: j.found[:kept], More: len(j.found) - kept}
}

type judge struct {
	*inspection
	want    *shape
	pending bool
	seen    map[string]bool // parts that are there as they should be
	found   []Foreign
}

func (j *judge) add(object, problem, fix string, args ...any) {
	j.found = append(j.found, Foreign{Object: object, Problem: problem, Fix: fmt.Sprintf(fix, args...)})
}

// startOver is for what can only be made again with all else.
const startOver = "DROP SCHEMA mtbreactive CASCADE; -- look at it first; then run `reactive-gw migrate up`: clients start over"

func (j *judge) part(p part) {
	if !p.ours && !strings.HasPrefix(p.kind, "grant on ") {
		if table, ok := strings.CutSuffix(p.name, "_id_seq"); ok && p.detail == "sequence" && j.owns(p.role, table) {
			return // it goes with its table
		}
		j.stranger(p)
		return
	}
	switch p.kind {
	case "schema", "publication", "type", "operator":
	case "relation":
		j.relation(p)
	case "function":
		j.function(p)
	case "grant on schema", "grant on relation", "grant on column":
		j.grant(p)
	default:
		if known := j.want.parts[p.parent]; known != nil {
			j.ofTable(p, known)
		}
	}
}

// owns tells whether a role owns a relation of the schema.
func (j *judge) owns(role, relation string) bool {
	return slices.ContainsFunc(j.parts, func(p part) bool { return p.kind == "relation" && p.name == relation && p.role == role })
}

// stranger is an object that somebody else owns, so that it does what they want.
func (j *judge) stranger(p part) {
	object, sql := p.kind+" "+inSchema(p.name), strings.ToUpper(p.kind)+" "+inSchema(p.name)
	switch p.kind {
	case "schema", "publication":
		object, sql = p.kind+" "+p.name, strings.ToUpper(p.kind)+" "+p.name
	case "relation":
		object = p.detail + " " + inSchema(p.name)
		kind, _, _ := strings.Cut(p.detail, ",")
		sql = strings.ToUpper(strings.TrimPrefix(kind, "partitioned ")) + " " + inSchema(p.name)
	case "function":
		sql = "ROUTINE " + signature(p.name)
		object = "function " + signature(p.name)
	case "operator":
		object, sql = "operator "+p.name, "OPERATOR "+p.name
	}
	drop := "DROP " + sql + " CASCADE;"
	if p.kind == "publication" {
		drop = "DROP " + sql + ";"
	}
	j.add(object, fmt.Sprintf("belongs to role %s, which is neither %s nor a superuser nor the owner of the database", p.role, j.role),
		"%s -- look at it first; or, if %s is a role of yours: ALTER %s OWNER TO %s;", drop, p.role, sql, quote(j.role))
}

func (j *judge) relation(p part) {
	want, known := j.want.relations[p.name]
	switch {
	case !known: // somebody whom we trust keeps it there
	case want == p.detail:
		j.seen[p.name] = true
	case strings.HasPrefix(p.detail, "table, row level security"):
		j.add("table "+inSchema(p.name), "has row level security", "ALTER TABLE %s DISABLE ROW LEVEL SECURITY;", inSchema(p.name))
	default:
		j.add("relation "+inSchema(p.name), fmt.Sprintf("is a %s, not a %s", p.detail, want), startOver)
	}
}

func (j *judge) function(p part) {
	versions, known := j.want.functions[p.name]
	if !known {
		return // our role, or who it trusts, keeps it there
	}
	current := versions[len(versions)-1]
	if !j.pending {
		versions = versions[len(versions)-1:]
	}
	same := slices.ContainsFunc(versions, func(r routine) bool { return r.detail == p.detail && r.body == p.body })
	switch {
	case same:
		j.seen[p.name] = true
	case j.want.gone[p.name]:
		j.add("function "+signature(p.name), "is not the gateway's", "DROP ROUTINE %s CASCADE;", signature(p.name))
	case current.detail != p.detail && !j.pending:
		j.add("function "+signature(p.name), fmt.Sprintf("is a %s, not a %s", p.detail, current.detail), startOver)
	default:
		j.add("function "+signature(p.name), "does not do what the gateway's does",
			"%s", strings.Replace(current.statement, "create function", "create or replace function", 1))
	}
}

// ofTable judges a part of a table of ours.
func (j *judge) ofTable(p part, known map[string]string) {
	table := inSchema(p.parent)
	object := p.kind + " " + quote(p.name) + " of " + table
	if want, ok := known[p.kind+" "+p.name]; ok {
		if want != p.detail {
			j.add(object, fmt.Sprintf("is %q, not %q", p.detail, want), startOver)
			return
		}
		j.seen[p.parent+" "+p.kind+" "+p.name] = true
		return
	}
	const foreign = "is not the gateway's"
	switch p.kind {
	case "column":
		j.add(object, foreign, "ALTER TABLE %s DROP COLUMN %s CASCADE;", table, quote(p.name))
	case "constraint":
		j.add(object, foreign, "ALTER TABLE %s DROP CONSTRAINT %s;", table, quote(p.name))
	case "reference":
		j.add("constraint "+quote(p.name)+" of "+p.detail, "refers to "+table, "ALTER TABLE %s DROP CONSTRAINT %s;", p.detail, quote(p.name))
	case "index":
		j.add(object, foreign, "DROP INDEX %s;", inSchema(p.name))
	case "trigger":
		j.add(object, "is not the gateway's: it runs "+p.detail, "DROP TRIGGER %s ON %s;", quote(p.name), table)
	case "rule":
		j.add(object, foreign, "DROP RULE %s ON %s;", quote(p.name), table)
	case "policy":
		j.add(object, foreign, "DROP POLICY %s ON %s;", quote(p.name), table)
	case "child":
		j.add("table "+p.name, "inherits from "+table, "ALTER TABLE %s NO INHERIT %s;", p.name, table)
	case "parent":
		j.add("table "+table, "inherits from "+p.name, "ALTER TABLE %s NO INHERIT %s;", table, p.name)
	case "statistics":
		j.add("statistics "+p.detail+" of "+table, foreign, "DROP STATISTICS %s;", p.detail)
	}
}

// grant judges a right. Nobody else may put anything into the schema, or code onto a table of ours. To write what the gateway
// writes is for roles that may replicate: they are gateways, and read everything anyway. Any role may be granted the outbox.
func (j *judge) grant(p part) {
	column := ""
	table := p.name
	if p.kind == "grant on column" {
		table, column = p.parent, " ("+quote(p.name)+")"
	}
	switch known := j.want.parts[table] != nil || j.want.relations[table] != ""; {
	case p.ours:
		return
	case p.kind == "grant on schema":
		if p.detail != "CREATE" {
			return
		}
	case !known, p.detail == "SELECT", strings.HasSuffix(table, "_seq") && p.detail == "USAGE":
		return
	case table == "outbox" && (p.detail == "INSERT" || p.detail == "DELETE") && !p.public:
		return
	case p.replicates && (table == "checkpoint" && (p.detail == "INSERT" || p.detail == "UPDATE") || table == "setup" && p.detail == "INSERT"):
		return
	}
	role, who := quote(p.role), "role "+p.role
	if p.public {
		role, who = "PUBLIC", "everybody"
	}
	if p.kind == "grant on schema" {
		j.add("schema mtbreactive", fmt.Sprintf("lets %s create objects", who), "REVOKE CREATE ON SCHEMA mtbreactive FROM %s CASCADE;", role)
		return
	}
	kind := "TABLE"
	if strings.HasSuffix(table, "_seq") {
		kind = "SEQUENCE"
	}
	j.add(strings.ToLower(kind)+" "+inSchema(table)+column, fmt.Sprintf("grants %s to %s", p.detail, who),
		"REVOKE %s%s ON %s %s FROM %s CASCADE;", p.detail, column, kind, inSchema(table), role)
}

// missing reports the objects of all migrations that are not there. Without a schema nothing is missing yet.
func (j *judge) missing() {
	if !slices.ContainsFunc(j.parts, func(p part) bool { return p.kind == "schema" }) {
		return
	}
	blamed := map[string]bool{} // what something else was said about
	for _, f := range j.found {
		blamed[f.Object] = true
	}
	add := func(object string) {
		if !blamed[object] {
			j.add(object, "is missing", startOver)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(j.want.relations)) {
		if !j.seen[name] && j.want.relations[name] == "table" {
			add("relation " + inSchema(name))
			continue
		}
		for _, what := range slices.Sorted(maps.Keys(j.want.parts[name])) {
			kind, part, _ := strings.Cut(what, " ")
			if !j.seen[name+" "+what] {
				add(kind + " " + quote(part) + " of " + inSchema(name))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(j.want.functions)) {
		versions := j.want.functions[name]
		if object := "function " + signature(name); !j.seen[name] && !j.want.gone[name] && !blamed[object] {
			j.add(object, "is missing", "%s -- and grant it again to those that emit", versions[len(versions)-1].statement)
		}
	}
}

// inSchema names an object of our schema as SQL does.
func inSchema(name string) string { return schema + "." + quoteIfNeeded(name) }

// signature names a function, whose arguments are the catalog's words already.
func signature(name string) string {
	function, arguments, _ := strings.Cut(name, "(")
	return schema + "." + quoteIfNeeded(function) + "(" + arguments
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }

// quoteIfNeeded leaves our own names as people write them.
func quoteIfNeeded(name string) string {
	plain := func(r rune) bool { return r != '_' && (r < 'a' || r > 'z') && (r < '0' || r > '9') }
	if name != "" && strings.IndexFunc(name, plain) < 0 && name[0] > '9' {
		return name
	}
	return quote(name)
}
