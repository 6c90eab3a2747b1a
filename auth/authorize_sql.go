package auth

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// QueryRow runs a query and gives its first row. The arguments are strings, or nil for NULL, and go to PostgreSQL as text
// whose type it finds out itself, so that conversation_id = $1 works whatever type the column has. pgx does so:
//
//	func(ctx context.Context, sql string, args ...any) auth.RowScanner { return pool.QueryRow(ctx, sql, args...) }
//
// Many goroutines call it at once.
type QueryRow func(ctx context.Context, sql string, args ...any) RowScanner

// RowScanner gives the columns of a row, or the error of the query. Where there is no row, the error is sql.ErrNoRows.
type RowScanner interface {
	Scan(destination ...any) error
}

// SQLOptions configure SQL.
type SQLOptions struct {
	// Query asks the database. Required.
	Query QueryRow
	// Statement is a query in which these stand for bound values: $scope, the scope's value; $scope.col, its column;
	// $channel; and $ctx.claim or $ctx.claim.member, a claim of the principal. The subscription is allowed where the first
	// column of the first row is true. Required.
	Statement string
	// Column is the scope column whose values $scope stands for: subscriptions by any other are refused. It may be empty
	// where the statement looks at $scope.col itself, or not at the scope.
	Column string
	// Timeout bounds a query; zero is two seconds.
	Timeout time.Duration
	// CacheFor is how long an answer holds, a no as well as a yes; zero is not at all.
	CacheFor time.Duration
}

// SQL authorizes by a query. A principal without a claim that the query asks for is refused; so is one where the claim
// is null or an object. A list of strings, numbers and bools becomes an array: role = any($ctx.roles). It may be used by
// many goroutines at once.
type SQL struct {
	options   SQLOptions
	statement *statement
	memo      memo[bool]
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
	case options.Query == nil:
		return nil, errors.New("authorize by SQL: there is no database to ask")
	case options.Column == "" && uses("scope") && !uses("scope.col"):
		return nil, errors.New("authorize by SQL: $scope may be of any scope column: say of which, or compare $scope.col with its name")
	case options.Timeout < 0 || options.CacheFor < 0:
		return nil, errors.New("authorize by SQL: a time is negative")
	}
	options.Timeout = cmp.Or(options.Timeout, 2*time.Second)
	return &SQL{options: options, statement: s}, nil
}

// Check runs the query with NULL for every value, to find out before the first client does whether it can be run. Its
// errors are those of the database.
func (q *SQL) Check(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, q.options.Timeout)
	defer cancel()
	var allowed *bool
	err := q.options.Query(ctx, q.statement.text, make([]any, len(q.statement.parameters))...).Scan(&allowed)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
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
func (q *SQL) Forget() { q.memo.forget() }

// Authorize implements Authorizer.
func (q *SQL) Authorize(ctx context.Context, p *Principal, s Subscription) error {
	if p == nil || (q.options.Column != "" && s.Scope.Column != q.options.Column) {
		return deny(Forbidden)
	}
	values, err := q.statement.bind(p, s)
	if err != nil {
		return err
	}
	ctx = context.WithoutCancel(ctx) // others may be waiting for the same answer
	allowed, err := q.memo.get(digestOf(values...), func() (bool, time.Duration, error) {
		allowed, err := q.ask(ctx, values)
		return allowed, q.options.CacheFor, err
	})
	switch {
	case err != nil:
		return err
	case !allowed:
		return deny(Forbidden)
	}
	return nil
}

func (q *SQL) ask(ctx context.Context, values []string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, q.options.Timeout)
	defer cancel()
	args := make([]any, len(values))
	for i, v := range values {
		args[i] = v
	}
	var allowed *bool
	err := q.options.Query(ctx, q.statement.text, args...).Scan(&allowed)
	// A server's error may quote the values, so only its code is told (manual, appendix "PostgreSQL Error Codes").
	var coded interface{ SQLState() string }
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return false, nil
	case errors.As(err, &coded):
		return false, denyf(Unavailable, "the query failed with SQLSTATE %s", coded.SQLState())
	case errors.Is(err, context.DeadlineExceeded):
		return false, denyf(Unavailable, "the query took longer than %s", q.options.Timeout)
	case err != nil:
		return false, denyf(Unavailable, "the query failed")
	}
	return allowed != nil && *allowed, nil
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
