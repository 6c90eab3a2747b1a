package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A statement is SQL in which $scope, $scope.col, $channel and $ctx.name stand for values. They become bound parameters:
// what a client sends is never part of the text.
type statement struct {
	text       string
	parameters []parameter // $1, $2, ...
	words      []word      // what it says
	pieces     []piece
}

// parameter is what a placeholder stands for: "scope", "scope.col", "channel", "ctx" with a path of claims, or "row" with a
// column.
type parameter struct {
	name   string
	claim  []string
	column string
}

// parseStatement reads an authorizer's statement.
func parseStatement(sql string) (*statement, error) { return parse(sql, readPlaceholder) }

// parse replaces each placeholder by a parameter of its own, so that PostgreSQL finds each one's type where it
// stands. Literals, dollar quotes, quoted identifiers and comments stay as they are.
func parse(sql string, read func(placeholder string) (parameter, error)) (*statement, error) {
	pieces, err := splitStatement(sql)
	if err != nil {
		return nil, err
	}
	s := &statement{pieces: pieces}
	var text strings.Builder
	for _, p := range pieces {
		if !p.placeholder {
			text.WriteString(p.text)
			s.words = append(s.words, wordsOf(p.text)...)
			continue
		}
		parameter, err := read(p.text)
		if err != nil {
			return nil, err
		}
		s.parameters = append(s.parameters, parameter)
		s.words = append(s.words, word{kind: placedWord, parameter: &parameter})
		fmt.Fprintf(&text, "$%d", len(s.parameters))
	}
	s.text = text.String()
	return s, nil
}

func readPlaceholder(text string) (parameter, error) {
	name := strings.TrimPrefix(text, "$")
	switch name {
	case "scope", "scope.col", "channel":
		return parameter{name: name}, nil
	}
	path := strings.Split(name, ".")
	if path[0] != "ctx" || len(path) < 2 || slices.Contains(path, "") {
		return parameter{}, fmt.Errorf("%s stands for nothing: write $scope, $scope.col, $channel or $ctx.claim", text)
	}
	return parameter{name: "ctx", claim: path[1:]}, nil
}

// piece is a part of a statement. The pieces of a statement are all of it, in order.
type piece struct {
	text        string
	placeholder bool
}

// splitStatement cuts a statement at its placeholders, by the lexical rules of PostgreSQL (manual, "Lexical Structure")
// with standard_conforming_strings on.
func splitStatement(sql string) ([]piece, error) {
	if strings.ContainsRune(sql, 0) {
		return nil, errors.New("the statement holds a NUL")
	}
	var pieces []piece
	begin := 0
	for at := 0; at < len(sql); {
		if sql[at] == '$' {
			if size := dollarQuote(sql[at:]); size == 0 {
				end := at + placeholder(sql[at:])
				pieces = append(pieces, piece{text: sql[begin:at]}, piece{text: sql[at:end], placeholder: true})
				at, begin = end, end
				continue
			}
		}
		size, err := token(sql[at:])
		if err != nil {
			return nil, err
		}
		at += size
	}
	return append(pieces, piece{text: sql[begin:]}), nil
}

// token returns the length of the token at the beginning of sql, which is one that is left as it is.
func token(sql string) (int, error) {
	switch c := sql[0]; {
	case c == '\'':
		return quoted(sql, '\'', false, "string")
	case c == '"':
		return quoted(sql, '"', false, "quoted identifier")
	case strings.HasPrefix(sql, "--"):
		return lineComment(sql), nil
	case strings.HasPrefix(sql, "/*"):
		return comment(sql)
	case c == '$':
		return dollarQuoted(sql)
	case (c == 'e' || c == 'E') && len(sql) > 1 && sql[1] == '\'':
		size, err := quoted(sql[1:], '\'', true, "string")
		return 1 + size, err
	case beginsIdentifier(c):
		// All of it: an identifier may hold a $, and may end in an e before a quote.
		size := 1
		for size < len(sql) && (beginsIdentifier(sql[size]) || isDigit(sql[size]) || sql[size] == '$') {
			size++
		}
		return size, nil
	}
	return 1, nil
}

// quoted measures what stands between two quotes; two of them inside are one. With escapes, a backslash hides what
// follows, and the string goes on where another begins in a later line.
func quoted(sql string, quote byte, escapes bool, what string) (int, error) {
	for at := 1; at < len(sql); at++ {
		switch {
		case escapes && sql[at] == '\\':
			at++
		case sql[at] != quote:
		case at+1 < len(sql) && sql[at+1] == quote:
			at++
		default:
			if next := continued(sql[at+1:]); escapes && next > 0 {
				at += next
				continue
			}
			return at + 1, nil
		}
	}
	return 0, fmt.Errorf("a %s does not end", what)
}

// continued returns how far behind a string the quote is with which it goes on, or 0. Line comments may lie in between.
func continued(sql string) int {
	rest, line := sql, false
	for rest != "" {
		switch {
		case strings.HasPrefix(rest, "--"):
			rest = rest[lineComment(rest):]
		case rest[0] == '\'' && line:
			return len(sql) - len(rest) + 1
		case strings.IndexByte(" \t\n\r\f\v", rest[0]) < 0:
			return 0
		default:
			line = line || rest[0] == '\n' || rest[0] == '\r'
			rest = rest[1:]
		}
	}
	return 0
}

// lineComment measures what a -- begins.
func lineComment(sql string) int {
	if end := strings.IndexAny(sql, "\r\n"); end >= 0 {
		return end
	}
	return len(sql)
}

// comment measures a block comment, which may hold others.
func comment(sql string) (int, error) {
	depth := 0
	for at := 0; at+1 < len(sql); at++ {
		switch sql[at : at+2] {
		case "/*":
			depth++
			at++
		case "*/":
			depth--
			at++
			if depth == 0 {
				return at + 1, nil
			}
		}
	}
	return 0, errors.New("a comment does not end")
}

// dollarQuote returns the length of the $tag$ at the beginning of sql, or 0 where there is none.
func dollarQuote(sql string) int {
	size := 1
	for size < len(sql) && (beginsIdentifier(sql[size]) || (size > 1 && isDigit(sql[size]))) {
		size++
	}
	if size < len(sql) && sql[size] == '$' {
		return size + 1
	}
	return 0
}

func dollarQuoted(sql string) (int, error) {
	tag := sql[:dollarQuote(sql)]
	end := strings.Index(sql[len(tag):], tag)
	if end < 0 {
		return 0, fmt.Errorf("a string that begins with %s does not end", tag)
	}
	return len(tag) + end + len(tag), nil
}

// placeholder measures a $ with the names behind it, which points join.
func placeholder(sql string) int {
	size := 1
	for size < len(sql) && (beginsIdentifier(sql[size]) || isDigit(sql[size]) || (sql[size] == '.' && size > 1)) {
		size++
	}
	return size
}

func beginsIdentifier(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c >= 0x80
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
