package config

import (
	"fmt"
	"strings"

	"github.com/goccy/go-yaml/ast"
)

// ClaimType says what a claim holds.
type ClaimType struct {
	Kind ClaimKind
	// List: it is a list of such values.
	List bool
}

// ClaimKind is the kind of a claim's value.
type ClaimKind string

// The kinds. ClaimAny is not known before it is there.
const (
	ClaimString ClaimKind = "string"
	ClaimInt    ClaimKind = "int"
	ClaimNumber ClaimKind = "number"
	ClaimBool   ClaimKind = "bool"
	ClaimAny    ClaimKind = "any"
)

// claims reads what claims there are: {sub: string, tenant: int, roles: [string]}.
func (d *document) claims(path string, node ast.Node) map[string]ClaimType {
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		d.failType(path, node, "keys and values, such as {tenant: int, roles: [string]}")
		return nil
	}
	claims := map[string]ClaimType{}
	for _, entry := range mapping.Values {
		name, ok := keyName(entry.Key)
		_, twice := claims[name]
		switch {
		case !ok || name == "" || strings.Contains(name, "."):
			d.fail(path, start(entry.Key), "a key is no claim's name", "write the name of a claim at the top of the token, such as sub")
			continue
		case twice:
			d.fail(join(path, name), start(entry.Key), fmt.Sprintf("key %q is given twice", name), "keep one of them")
			continue
		}
		d.places[join(path, name)] = d.place(start(entry.Value))
		claim := ClaimType{}
		value := entry.Value
		if list, ok := value.(*ast.SequenceNode); ok {
			if len(list.Values) != 1 {
				d.fail(join(path, name), start(value), "the list does not name one type", "write one, such as [string]")
				continue
			}
			claim.List, value = true, list.Values[0]
		}
		one(d, kindText, oneOf(ClaimString, ClaimInt, ClaimNumber, ClaimBool, ClaimAny), &claim.Kind)(join(path, name), value)
		claims[name] = claim
	}
	return claims
}
