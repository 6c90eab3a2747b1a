package reactive_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
	"github.com/reactive-gw/reactive-gw/gateway/reactive"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func authenticate(*http.Request) (*auth.Principal, error)                 { return nil, nil }
func authorize(context.Context, *auth.Principal, auth.Subscription) error { return nil }
func show(*auth.Principal, auth.Row) bool                                 { return true }
func scopes(auth.Row) ([]auth.Scope, error)                               { return nil, nil }
func parse([]byte) ([]ingest.Event, error)                                { return nil, nil }

// Each would show clients more than was meant, or nothing at all.
func TestEachMistakeIsSaidAtTheStart(t *testing.T) {
	database := pgtest.Database(t)
	pgtest.Exec(t, database, orders)
	one := func(c reactive.Channel) map[string]reactive.Channel { return map[string]reactive.Channel{"orders": c} }
	const table = "allowAnonymous: true\nreactive: [{table: orders, scopes: [id]}]"
	with := func(more string) string {
		return strings.Replace(table, "scopes: [id]", "scopes: [id], "+more, 1)
	}
	for want, o := range map[string]reactive.Options{
		"Options.Authenticate: nothing asks clients who they are": {},
		"Options.Authenticate: there is an authenticate section as well": {Authenticate: authenticate,
			Config: "authenticate: {headers: {proxies: [127.0.0.1], claims: {sub: X-User}}}"},
		"Options.ParseNotify: nothing listens":                                                    {Config: table, ParseNotify: parse},
		`Options.Channels["orders"]: there is no such channel under reactive: write an entry`:     {Config: "allowAnonymous: true", Channels: one(reactive.Channel{})},
		`Options.Channels["orders"].Authorize: the channel has the key authorize`:                 {Config: with("authorize: {cel: 'true'}"), Channels: one(reactive.Channel{Authorize: authorize})},
		`Options.Channels["orders"].FilterRow: the channel has the key filterRow`:                 {Config: with("filterRow: 'true'"), Channels: one(reactive.Channel{FilterRow: show})},
		`Options.Channels["orders"].ResolveScopes: the channel has the key resolveScopes`:         {Config: with(`resolveScopes: ["{'col': 'id', 'value': row.id}"]`), Channels: one(reactive.Channel{ResolveScopes: scopes})},
		`Options.Channels["orders"].FilterColumns: there is no FilterRow`:                         {Config: table, Channels: one(reactive.Channel{FilterColumns: []string{"id"}})},
		`Options.Channels["orders"].ResolveColumns: there is no ResolveScopes`:                    {Config: table, Channels: one(reactive.Channel{ResolveColumns: []string{"id"}})},
		`Options.Channels["orders"].ResolveScopes: it has no scopes to come to`:                   {Config: strings.Replace(table, ", scopes: [id]", "", 1), Channels: one(reactive.Channel{ResolveScopes: scopes})},
		`Options.Channels["orders"].FilterColumns: table public.orders has no column idd: write`:  {Config: table, Channels: one(reactive.Channel{FilterRow: show, FilterColumns: []string{"idd"}})},
		`Options.Channels["orders"].ResolveColumns: table public.orders has no column idd: write`: {Config: table, Channels: one(reactive.Channel{ResolveScopes: scopes, ResolveColumns: []string{"idd"}})},
		`Options.Channels["orders"].ResolveScopes: no snapshot can be read by scope id`:           {Config: with("snapshot: {limit: 1}"), Channels: one(reactive.Channel{ResolveScopes: scopes})},
		"Options.Config:1:9: listen is for the program that listens by itself":                    {Config: "listen: 127.0.0.1:8080\nallowAnonymous: true"},
		"Options.Config:1:1: unknown key \"tables\"":                                              {Config: "tables: [orders]"},
	} {
		o.DatabaseURL = database
		gw, err := reactive.Start(t.Context(), o)
		if err == nil {
			stop(t, gw)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v\nwant %s", err, want)
		}
	}
	_, err := reactive.Start(t.Context(), reactive.Options{Config: table})
	if err == nil || !strings.Contains(err.Error(), "Options.DatabaseURL: value is empty") {
		t.Errorf("the error is %v", err)
	}
}
