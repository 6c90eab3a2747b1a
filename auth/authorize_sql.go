package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SQLOptions configure SQL.
type SQLOptions struct {
	// Database is asked. Required.
	Database Database
	// Statement is a query in which these stand for bound values: $scope, the scope's value; $scope.col, its column;
	// $channel; and $ctx.claim or $ctx.claim.member, a claim of the principal. Where it returns one column, a boolean, the
	// subscription is allowed if that is true in the first row; otherwise if there is a row. Required.
	Statement string
	// Column is the scope column whose values $scope stands for: subscriptions by any other are refused. It may be empty
	// where the statement looks at $scope.col itself, or not at the scope.
	Column string
	// Timeout bounds a query, from when its connection is had; zero is two seconds. For a connection a question waits twice as
	// long, and five seconds at least.
	Timeout time.Duration
	// CacheFor is how long an answer holds, a no as well as a yes; zero is not at all.
	CacheFor time.Duration
}

// SQL authorizes by a query. A principal without a claim that the query asks for is refused; so is one where the claim
// is null or an object. A list of strings, numbers and bools becomes an array: role = any($ctx.roles). It may be used by
// many goroutines at once.
type SQL struct {
	column    string
	statement *statement
	asker     asker
}

// NewSQL refuses a statement that cannot be read.
func NewSQL(options SQLOptions) (*SQL, error) {
	s, err := parseStatement(options.Statement)
	if err != nil {
		return nil, fmt.Errorf("authorize by SQL: %w", err)
	}
	return newSQL(options, s)
}

func newSQL(options SQLOptions, s *statement) (*SQL, error) {
	uses := func(name string) bool {
		return slices.ContainsFunc(s.parameters, func(p parameter) bool { return p.name == name })
	}
	switch {
	case options.Database == nil:
		return nil, errors.New("authorize by SQL: there is no database to ask")
	case options.Column == "" && uses("scope") && !uses("scope.col"):
		return nil, errors.New("authorize by SQL: $scope may be of any scope column: say of which, or compare $scope.col with its name")
	case options.Timeout < 0 || options.CacheFor < 0:
		return nil, errors.New("authorize by SQL: a time is negative")
	}
	options.Timeout = cmp.Or(options.Timeout, 2*time.Second)
	return &SQL{column: options.Column, statement: s, asker: asker{
		database: options.Database, query: &query{statement: s}, timeout: options.Timeout, patience: patience(options.Timeout),
		holds: options.CacheFor, slots: make(chan struct{}, maxAsking),
	}}, nil
}

// Check runs the query with NULL for every value, to find out before the first client does whether it can be run, and
// whether it gives an answer: a boolean, or rows that are not always there. Its errors are those of the database, and others
// that a person has to mend.
func (q *SQL) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, q.asker.patience+q.asker.timeout)
	defer cancel()
	err := q.asker.database.With(ctx, func(c Connection) error { return q.asker.query.check(ctx, c) })
	if err != nil {
		return fmt.Errorf("authorize by SQL: %w", err)
	}
	return nil
}

// Text is the query as PostgreSQL gets it, and how many parameters it has.
func (q *SQL) Text() (sql string, parameters int) {
	return q.statement.text, len(q.statement.parameters)
}

// Membership says on which rows the query's yes depends, where it is written in the form of one; else it is nil.
func (q *SQL) Membership() *Membership { return q.statement.membership() }

// Forget drops the answers that are remembered. One that is on its way is not remembered either.
func (q *SQL) Forget() { q.asker.memo.forget() }

// Authorize implements Authorizer.
func (q *SQL) Authorize(ctx context.Context, p *Principal, s Subscription) error {
	if p == nil || (q.column != "" && s.Scope.Column != q.column) {
		return deny(Forbidden)
	}
	values, err := q.statement.bind(p, s)
	if err != nil {
		return err
	}
	arguments := make([]*string, len(values))
	for i := range values {
		arguments[i] = &values[i]
	}
	allowed, err := q.asker.ask(ctx, arguments)
	switch {
	case err != nil:
		return err
	case !allowed:
		return deny(Forbidden)
	}
	return nil
}

// bind returns the values of the parameters as text.
func (s *statement) bind(p *Principal, about Subscription) ([]string, error) {
	values := make([]string, len(s.parameters))
	for i, parameter := range s.parameters {
		var value any
		switch parameter.name {
		case "scope":
			value = about.Scope.Value
		case "scope.col":
			value = about.Scope.Column
		case "channel":
			value = about.Channel
		default:
			value, _ = p.Claim(parameter.claim...)
		}
		text, ok := sqlText(value)
		if !ok && parameter.name == "ctx" {
			return nil, denyf(UnusableClaims, "ctx.%s is missing or is no value that a query can use", strings.Join(parameter.claim, "."))
		}
		if !ok {
			return nil, deny(Forbidden)
		}
		values[i] = text
	}
	return values, nil
}

// sqlText writes a value as PostgreSQL reads it, a list as an array (manual, "Array Value Input").
func sqlText(value any) (string, bool) {
	list, ok := value.([]any)
	if !ok {
		return sqlScalar(value)
	}
	elements := make([]string, len(list))
	for i, v := range list {
		text, ok := sqlScalar(v)
		if !ok {
			return "", false
		}
		elements[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
	}
	return "{" + strings.Join(elements, ",") + "}", true
}

func sqlScalar(value any) (string, bool) {
	switch v := value.(type) {
	case string:
		return v, !strings.ContainsRune(v, 0)
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64), true
	case bool:
		return strconv.FormatBool(v), true
	}
	return "", false
}
