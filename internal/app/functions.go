package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/cdc/ingest"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/internal/config"
	"github.com/reactive-gw/reactive-gw/wal/values"
)

// Functions are what a Go program decides in its own code instead of by its configuration. Package gateway/reactive says
// what is expected of them.
type Functions struct {
	Authenticate func(*http.Request) (*auth.Principal, error)
	ParseNotify  ingest.Parser
	Channels     map[string]ChannelFunctions // by the channel of an entry under reactive
}

// ChannelFunctions are those of one channel.
type ChannelFunctions struct {
	Authorize      func(context.Context, *auth.Principal, auth.Subscription) error
	FilterRow      func(*auth.Principal, auth.Row) bool
	FilterColumns  []string
	ResolveScopes  func(auth.Row) ([]auth.Scope, error)
	ResolveColumns []string
}

// functionPath names a function in a problem.
func functionPath(channel, field string) string {
	return fmt.Sprintf("Options.Channels[%q].%s", channel, field)
}

// check reports functions that nobody would call, or that something else in the configuration contradicts: either would
// show clients more than was meant.
func (f Functions) check(cfg *config.Config) (problems []config.Problem) {
	fail := func(key, problem, fix string) {
		problems = append(problems, config.Problem{Key: key, Problem: problem, Fix: fix})
	}
	switch {
	case f.Authenticate != nil && cfg.Authenticate != nil:
		fail("Options.Authenticate", "there is an authenticate section as well", "keep one of them")
	case f.Authenticate == nil && cfg.Authenticate == nil && !cfg.AllowAnonymous:
		fail("Options.Authenticate", "nothing asks clients who they are",
			"give a function, or write an authenticate section, or allowAnonymous: true if everybody may read everything that is served")
	}
	if f.ParseNotify != nil && (cfg.Ingest == nil || cfg.Ingest.Notify == nil) {
		fail("Options.ParseNotify", "nothing listens for notifications", "write ingest: {notify: {channel: mtbreactive, trustNotify: true}}")
	}
	var channels []string
	for _, entry := range cfg.Reactive {
		channels = append(channels, entry.Channel)
	}
	for _, name := range slices.Sorted(maps.Keys(f.Channels)) {
		at := slices.Index(channels, name)
		if at < 0 {
			fix := "write an entry for its table there"
			if len(channels) > 0 {
				fix = insteadOf(name, channels)
			}
			fail(fmt.Sprintf("Options.Channels[%q]", name), "there is no such channel under reactive", fix)
			continue
		}
		f.Channels[name].check(&cfg.Reactive[at], func(field, problem, fix string) { fail(functionPath(name, field), problem, fix) })
	}
	return problems
}

func (f ChannelFunctions) check(entry *config.Reactive, fail func(field, problem, fix string)) {
	if f.Authorize != nil && entry.Authorize != nil {
		fail("Authorize", "the channel has the key authorize as well", "keep one of them")
	}
	if f.FilterRow != nil && entry.FilterRow != "" {
		fail("FilterRow", "the channel has the key filterRow as well", "keep one of them")
	}
	if f.FilterRow == nil && f.FilterColumns != nil {
		fail("FilterColumns", "there is no FilterRow that would look at them", "give one")
	}
	if f.ResolveScopes != nil && entry.ResolveScopes != nil {
		fail("ResolveScopes", "the channel has the key resolveScopes as well", "keep one of them")
	}
	if f.ResolveScopes == nil && f.ResolveColumns != nil {
		fail("ResolveColumns", "there is no ResolveScopes that would look at them", "give one")
	}
	if f.ResolveScopes != nil && entry.Scopes == nil {
		fail("ResolveScopes", "it has no scopes to come to", "name them in the channel's scopes")
	}
}

// functionTimeout is how long Authenticate and Authorize may take: a connection that waits for them cannot be ended.
const functionTimeout = 5 * time.Second

func (f Functions) authenticator() auth.Authenticator {
	return auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) {
		ctx, cancel := context.WithTimeout(r.Context(), functionTimeout)
		defer cancel()
		return f.Authenticate(r.WithContext(ctx))
	})
}

func (f ChannelFunctions) authorizer() auth.Authorizer {
	return auth.AuthorizerFunc(func(ctx context.Context, p *auth.Principal, s auth.Subscription) error {
		ctx, cancel := context.WithTimeout(ctx, functionTimeout)
		defer cancel()
		return f.Authorize(ctx, p, s)
	})
}

// errNoEvents is for a payload whose parser panicked.
var errNoEvents = errors.New("the parser panicked")

// parser is nil for the usual one. A panic in it is an error.
func (f Functions) parser() ingest.Parser {
	if f.ParseNotify == nil {
		return nil
	}
	return func(payload []byte) (events []ingest.Event, err error) {
		defer func() {
			if recover() != nil {
				events, err = nil, errNoEvents
			}
		}()
		return f.ParseNotify(payload)
	}
}

// declaredRow shows a function the columns that it is said to look at. If it could see others, or took an unknown value
// for NULL, its answer would be one that nobody can rely on.
type declaredRow struct {
	*rowImage
	columns []string
	failure error
}

// Value implements auth.Row.
func (r *declaredRow) Value(column string) (any, bool) {
	if !slices.Contains(r.columns, column) {
		r.failure = fmt.Errorf("the function looks at column %q, which it is not said to", column)
		return nil, false
	}
	value, ok := r.rowImage.Value(column)
	if !ok {
		r.failure = fmt.Errorf("the value of column %q is not known", column)
	}
	return value, ok
}

// resolve asks ResolveScopes.
func (f *ChannelFunctions) resolve(image *rowImage) ([]auth.Scope, error) {
	row := declaredRow{rowImage: image, columns: f.ResolveColumns}
	scopes, err := f.ResolveScopes(&row)
	if err == nil {
		err = row.failure
	}
	return scopes, err
}

// filterFunction is a fanout.RowFilter.
type filterFunction struct {
	ChannelFunctions
	types *values.Catalog
}

// PerClient implements fanout.RowFilter.
func (f filterFunction) PerClient() bool { return true }

// NewVerdict implements fanout.RowFilter.
func (f filterFunction) NewVerdict() fanout.Verdict {
	return &functionVerdict{f.FilterRow, declaredRow{rowImage: &rowImage{types: f.types}, columns: f.FilterColumns}}
}

// functionVerdict implements fanout.Verdict.
type functionVerdict struct {
	show func(*auth.Principal, auth.Row) bool
	row  declaredRow
}

// Judge implements fanout.Verdict.
func (v *functionVerdict) Judge(t *cdc.Table, row cdc.Row) {
	v.row.set(t, row)
	v.row.failure = nil
}

// Shared implements fanout.Verdict.
func (v *functionVerdict) Shared() (allowed, shared bool) { return false, false }

// Allows implements fanout.Verdict.
func (v *functionVerdict) Allows(viewer any) bool {
	v.row.failure = nil
	principal, _ := viewer.(*auth.Principal)
	return principal != nil && v.show(principal, &v.row) && v.row.failure == nil
}

// Failure implements fanout.Verdict.
func (v *functionVerdict) Failure() error { return v.row.failure }
