package config

import (
	"fmt"

	"github.com/goccy/go-yaml/ast"
)

// resolve makes a configuration: what outside gives goes over what is in the file, and that over the defaults. The
// error is an *Error.
func resolve(d *document, outside func(setting) (name string, texts []string)) (*Config, error) {
	if len(d.problems) > 0 {
		return nil, NewError(d.problems...)
	}
	c := &Config{places: d.places, absent: d.absent, Resume: defaultResume()}
	inFile := map[string]ast.Node{}
	var keys []key
	for _, s := range settings() {
		keys = append(keys, key{s.key, func(path string, node ast.Node) { inFile[path] = node }})
	}
	// These are more than a flag or a variable can hold: see sections.
	keys = append(keys, key{"authenticate", func(path string, node ast.Node) { c.Authenticate = d.authenticate(path, node) }})
	keys = append(keys, key{"ingest", func(path string, node ast.Node) { c.Ingest = d.ingest(path, node) }})
	keys = append(keys, key{"reactive", func(path string, node ast.Node) { c.Reactive = d.reactive(path, node) }})
	keys = append(keys, key{"resume", func(path string, node ast.Node) { c.Resume = d.resume(path, node) }})
	if d.root != nil {
		d.mapping("", d.root, keys)
	}
	for _, s := range settings() {
		values := d.choose(s, inFile[s.key], outside)
		d.problems = append(d.problems, understand(values, func(text string) *mistake { return s.read(c, text) })...)
	}
	d.problems = append(d.problems, unknownVariables(d.environment, d.mentioned)...)
	if len(d.problems) == 0 {
		d.problems = c.contradictions()
	}
	if len(d.problems) == 0 {
		d.problems = c.strandedVariables(d.environment)
	}
	if err := NewError(d.problems...); err != nil {
		return nil, err
	}
	return c, nil
}

// choose finds the value of a setting that counts; node is its value in the file, or nil.
func (d *document) choose(s setting, node ast.Node, outside func(setting) (string, []string)) []given {
	if name, texts := outside(s); name != "" {
		from := place{outside: name}
		d.places[s.key] = from
		values := make([]given, len(texts))
		for i, text := range texts {
			values[i] = given{path: s.key, place: from, written: text, text: text, secret: s.secret}
		}
		return values
	}
	switch {
	case node != nil:
		return d.values(s.key, node, s.kind, s.secret)
	case s.required:
		d.problems = append(d.problems, Problem{Key: s.key, Problem: "is not given, and has no default",
			Fix: fmt.Sprintf("set %s, or write %s into the file", s.env()[0], s.key)})
		return nil
	case s.kind == kindList:
		return nil
	}
	return []given{{path: s.key, written: s.fallback, text: s.fallback}}
}

// contradictions reports good values that do not go together.
func (c *Config) contradictions() []Problem {
	var problems []Problem
	if !loopback(c.Listen) && !c.AllowAnonymous && c.Authenticate == nil {
		problems = append(problems, c.Problem("listen",
			fmt.Sprintf("other machines reach %s, and nothing asks clients who they are", c.Listen),
			"write an authenticate section, or allowAnonymous: true if all of them may read everything that is served, or listen: 127.0.0.1:8080"))
	}
	if c.Admin == c.Listen && !anyPort(c.Admin) {
		problems = append(problems, c.Problem("admin",
			fmt.Sprintf("%s is the public address too", c.Admin), "write an address with another port"))
	}
	if c.Admin == "" && c.Pprof {
		problems = append(problems, c.Problem("pprof",
			"profiles are served on the admin address, and that is switched off", "write an admin address, or pprof: false"))
	}
	return append(problems, c.ingestContradictions()...)
}
