package auth

import (
	"cmp"
	"errors"
	"strings"
	"time"
)

// MemberOptions configure Member.
type MemberOptions struct {
	// Database is asked. Required.
	Database Database
	// Schema and Table name the table of members. Required.
	Schema, Table string
	// Scope is the table's column that holds the scope's value, and User the one that holds who is a member. Required.
	Scope, User string
	// Claim is the path of the claim that User is compared with; empty is sub.
	Claim []string
	// Column is the scope column of the subscriptions that are decided; empty is the name in Scope. Subscriptions by any
	// other are refused.
	Column string
	// ScopeSQL and UserSQL say how Scope and User are compared. What is empty is right for a column of a type of PostgreSQL's own.
	ScopeSQL, UserSQL ColumnSQL
	// Timeout and CacheFor are as in SQLOptions.
	Timeout, CacheFor time.Duration
}

// ColumnSQL is a column in SQL. The search_path of the connection must not decide what it means.
type ColumnSQL struct {
	// Value is the left side of Operator.
	Value string
	// Operator is the equality of its type, such as OPERATOR(public.=).
	Operator string
	// Text is the column as text.
	Text string
}

// equals is true of a row whose column equals the one parameter by type, for the index; and the other by text, so that one way
// to write a user is one user.
func (c ColumnSQL) equals(column, byType, byText string) string {
	return cmp.Or(c.Value, column) + " " + cmp.Or(c.Operator, "OPERATOR(pg_catalog.=)") + " " + byType +
		" and " + cmp.Or(c.Text, column+"::pg_catalog.text") + " OPERATOR(pg_catalog.=) " + byText
}

// Member authorizes by a row: whoever is in the table of members with the scope's value may subscribe. Because it is a
// table, its changes tell whose subscriptions have to be looked at again. It may be used by many goroutines at once.
type Member struct {
	*SQL
	membership *Membership
}

// NewMember checks the options.
func NewMember(options MemberOptions) (*Member, error) {
	if options.Schema == "" || options.Table == "" || options.Scope == "" || options.User == "" {
		return nil, errors.New("authorize by members: the table, its scope column and its user column have to be named")
	}
	if options.Column == "" {
		options.Column = options.Scope
	}
	if len(options.Claim) == 0 {
		options.Claim = []string{"sub"}
	}
	scope, user := quoteIdentifier(options.Scope), quoteIdentifier(options.User)
	is, has := parameter{name: "scope"}, parameter{name: "ctx", claim: options.Claim}
	s := &statement{
		text: "select exists (select 1 from " + quoteIdentifier(options.Schema) + "." + quoteIdentifier(options.Table) +
			" where " + options.ScopeSQL.equals(scope, "$1", "$2") + " and " + options.UserSQL.equals(user, "$3", "$4") + ")",
		parameters: []parameter{is, is, has, has},
	}
	query, err := newSQL(SQLOptions{
		Database: options.Database, Column: options.Column, Timeout: options.Timeout, CacheFor: options.CacheFor,
	}, s)
	if err != nil {
		return nil, err
	}
	return &Member{query, &Membership{
		Schema: options.Schema, Table: options.Table,
		conditions: []condition{{column: options.Scope, parameter: &is}, {column: options.User, parameter: &has}},
	}}, nil
}

// Membership says on which rows a yes depends.
func (m *Member) Membership() *Membership { return m.membership }

func quoteIdentifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
