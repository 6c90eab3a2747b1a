package config

import (
	"fmt"
	"strings"
)

// Snapshot says what new subscribers of a table are sent first.
type Snapshot struct {
	// Limit is the largest number of rows; at least 1.
	Limit int
	// OrderBy says which rows come first. The primary key decides between equals.
	OrderBy []Order
}

// String is for the log.
func (s *Snapshot) String() string {
	if s == nil {
		return "none"
	}
	return fmt.Sprintf("{%d %v}", s.Limit, s.OrderBy)
}

// Order is one column to order by.
type Order struct {
	Column     string
	Descending bool
	// NullsFirst is as in SQL: the default for descending order, and not for ascending.
	NullsFirst bool
}

// defaultLimit is a snapshot's limit where none is given.
const defaultLimit = 100

// orderBy reads what stands behind ORDER BY, of columns alone (PostgreSQL manual, "Sorting Rows"): created_at DESC, id.
func orderBy(text string) ([]Order, *mistake) {
	const fix = "write columns as SQL does, for example created_at DESC, id"
	var orders []Order
	for _, term := range splitOutsideQuotes(text, ',') {
		var words []string
		for _, word := range splitOutsideQuotes(term, ' ') {
			if word != "" {
				words = append(words, word)
			}
		}
		if len(words) == 0 {
			return nil, &mistake{problem: "has an empty place", fix: fix}
		}
		name, ok := splitName(words[0])
		if !ok || len(name) != 1 || !name[0].quoted && !plain(name[0].name) {
			return nil, &mistake{problem: "does not begin with the name of a column", fix: fix}
		}
		o := Order{Column: name[0].name}
		switch rest := strings.ToUpper(strings.Join(words[1:], " ")); rest {
		case "", "ASC", "ASC NULLS LAST", "NULLS LAST":
		case "ASC NULLS FIRST", "NULLS FIRST":
			o.NullsFirst = true
		case "DESC", "DESC NULLS FIRST":
			o.Descending, o.NullsFirst = true, true
		case "DESC NULLS LAST":
			o.Descending = true
		default:
			return nil, &mistake{problem: fmt.Sprintf("has %s behind a column", rest), fix: "write ASC or DESC, and NULLS FIRST or NULLS LAST"}
		}
		orders = append(orders, o)
	}
	return orders, nil
}

// splitOutsideQuotes splits at a separator that is not in double quotes.
func splitOutsideQuotes(text string, separator rune) []string {
	quoted := false
	var parts []string
	begin := 0
	for i, r := range text {
		switch {
		case r == '"':
			quoted = !quoted
		case r == separator && !quoted:
			parts = append(parts, text[begin:i])
			begin = i + 1
		}
	}
	return append(parts, text[begin:])
}
