package auth

import (
	"context"
	"errors"
	"strings"
	"time"
)

// MemberOptions configure Member.
type MemberOptions struct {
	// Query asks the database. Required.
	Query QueryRow
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
	options MemberOptions
	sql     *SQL
}

// Membership is one pair of a scope's value and a user, both as PostgreSQL writes them as text.
type Membership struct{ Scope, User string }

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
	// Equal by type, for the index; and by text, so that a membership is one text on both sides of Concerns.
	s := &statement{
		text: "select exists (select 1 from " + quoteIdentifier(options.Schema) + "." + quoteIdentifier(options.Table) +
			" where " + scope + " = $1 and " + scope + "::text = $2 and " + user + " = $3 and " + user + "::text = $4)",
		parameters: []parameter{is, is, has, has},
	}
	query, err := newSQL(SQLOptions{
		Query: options.Query, Column: options.Column, Timeout: options.Timeout, CacheFor: options.CacheFor,
	}, s)
	if err != nil {
		return nil, err
	}
	return &Member{options, query}, nil
}

// Table is the table whose changes concern memberships.
func (m *Member) Table() (schema, name string) { return m.options.Schema, m.options.Table }

// Check finds out whether the table can be asked. Its errors are those of the database.
func (m *Member) Check(ctx context.Context) error { return m.sql.Check(ctx) }

// Authorize implements Authorizer.
func (m *Member) Authorize(ctx context.Context, p *Principal, s Subscription) error {
	return m.sql.Authorize(ctx, p, s)
}

// Concerns says which membership a row of the table is, before or after a change; nil is none, for it has a NULL. The
// error is that a column's value is not known, or is of a type that has no one text: all subscriptions are concerned.
//
// A commit is in the WAL before queries see it. So the change itself says what became of the membership, and a query made
// at once may still answer as before: Forget it, or wait for the commit.
func (m *Member) Concerns(row Row) (*Membership, error) {
	var texts [2]string
	for i, column := range []string{m.options.Scope, m.options.User} {
		value, ok := row.Value(column)
		if !ok {
			return nil, denyf(UnusableClaims, "the column %s of a member is not known: its table needs REPLICA IDENTITY FULL", column)
		}
		if value == nil {
			return nil, nil
		}
		if texts[i], ok = (Scope{Value: value}).Text(); !ok {
			return nil, denyf(UnusableClaims, "the column %s of a member is of a type that cannot name anybody", column)
		}
	}
	return &Membership{Scope: texts[0], User: texts[1]}, nil
}

// Decides says which membership decides about a subscription. It returns false where none does: it is refused anyway.
func (m *Member) Decides(p *Principal, s Subscription) (Membership, bool) {
	if p == nil || s.Scope.Column != m.options.Column {
		return Membership{}, false
	}
	values, err := m.sql.statement.bind(p, s)
	if err != nil {
		return Membership{}, false
	}
	return Membership{Scope: values[0], User: values[2]}, true
}

// Forget drops what is remembered of a membership, and an answer that is on its way is not remembered.
func (m *Member) Forget(about Membership) {
	m.sql.memo.forget(digestOf(about.Scope, about.Scope, about.User, about.User))
}

func quoteIdentifier(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }
