package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ScopeQuery finds values of a scope of a row by a query in which $row.column stands for the row's value in that column:
//
//	select project_id from task_list where id = $row.list_id
//
// It never changes, so many goroutines may share it.
type ScopeQuery struct{ statement *statement }

// NewScopeQuery refuses a statement that cannot be read or that does not look at the row.
func NewScopeQuery(source string) (*ScopeQuery, error) {
	s, err := parse(source, readRowPlaceholder)
	if err != nil {
		return nil, fmt.Errorf("resolveScopes by SQL: %w", err)
	}
	if len(s.parameters) == 0 {
		return nil, errors.New("resolveScopes by SQL: the query does not look at the row: write $row.column where it is to")
	}
	if slices.ContainsFunc(s.words, func(w word) bool { return w.kind == signWord && w.text == ";" }) {
		return nil, errors.New("resolveScopes by SQL: the query has a ;: write one query, without it")
	}
	return &ScopeQuery{s}, nil
}

func readRowPlaceholder(text string) (parameter, error) {
	column, found := strings.CutPrefix(text, "$row.")
	if !found || column == "" || strings.Contains(column, ".") {
		return parameter{}, fmt.Errorf("%s stands for nothing: write $row.column", text)
	}
	return parameter{name: "row", column: column}, nil
}

// Text is the query as PostgreSQL gets it.
func (q *ScopeQuery) Text() string { return q.statement.text }

// Columns are those whose values the query's parameters stand for, in order. One may be there more than once.
func (q *ScopeQuery) Columns() []string {
	columns := make([]string, len(q.statement.parameters))
	for i, p := range q.statement.parameters {
		columns[i] = p.column
	}
	return columns
}

// Mentions tells whether a name may be one that the query uses.
func (q *ScopeQuery) Mentions(name string) bool {
	return slices.ContainsFunc(q.statement.pieces, func(p piece) bool { return strings.Contains(strings.ToLower(p.text), name) })
}

// Correlated is the query as a part of one over the table itself, in which the table has the alias. That must be a name in
// small letters that the query does not mention.
func (q *ScopeQuery) Correlated(alias string) string {
	var text strings.Builder
	for _, p := range q.statement.pieces {
		if !p.placeholder {
			text.WriteString(p.text)
			continue
		}
		text.WriteString(alias + "." + quoteIdentifier(strings.TrimPrefix(p.text, "$row.")))
	}
	return text.String()
}

// Lookup says which rows of one table the answer is made of: those whose columns have certain values, and of these the
// column Value. Other columns make no difference.
type Lookup struct {
	// Schema and Table name the table. Schema is empty where the search path decides.
	Schema, Table string
	Value         string
	conditions    []condition
}

// Lookup recognises the form
//
//	select l.project_id from task_list l where l.id = $row.list_id and l.kind = 'open'
//
// with any columns, and nil is any other form.
func (q *ScopeQuery) Lookup() *Lookup {
	r := &reader{words: q.statement.words}
	if !r.keyword("select") {
		return nil
	}
	qualifier, value := r.name()
	m := r.from()
	if m == nil || value == "" || qualifier != "" && qualifier != r.alias {
		return nil
	}
	if len(r.words) > 0 {
		return nil
	}
	return &Lookup{Schema: m.Schema, Table: m.Table, Value: value, conditions: m.conditions}
}

// Columns are those that are compared. One may be there more than once.
func (l *Lookup) Columns() []string { return (&Membership{conditions: l.conditions}).Columns() }

// Compared is the column of the row that the answer is about which the i-th of Columns has to equal, and false where that is
// a literal.
func (l *Lookup) Compared(i int) (column string, isColumn bool) {
	if p := l.conditions[i].parameter; p != nil {
		return p.column, true
	}
	return "", false
}
