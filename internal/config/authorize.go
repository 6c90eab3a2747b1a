package config

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/goccy/go-yaml/ast"
)

// Authorize says who may subscribe to a table's channel. One of CEL, SQL, Webhook and Member is set.
type Authorize struct {
	CEL     string
	SQL     string
	Webhook string // a URL
	// AllowPlainHTTP lets Webhook be http:// on another machine.
	AllowPlainHTTP bool

	Member  *Member
	Timeout time.Duration
	// CacheFor is how long an answer of SQL, Webhook or Member holds; 0 is not at all.
	CacheFor time.Duration
}

// String is for the log.
func (a *Authorize) String() string {
	switch {
	case a == nil:
		return "everyone"
	case a.CEL != "":
		return "cel"
	case a.SQL != "":
		return "sql"
	case a.Member != nil:
		return "member"
	}
	return "webhook"
}

// Member is a table whose rows say who may subscribe to what.
type Member struct {
	Table TableName
	// Scope is its column with the scope's value, User that with the user.
	Scope, User string
}

// authorize reads the key of that name.
func (d *document) authorize(path string, node ast.Node) *Authorize {
	a := &Authorize{Timeout: defaultWebhookTimeout}
	before := len(d.problems)
	d.mapping(path, node, []key{
		{"cel", one(d, kindText, program, &a.CEL)},
		{"sql", one(d, kindText, program, &a.SQL)},
		{"webhook", one(d, kindText, plainText, &a.Webhook)},
		{"allowPlainHttp", one(d, kindBoolean, trueOrFalse, &a.AllowPlainHTTP)},
		{"member", func(path string, node ast.Node) { a.Member = d.member(path, node) }},
		{"timeout", one(d, kindQuantity, duration, &a.Timeout)},
		{"cacheFor", one(d, kindQuantity, duration, &a.CacheFor)},
	})
	if len(d.problems) == before {
		d.plainHTTP(path, a.AllowPlainHTTP, a.Webhook, "webhook")
		d.exactlyOne(path, map[string]bool{"cel": a.CEL != "", "sql": a.SQL != "", "webhook": a.Webhook != "", "member": a.Member != nil})
	}
	return a
}

func (d *document) member(path string, node ast.Node) *Member {
	m := &Member{}
	before := len(d.problems)
	d.mapping(path, node, []key{
		{"table", one(d, kindText, tableName, &m.Table)},
		{"scope", one(d, kindText, catalogName, &m.Scope)},
		{"user", one(d, kindText, catalogName, &m.User)},
	})
	if len(d.problems) == before {
		d.required(path, "table", m.Table.Name != "", "write the table of members")
		d.required(path, "scope", m.Scope != "", "name its column with the scope's value")
		d.required(path, "user", m.User != "", "name its column with the user")
	}
	return m
}

// program is the text of an expression or a query, which may have several lines.
func program(text string) (string, *mistake) {
	if strings.TrimSpace(text) == "" || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return "", &mistake{problem: "is no text", fix: "write an expression"}
	}
	return text, nil
}
