package config

import (
	"fmt"
	"strings"
)

// given is one value as somebody gave it, before it is understood.
type given struct {
	// path is where the value belongs: slot, reactive[0].scopes[1].
	path  string
	place place
	// written is the text in the file, text is the same with its ${NAME} replaced; elsewhere they are equal.
	written, text string
	secret        bool
}

// mistake is why a text is not a good value: what is wrong with it, said of the text, and what to write instead.
type mistake struct {
	problem string
	// fix suits any text. exactFix, where there is one, is made from the text and so is never said of a secret.
	fix, exactFix string
}

// problem reports a mistake in the value, naming the value only if that gives no secret away.
func (g given) problem(m *mistake) Problem {
	subject := lastKey(g.path)
	if g.place.outside != "" {
		subject = "value"
	}
	if g.written != "" && !g.secret {
		subject += " " + quote(g.written)
	}
	fix := m.fix
	if m.exactFix != "" && !g.secret && g.written == g.text && quote(g.text) != hidden {
		fix = m.exactFix
	}
	return g.place.problem(g.path, subject+" "+m.problem, fix)
}

// understand reads each value once, and returns what is wrong with them.
func understand(values []given, read func(text string) *mistake) []Problem {
	var problems []Problem
	seen := map[string]bool{}
	for _, g := range values {
		m := read(g.text)
		switch {
		case seen[g.text]:
			m = &mistake{problem: "is listed twice", fix: "keep one of them"}
		case m != nil && g.text == "":
			m = &mistake{problem: "is empty", fix: m.fix}
		}
		seen[g.text] = true
		if m != nil {
			problems = append(problems, g.problem(m))
		}
	}
	return problems
}

// quote makes text fit for an error: escaped, short, and hidden when it looks like the address of a database, because
// anyone may put that into the wrong place.
func quote(text string) string {
	const longest = 80
	_, authority, isURL := strings.Cut(text, "://")
	if isURL && strings.Contains(authority, "@") || strings.Contains(strings.ToLower(text), "password") {
		return hidden
	}
	if runes := []rune(text); len(runes) > longest {
		return fmt.Sprintf("%q...", string(runes[:longest]))
	}
	return fmt.Sprintf("%q", text)
}
