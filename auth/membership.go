package auth

import (
	"slices"
	"strings"
)

// Membership says on which rows of one table a yes depends: on those whose columns have certain values. Rows that have
// other values make no difference, and other columns make none.
type Membership struct {
	// Schema and Table name the table. Schema is empty where the search path decides.
	Schema, Table string
	conditions    []condition
}

// condition is a column that has to equal a parameter or, where that is nil, a literal.
type condition struct {
	column    string
	parameter *parameter
	literal   string
}

// Columns are those that are compared, in the order of Values. One may be there more than once.
func (m *Membership) Columns() []string {
	columns := make([]string, len(m.conditions))
	for i, c := range m.conditions {
		columns[i] = c.column
	}
	return columns
}

// Scope is the place in Columns of one that is compared with the subscription's scope, or -1.
func (m *Membership) Scope() int {
	return slices.IndexFunc(m.conditions, func(c condition) bool { return c.parameter != nil && c.parameter.name == "scope" })
}

// Values are the texts that a row on which the subscription depends has in Columns, as they are given to PostgreSQL: it may
// print the same values in another way. It returns false where the subscription depends on none: it is refused anyway.
func (m *Membership) Values(p *Principal, s Subscription) ([]string, bool) {
	if p == nil {
		return nil, false
	}
	values := make([]string, len(m.conditions))
	for i, c := range m.conditions {
		if c.parameter == nil {
			values[i] = c.literal
			continue
		}
		bound, err := (&statement{parameters: []parameter{*c.parameter}}).bind(p, s)
		if err != nil {
			return nil, false
		}
		values[i] = bound[0]
	}
	return values, true
}

// membership recognises the forms
//
//	select exists (select 1 from member m where m.conversation_id = $scope and m.user_id = $ctx.sub and m.role = 'editor')
//	select 1 from member m where m.conversation_id = $scope and m.user_id = $ctx.sub and m.role = 'editor' limit 1
//
// with any columns, and nil is any other form. What it does not know it does not guess.
func (s *statement) membership() *Membership {
	r := &reader{words: s.words}
	exists := r.keyword("select", "exists")
	if exists && !r.sign("(") || !r.keyword("select") {
		return nil
	}
	if !r.keyword("true") && !r.sign("*") && r.peek().kind == numberWord {
		r.next()
	}
	m := r.from()
	if r.keyword("limit") && (r.peek().kind != numberWord || r.next().text != "1") {
		return nil
	}
	closed := !exists || r.sign(")")
	r.sign(";")
	if m == nil || !closed || len(r.words) > 0 {
		return nil
	}
	return m
}

// from takes from member m where m.conversation_id = $scope and ..., and returns nil where something else comes next.
func (r *reader) from() *Membership {
	if !r.keyword("from") {
		return nil
	}
	m := &Membership{}
	m.Schema, m.Table = r.name()
	if r.keyword("as"); r.peek().kind == nameWord && !r.peek().is("where") {
		r.alias = r.next().text
	} else {
		r.alias = m.Table
	}
	if m.Table == "" || !r.keyword("where") {
		return nil
	}
	for first := true; first || r.keyword("and"); first = false {
		c, ok := r.condition()
		if !ok {
			return nil
		}
		m.conditions = append(m.conditions, c)
	}
	return m
}

// reader takes a statement's words one after the other. Each method takes what it is called for if that comes next.
type reader struct {
	words []word
	alias string
}

func (r *reader) peek() word {
	if len(r.words) == 0 {
		return word{}
	}
	return r.words[0]
}

func (r *reader) next() word {
	w := r.peek()
	if len(r.words) > 0 {
		r.words = r.words[1:]
	}
	return w
}

func (r *reader) keyword(names ...string) bool {
	for i, name := range names {
		if i >= len(r.words) || !r.words[i].is(name) {
			return false
		}
	}
	r.words = r.words[len(names):]
	return true
}

func (r *reader) sign(text string) bool {
	if w := r.peek(); w.kind != signWord || w.text != text {
		return false
	}
	r.next()
	return true
}

// name takes a name that may have a qualifier before it; both are empty where none comes next.
func (r *reader) name() (qualifier, name string) {
	if w := r.peek(); w.kind != nameWord || !w.quoted && reserved(w.text) {
		return "", ""
	}
	name = r.next().text
	if !r.sign(".") {
		return "", name
	}
	if r.peek().kind != nameWord {
		return "", ""
	}
	return name, r.next().text
}

// condition takes column = value, in either order.
func (r *reader) condition() (c condition, ok bool) {
	value := r.value(&c)
	if value && !r.sign("=") {
		return c, false
	}
	qualifier, column := r.name()
	if column == "" || qualifier != "" && qualifier != r.alias {
		return c, false
	}
	c.column = column
	return c, value || r.sign("=") && r.value(&c)
}

func (r *reader) value(c *condition) bool {
	switch w := r.peek(); {
	case w.kind == placedWord:
		c.parameter = w.parameter
	case w.kind == numberWord, w.kind == textWord:
		c.literal = w.text
	case w.is("true"), w.is("false"):
		c.literal = w.text
	default:
		return false
	}
	r.next()
	return true
}

// reserved tells whether an unquoted word is none of the table's columns but a function or a constant, or begins something
// else (PostgreSQL manual, "SQL Key Words"). Those that could not stand in the place of a name are not listed.
func reserved(word string) bool {
	switch word {
	case "array", "case", "cast", "current_catalog", "current_date", "current_role", "current_schema", "current_time", "current_timestamp",
		"current_user", "default", "false", "lateral", "localtime", "localtimestamp", "not", "null", "only", "row", "select",
		"session_user", "system_user", "true", "user", "where":
		return true
	}
	return false
}

// word is a token of a statement that means something.
type word struct {
	kind      wordKind
	text      string // of a name the name itself, of a text what is quoted
	quoted    bool   // of a name
	parameter *parameter
}

type wordKind int

const (
	nameWord wordKind = iota + 1
	textWord
	numberWord
	placedWord
	signWord
)

func (w word) is(keyword string) bool {
	return w.kind == nameWord && !w.quoted && w.text == keyword
}

// wordsOf cuts a piece of a statement that has no placeholder into words.
func wordsOf(sql string) []word {
	var words []word
	for at := 0; at < len(sql); {
		rest := sql[at:]
		size, err := token(rest)
		if err != nil {
			return nil // which cannot be: splitStatement has read it
		}
		switch c := rest[0]; {
		case strings.IndexByte(" \t\n\r\f\v", c) >= 0, strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "/*"):
		case c == '"':
			words = append(words, word{kind: nameWord, quoted: true, text: unquoted(rest[:size], `"`)})
		case c == '\'':
			words = append(words, word{kind: textWord, text: unquoted(rest[:size], `'`)})
		case isDigit(c):
			size = number(rest)
			words = append(words, word{kind: numberWord, text: rest[:size]})
		case beginsIdentifier(c):
			words = append(words, word{kind: nameWord, text: lowered(rest[:size])})
		default:
			words = append(words, word{kind: signWord, text: rest[:size]})
		}
		at += size
	}
	return words
}

// number measures a number with the letters that follow at once, in the tokens that splitStatement has seen: an identifier
// holds what looks like a placeholder, as in 1a$scope.
func number(sql string) int {
	size := 1
	for size < len(sql) {
		switch c := sql[size]; {
		case isDigit(c), c == '.':
			size++
		case beginsIdentifier(c) && !strings.HasPrefix(sql[size+1:], "'"):
			identifier, _ := token(sql[size:]) // which has no error
			size += identifier
		default:
			return size
		}
	}
	return size
}

func unquoted(token, quote string) string {
	return strings.ReplaceAll(token[1:len(token)-1], quote+quote, quote)
}

// lowered folds what PostgreSQL folds in a database of UTF-8.
func lowered(name string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, name)
}
