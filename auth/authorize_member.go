package auth

import (
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
	// Timeout and CacheFor are as in SQLOptions.
	Timeout, CacheFor time.Duration
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
	// Equal by type, for the index; and by text, so that one way to write a user is one user.
	s := &statement{
		text: "select exists (select 1 from " + quoteIdentifier(options.Schema) + "." + quoteIdentifier(options.Table) +
			" where " + scope + " = $1 and " + scope + "::text = $2 and " + user + " = $3 and " + user + "::text = $4)",
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
