package auth

import "slices"

// Names are the identifiers that the query has, each once, as PostgreSQL folds them. Some are of tables, columns and types,
// others are key words.
func (q *SQL) Names() []string { return q.statement.names() }

// Bare tells whether the query uses a column or type of the name in a way in which the search_path decides what it means. It
// does not where the operator on one side is written OPERATOR(schema.=), and where the value is cast to another type.
func (q *SQL) Bare(name string) bool { return q.statement.bare(name) }

// Names are those of SQL.Names.
func (q *ScopeQuery) Names() []string { return q.statement.names() }

// Bare is SQL.Bare.
func (q *ScopeQuery) Bare(name string) bool { return q.statement.bare(name) }

func (s *statement) names() []string {
	var names []string
	for _, w := range s.words {
		if w.kind == nameWord && !slices.Contains(names, w.text) {
			names = append(names, w.text)
		}
	}
	return names
}

func (s *statement) bare(name string) bool {
	for i, w := range s.words {
		if w.kind == nameWord && w.text == name && !s.signAt(i+1, ".") && !s.explicit(i) {
			return true
		}
	}
	return false
}

// explicit tells whether what a name is part of, such as m.email or $1::public.citext, says by itself how it is compared.
func (s *statement) explicit(at int) bool {
	first, last := at, at
	for {
		if s.signAt(first-1, ".") && s.kindAt(first-2) == nameWord {
			first -= 2
		} else if s.castAt(first-2) && s.kindAt(first-3) != 0 && s.kindAt(first-3) != signWord {
			first -= 3
		} else {
			break
		}
	}
	if s.castAt(last + 1) {
		return true // the type behind it is looked at by itself
	}
	if s.wordAt(last + 1).is("operator") {
		return true
	}
	if s.signAt(first-1, "(") && s.wordAt(first-2).is("cast") && s.wordAt(last+1).is("as") {
		return true
	}
	if !s.signAt(first-1, ")") {
		return false
	}
	open := first - 2
	for open >= 0 && !s.signAt(open, "(") {
		open--
	}
	return s.wordAt(open - 1).is("operator")
}

// castAt tells whether a :: begins there.
func (s *statement) castAt(i int) bool { return s.signAt(i, ":") && s.signAt(i+1, ":") }

func (s *statement) signAt(i int, text string) bool {
	w := s.wordAt(i)
	return w.kind == signWord && w.text == text
}

func (s *statement) kindAt(i int) wordKind { return s.wordAt(i).kind }

func (s *statement) wordAt(i int) word {
	if i < 0 || i >= len(s.words) {
		return word{}
	}
	return s.words[i]
}
