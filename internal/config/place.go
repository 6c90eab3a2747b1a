package config

import "strings"

// Position is a place in the configuration file.
type Position struct {
	// File is the path as it was given.
	File string
	// Line and Column count from 1, columns in characters.
	Line, Column int
}

// place is where a value came from: a position in the file, or else a flag or an environment variable.
type place struct {
	Position
	// outside is the flag or the variable, --slot or REACTIVE_SLOT; empty for a value in the file.
	outside string
}

// places maps paths such as reactive[0].scopes[1] to where their values came from. A setting at its default has none.
type places map[string]place

// At returns where the value at a path such as "slot" or "reactive[0].scopes[1]" stands in the file, and false when it
// does not stand there.
func (c *Config) At(path string) (Position, bool) {
	p := c.places[path]
	return p.Position, p.Line > 0
}

// Problem describes what turned out to be wrong with the value at a path after Load, for NewError. It has the place of
// that value, or, when the value is a default, of the nearest thing around it that was written.
func (c *Config) Problem(path, problem, fix string) Problem {
	return c.places.problem(path, problem, fix)
}

func (ps places) problem(path, problem, fix string) Problem {
	for around := path; around != ""; around = parent(around) {
		if p, ok := ps[around]; ok {
			return p.problem(path, problem, fix)
		}
	}
	return Problem{Key: path, Problem: problem, Fix: fix}
}

func (p place) problem(path, problem, fix string) Problem {
	if p.outside != "" {
		return Problem{Key: p.outside, Problem: problem, Fix: fix}
	}
	return Problem{File: p.File, Line: p.Line, Column: p.Column, Key: path, Problem: problem, Fix: fix}
}

// parent cuts the last field or index off a path.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// lastKey is the last name in a path, without its index: scopes for reactive[0].scopes[1].
func lastKey(path string) string {
	name, _, _ := strings.Cut(path[strings.LastIndexByte(path, '.')+1:], "[")
	return name
}
