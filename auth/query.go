package auth

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// query is a statement that says yes or no: by the value of its one column where that is a boolean, and otherwise by
// whether there is a row. It is asked for many lists of arguments at once, in one of two ways. Where its parameters are of
// the usual types, one statement runs it as a lateral subquery for every element of arrays. Where they are not, or PostgreSQL
// refuses that form, or it fails, it is run as it stands, once for each list in one round trip: this is exact for any
// statement, and an error of one list stays its own.
type query struct {
	statement *statement

	mu    sync.Mutex
	shape *shape // nil until the database was asked
}

// shape is what a database says of the query.
type shape struct {
	boolean    bool
	parameters []uint32
	together   string // the statement for arrays; empty where there is none
}

// verdict is the answer to one list of arguments.
type verdict struct {
	allowed bool
	err     error
}

// OIDs of types whose values can be elements of an array, and whose input is easily told from what is none: one wrong value
// would fail the query for all.
const (
	boolOID    = 16
	int8OID    = 20
	int2OID    = 21
	int4OID    = 23
	textOID    = 25
	varcharOID = 1043
	uuidOID    = 2950
)

func typeName(oid uint32) string {
	switch oid {
	case boolOID:
		return "bool"
	case int8OID:
		return "int8"
	case int2OID:
		return "int2"
	case int4OID:
		return "int4"
	case textOID:
		return "text"
	case varcharOID:
		return "varchar"
	case uuidOID:
		return "uuid"
	}
	return ""
}

// takes tells whether a text is surely the input of a value of a type.
func takes(oid uint32, text string) bool {
	switch oid {
	case boolOID:
		return text == "true" || text == "false"
	case int2OID, int4OID, int8OID:
		_, err := strconv.ParseInt(text, 10, map[uint32]int{int2OID: 16, int4OID: 32, int8OID: 64}[oid])
		return err == nil && text[0] != '+'
	case textOID, varcharOID:
		return utf8.ValidString(text)
	case uuidOID:
		_, ok := canonicalUUID(text)
		return ok
	}
	return false
}

var (
	errGivesNothing = errors.New("it gives neither a boolean nor rows, so it says nothing")
	errSeveral      = errors.New("its first column is a boolean, and there are others: select the boolean alone, or 1 where each row is a yes")
	errAlwaysARow   = errors.New("it returns a row for every client, and no boolean, so that everybody would be let in: " +
		"compare what it comes to, as in select count(*) > 0 or select exists (...)")
)

// describe asks the database what the query is.
func (q *query) describe(ctx context.Context, c Connection) (*shape, error) {
	q.mu.Lock()
	known := q.shape
	q.mu.Unlock()
	if known != nil {
		return known, nil
	}
	d, err := c.Describe(ctx, q.statement.text)
	if err != nil {
		return nil, err
	}
	s := &shape{parameters: d.Parameters, boolean: len(d.Columns) == 1 && d.Columns[0] == boolOID}
	switch {
	case d.Columns == nil:
		return nil, errGivesNothing
	case !s.boolean && len(d.Columns) > 0 && d.Columns[0] == boolOID:
		return nil, errSeveral
	}
	if text := q.statement.together(d.Parameters, s.boolean); text != "" {
		// What has another meaning inside of a subquery is refused there, such as a parameter behind LIMIT.
		switch _, err := c.Describe(ctx, text); {
		case err == nil:
			s.together = text
		case !coded(err):
			return nil, err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.shape = s
	return s, nil
}

// check runs the query with NULL for every value, and looks at its plan, to find out whether it can ever say no.
func (q *query) check(ctx context.Context, c Connection) error {
	s, err := q.describe(ctx, c)
	if err != nil {
		return err
	}
	nulls := [][]*string{make([]*string, len(s.parameters))}
	answers, err := c.Ask(ctx, q.statement.text, nulls)
	if err == nil && !aboutValues(answers[0].Err) {
		err = answers[0].Err
	}
	if err != nil || s.boolean {
		return err
	}
	plans, err := c.Ask(ctx, "explain (format json) "+q.statement.text, nulls)
	if err == nil && !aboutValues(plans[0].Err) {
		err = plans[0].Err
	}
	if err == nil && plans[0].First != nil && alwaysOneRow(*plans[0].First) {
		err = errAlwaysARow
	}
	return err
}

// run asks for every list of arguments. The error says that there is no answer to any of them.
func (q *query) run(ctx context.Context, c Connection, arguments [][]*string) ([]verdict, error) {
	s, err := q.describe(ctx, c)
	if err != nil {
		return nil, err
	}
	verdicts := make([]verdict, len(arguments))
	var together, alone []int
	for i, list := range arguments {
		if s.together != "" && s.takesAll(list) {
			together = append(together, i)
		} else {
			alone = append(alone, i)
		}
	}
	if len(together) > 1 {
		switch ok, err := s.ask(ctx, c, arguments, together, verdicts); {
		case err != nil:
			return nil, err
		case !ok:
			alone = append(alone, together...)
		}
	} else {
		alone = append(alone, together...)
	}
	if len(alone) == 0 {
		return verdicts, nil
	}
	lists := make([][]*string, len(alone))
	for i, at := range alone {
		lists[i] = arguments[at]
	}
	answers, err := c.Ask(ctx, q.statement.text, lists)
	if err != nil {
		return nil, err
	}
	for i, at := range alone {
		verdicts[at] = s.read(answers[i])
	}
	return verdicts, nil
}

func (s *shape) takesAll(list []*string) bool {
	for i, text := range list {
		if text == nil || !takes(s.parameters[i], *text) {
			return false
		}
	}
	return true
}

// ask asks those of the lists that are at some places by one statement. It returns false where that fails.
func (s *shape) ask(ctx context.Context, c Connection, arguments [][]*string, places []int, verdicts []verdict) (bool, error) {
	arrays := make([]*string, len(s.parameters))
	for p := range arrays {
		column := make([]any, len(places))
		for i, at := range places {
			column[i] = *arguments[at][p]
		}
		array, _ := sqlText(column) // of texts there always is one
		arrays[p] = &array
	}
	answers, err := c.Ask(ctx, s.together, [][]*string{arrays})
	switch {
	case err != nil && !coded(err):
		return false, err
	case err != nil || answers[0].Err != nil:
		return false, nil
	case answers[0].First == nil:
		return true, nil
	}
	for number := range strings.SplitSeq(*answers[0].First, ",") {
		n, err := strconv.Atoi(number)
		if err != nil || n < 1 || n > len(places) {
			return false, nil
		}
		verdicts[places[n-1]].allowed = true
	}
	return true, nil
}

func (s *shape) read(a Answer) verdict {
	switch {
	case a.Err != nil && a.AtBind && unfit(a.Err):
		return verdict{err: denyf(UnusableClaims, "a value is none of the type that the query compares it with")}
	case a.Err != nil:
		return verdict{err: failed(a.Err)}
	case s.boolean:
		return verdict{allowed: a.First != nil && *a.First == "t"}
	}
	return verdict{allowed: a.Row}
}

// together is the statement for arrays: it returns the numbers, from 1, of those elements for which the answer is yes,
// separated by commas. It is empty where the statement has no such form.
func (s *statement) together(parameters []uint32, boolean bool) string {
	body, ok := s.body()
	if !ok || len(parameters) == 0 || len(parameters) != len(s.parameters) {
		return ""
	}
	alias := "mtbreactive_q"
	for slices.ContainsFunc(s.pieces, func(p piece) bool { return strings.Contains(strings.ToLower(p.text), alias) }) {
		alias += "_"
	}
	// The statement writes none of the names here: that of a column which was dropped must not mean one of these.
	var arrays, names []string
	for i, oid := range parameters {
		name := typeName(oid)
		if name == "" {
			return ""
		}
		arrays = append(arrays, fmt.Sprintf("pg_catalog.unnest($%d::pg_catalog.%s[])", i+1, name))
		names = append(names, alias+"_p"+strconv.Itoa(i+1))
	}
	var inner strings.Builder
	number := 0
	for _, p := range body {
		if !p.placeholder {
			inner.WriteString(p.text)
			continue
		}
		number++
		fmt.Fprintf(&inner, "%[1]s.%[1]s_p%[2]d", alias, number)
	}
	what, yes := "1", ""
	if boolean {
		what, yes = "*", " where "+alias+"a.yes"
	}
	return fmt.Sprintf("select pg_catalog.string_agg(%[1]s.%[1]s_n::pg_catalog.text, ',') from rows from (%[2]s) with ordinality as %[1]s(%[3]s, %[1]s_n)"+
		" cross join lateral (select %[4]s from (%[5]s\n) as %[1]ss limit 1) as %[1]sa(yes)%[6]s",
		alias, strings.Join(arrays, ", "), strings.Join(names, ", "), what, inner.String(), yes)
}

// body is the statement's pieces without a semicolon at the end. It returns false where one stands elsewhere.
func (s *statement) body() ([]piece, bool) {
	body := slices.Clone(s.pieces)
	ended := false
	for i, p := range body {
		if p.placeholder {
			if ended {
				return nil, false
			}
			continue
		}
		for at := 0; at < len(p.text); {
			rest := p.text[at:]
			size, err := token(rest)
			if err != nil {
				return nil, false
			}
			switch {
			case strings.IndexByte(" \t\n\r\f\v", rest[0]) >= 0, strings.HasPrefix(rest, "--"), strings.HasPrefix(rest, "/*"):
			case ended:
				return nil, false
			case rest[0] == ';':
				ended = true
				body[i].text = p.text[:at]
			}
			at += size
		}
	}
	return body, true
}
