package config

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
)

// kind is how a value is written in the file. Elsewhere everything is text.
type kind int

const (
	kindText     kind = iota
	kindQuantity      // a number with its unit, which YAML takes as text or as a number
	kindNumber
	kindBoolean
	kindList // of text
)

// scalar reads one value of a kind, and replaces ${NAME} in it; it returns false when it had to report a problem.
func (d *document) scalar(path string, node ast.Node, as kind, secret bool) (given, bool) {
	g := given{path: path, place: d.place(start(node)), secret: secret}
	isText, inQuotes := false, false
	switch node := node.(type) {
	case *ast.StringNode:
		g.written, isText = node.Value, true
		inQuotes = node.Token.Type != token.StringType
	case *ast.LiteralNode:
		g.written, isText, inQuotes = node.Value.Value, true, true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		g.written = node.GetToken().Value
	default:
		d.failType(path, node, "one value")
		return given{}, false
	}
	var m *mistake
	g.text, m = expand(g.written, d.lookup)
	switch {
	case m != nil:
		// Reported below: nothing else can be said of a text that is not known.
	case as == kindText && !isText:
		m = &mistake{problem: "is " + shape(node) + " to YAML", fix: "put it in quotes",
			exactFix: fmt.Sprintf("write %q, with the quotes", g.text)}
	case (as == kindNumber || as == kindBoolean) && inQuotes && g.text == g.written:
		m = &mistake{problem: "is text because of its quotes", fix: "write it without quotes"}
	}
	if m != nil {
		d.problems = append(d.problems, g.problem(m))
	}
	return g, m == nil
}

// values reads what a key of the file holds: one value, or the elements of a list.
func (d *document) values(path string, node ast.Node, as kind, secret bool) []given {
	if as != kindList {
		if g, ok := d.scalar(path, node, as, secret); ok {
			return []given{g}
		}
		return nil
	}
	var values []given
	for _, e := range d.list(path, node) {
		if g, ok := d.scalar(e.path, e.node, kindText, secret); ok {
			values = append(values, g)
		}
	}
	return values
}

// expand replaces each ${NAME} by the environment variable, and $${ by ${. What comes out is never read as YAML.
func expand(written string, variables lookup) (string, *mistake) {
	var b strings.Builder
	for rest := written; ; {
		before, after, found := strings.Cut(rest, "${")
		if !found {
			b.WriteString(rest)
			return b.String(), nil
		}
		if escaped, ok := strings.CutSuffix(before, "$"); ok {
			b.WriteString(escaped + "${")
			rest = after
			continue
		}
		name, after, closed := strings.Cut(after, "}")
		if !closed || !variableName(name) {
			return "", &mistake{problem: "has a ${ that no variable's name and } follow",
				fix: "write ${NAME}, or $${ for the two characters themselves"}
		}
		value, set := variables(name)
		if !set {
			m := &mistake{problem: "needs the environment variable " + name + ", which is not set",
				fix: "set " + name + ", or write the value itself"}
			if name != strings.ToUpper(name) { // more likely a piece of a password
				m.ofSecret = &mistake{problem: "needs an environment variable that is not set", fix: "set it, or write $${ for the two characters themselves"}
			}
			return "", m
		}
		b.WriteString(before + value)
		rest = after
	}
}

// variableName follows POSIX, "Environment Variable Definition", small letters included.
func variableName(name string) bool {
	const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"
	return name != "" && strings.Trim(name, letters+"0123456789") == "" && strings.IndexByte(letters, name[0]) >= 0
}
