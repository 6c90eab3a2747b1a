package config

import (
	"fmt"
	"regexp"
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
	// ofSecret, where there is one, is said of a secret instead.
	ofSecret *mistake
}

// problem reports a mistake in the value, naming the value only if that gives no secret away.
func (g given) problem(m *mistake) Problem {
	if g.secret && m.ofSecret != nil {
		m = m.ofSecret
	}
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

// quote makes text fit for an error: escaped, short, and hidden where it looks like the address of a database or has a
// password in it, because anyone may put that into the wrong place.
func quote(text string) string {
	const longest = 80
	if secretive.MatchString(text) {
		return hidden
	}
	if runes := []rune(text); len(runes) > longest {
		return fmt.Sprintf("%q...", string(runes[:longest]))
	}
	return fmt.Sprintf("%q", text)
}

// secretive matches what must not be repeated: USER:PASSWORD@ of any URL, also where the scheme was forgotten, every URL of
// a database, and NAME=VALUE of a secret.
var secretive = regexp.MustCompile(`(?is):.*@|postgres[a-z0-9+]*:|jdbc:|(mysql|mariadb|mongodb)[a-z+]*:|(pass(word|wd|phrase)?|pwd|secret|token)\s*=|password`)

// Quote gives a text that somebody has written for an error message, and (hidden) where it may hold a secret.
func Quote(text string) string { return quote(text) }

// Conceal takes out of a message what may hold a secret of the given words, such as those of a command line.
func Conceal(message string, words []string) string {
	for _, word := range words {
		_, value, _ := strings.Cut(word, "=")
		for _, text := range []string{word, value} {
			if text == "" || !secretive.MatchString(text) {
				continue
			}
			message = strings.NewReplacer(fmt.Sprintf("%q", text), hidden, text, hidden).Replace(message)
		}
	}
	return message
}
