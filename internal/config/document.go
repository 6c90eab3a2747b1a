package config

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// document is a configuration file: its YAML, where each value stands in it, and what is wrong with it so far.
type document struct {
	file     string
	root     ast.Node // nil when there is nothing in the file
	lookup   lookup
	places   places
	problems []Problem

	// absent says where a file was looked for in vain; empty where one was read.
	absent string
	// environment are the variables that may be the gateway's, with their values; mentioned are those that the file names.
	environment map[string]string
	mentioned   []string
}

// lookup finds an environment variable, as os.LookupEnv does.
type lookup func(name string) (value string, set bool)

// key is one key of a mapping and who reads its value.
type key struct {
	name string
	read func(path string, node ast.Node)
}

// element is one value of a list.
type element struct {
	path string
	node ast.Node
}

// parse reads YAML; when that fails, the document has a problem and no root. The variables are for ${NAME}.
func parse(file string, content []byte, variables lookup) *document {
	d := &document{file: file, lookup: variables, places: places{}}
	d.mentioned = mentionedVariables(content)
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	number := 0
	for line := range bytes.Lines(content) {
		if number++; !utf8.Valid(line) {
			at := &token.Token{Position: &token.Position{Line: number, Column: 1}}
			d.fail("", at, "is not UTF-8 text", "save the file as UTF-8")
			return d
		}
	}
	tree, err := parser.ParseBytes(content, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		var at *token.Token
		message := "is not YAML"
		if syntax, ok := errors.AsType[yaml.Error](err); ok {
			at = syntax.GetToken()
			if said := syntax.GetMessage(); !strings.Contains(said, `"`) { // what it quotes may be a secret
				message += ": " + said
			}
		}
		d.fail("", at, message, "indent with spaces, and put text with special characters into 'single quotes'")
		return d
	}
	for _, part := range tree.Docs {
		switch {
		case part.Body == nil:
		case d.root != nil || part.Body.Type() == ast.DirectiveType:
			d.fail("", start(part.Body), "has more than one document", "write keys and values only, without --- and %")
			d.root = nil
			return d
		default:
			d.root = part.Body
		}
	}
	return d
}

// mapping hands each value of a mapping to its reader, and reports keys that are unknown or given twice.
func (d *document) mapping(path string, node ast.Node, keys []key) {
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		d.failType(path, node, "keys and values")
		return
	}
	names := make([]string, len(keys))
	for i, k := range keys {
		names[i] = k.name
	}
	lines := map[string]int{}
	for _, entry := range mapping.Values {
		at := start(entry.Key)
		name, ok := keyName(entry.Key)
		i := slices.Index(names, name)
		switch {
		case !ok:
			d.fail(path, at, "a key is not plain text", "write one of "+strings.Join(names, ", "))
		case i < 0:
			fix := "write one of " + strings.Join(names, ", ")
			if known, ok := Nearest(name, names); ok {
				fix = fmt.Sprintf("write %q", known)
			}
			d.fail(join(path, name), at, "unknown key "+quote(name), fix)
		case lines[name] > 0:
			d.fail(join(path, name), at, fmt.Sprintf("key %q is given twice, first in line %d", name, lines[name]), "keep one of them")
		default:
			lines[name] = at.Position.Line
			d.places[join(path, name)] = d.place(start(entry.Value))
			keys[i].read(join(path, name), entry.Value)
		}
	}
}

// list returns the elements of a list.
func (d *document) list(path string, node ast.Node) []element {
	sequence, ok := node.(*ast.SequenceNode)
	if !ok {
		d.failType(path, node, "a list")
		return nil
	}
	elements := make([]element, len(sequence.Values))
	for i, value := range sequence.Values {
		elements[i] = element{path: fmt.Sprintf("%s[%d]", path, i), node: value}
		d.places[elements[i].path] = d.place(start(value))
	}
	return elements
}

func (d *document) fail(path string, at *token.Token, problem, fix string) {
	d.problems = append(d.problems, d.place(at).problem(path, problem, fix))
}

// failAt reports a problem with a value that was read already.
func (d *document) failAt(path, problem, fix string) {
	d.problems = append(d.problems, d.places.problem(path, problem, fix))
}

// failType reports a value of the wrong shape without showing it.
func (d *document) failType(path string, node ast.Node, wanted string) {
	subject := "the file"
	if path != "" {
		subject = lastKey(path)
	}
	switch node.(type) {
	case *ast.NullNode:
		d.fail(path, start(node), subject+" is empty", "write "+wanted+", or delete the key")
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		d.fail(path, start(node), subject+" begins with &, * or !, which YAML takes as an anchor, an alias or a tag",
			"write the value itself, in 'single quotes' if it begins so")
	default:
		d.fail(path, start(node), subject+" is "+shape(node), "write "+wanted)
	}
}

func (d *document) place(at *token.Token) place {
	p := place{Position: Position{File: d.file, Line: 1, Column: 1}}
	if at != nil && at.Position != nil {
		p.Line, p.Column = max(1, at.Position.Line), max(1, at.Position.Column)
	}
	return p
}

// shape names what a node is, as somebody who writes YAML sees it.
func shape(node ast.Node) string {
	switch node.(type) {
	case *ast.MappingNode:
		return "a mapping"
	case *ast.SequenceNode:
		return "a list"
	case *ast.BoolNode:
		return "true or false"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "a number"
	}
	return "text"
}

// start is the first token of a node. That of a block mapping is its first key, not its first colon.
func start(node ast.Node) *token.Token {
	if mapping, ok := node.(*ast.MappingNode); ok && !mapping.IsFlowStyle && len(mapping.Values) > 0 {
		return mapping.Values[0].Key.GetToken()
	}
	return node.GetToken()
}

func keyName(node ast.Node) (string, bool) {
	switch node := node.(type) {
	case *ast.StringNode:
		return node.Value, true
	case *ast.MappingKeyNode:
		return keyName(node.Value)
	}
	return "", false
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}
