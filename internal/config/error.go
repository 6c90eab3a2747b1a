package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with the configuration, and what to do about it.
type Problem struct {
	// File is the path as it was given; empty for a flag, an environment variable and a missing setting.
	File string
	// Line and Column count from 1, columns in characters. Both are 0 when there is no file or it cannot be read.
	Line, Column int
	// Key is the path in the file (reactive[0].scopes[1]), the flag (--slot) or the variable (REACTIVE_SLOT).
	Key string
	// Problem is what is wrong, Fix is what to write instead.
	Problem, Fix string
}

// String gives reactive.yaml:12:5: unknown key "scope": write "scopes".
func (p Problem) String() string {
	place := p.Key
	switch {
	case p.Line > 0:
		place = fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
	case p.File != "":
		place = p.File
	}
	return fmt.Sprintf("%s: %s: %s", place, p.Problem, p.Fix)
}

// Error is everything that is wrong with a configuration, in the order in which it stands in the file; what comes from
// flags and the environment goes before that.
type Error struct {
	Problems []Problem
}

// NewError returns an *Error of the problems, or nil when there are none.
func NewError(problems ...Problem) error {
	if len(problems) == 0 {
		return nil
	}
	sorted := slices.SortedStableFunc(slices.Values(problems), func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{Problems: sorted}
}

// Error gives one line per problem.
func (e *Error) Error() string {
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// ExitCode is the exit code for a command that was called wrongly; it makes Error a cli.ExitCoder.
func (e *Error) ExitCode() int { return 2 }
