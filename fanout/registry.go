package fanout

import (
	"fmt"
	"time"

	"go.uber.org/zap"
)

// Channel is a table that clients may subscribe to.
type Channel struct {
	Name   string
	Schema string
	Table  string
	Scopes []Scope
	// Exclude names columns that never reach a client.
	Exclude []string
	// Columns names the table's columns when the channel was made. It matters where Exclude names any: when one of those
	// is missing from the stream beside a column that is not listed here, it may have been renamed, and the channel ends.
	Columns []string
	// Filter decides which rows of the channel a client sees; nil is all. Excluded columns count for it too.
	Filter RowFilter
	// FilterColumns are what Filter looks at. When one of them is gone or of another type, the channel ends.
	FilterColumns []InputColumn
	// Resolver finds a row's values of those Scopes that are Resolved; nil where none is.
	Resolver ScopeResolver
	// ResolverColumns are what Resolver looks at, as FilterColumns are.
	ResolverColumns []InputColumn
	// Guard says when clients lose the right to what they subscribed to; nil is never.
	Guard Guard
	// Snapshot makes new subscribers get the rows that are there; nil for none.
	Snapshot *SnapshotOptions
	// Beside says that changes of the table come beside the log, which is why nobody can resume them.
	Beside bool
	// BatchEvery is how long events may wait to go out with others in one frame; 0 sends each at once.
	BatchEvery time.Duration
}

// Scope is a column by whose value clients may narrow a channel.
type Scope struct {
	Column string
	Type   ScopeType
	// Resolved: the channel's Resolver says which values a row has, of which there may be several. The table need not have
	// such a column, and TypeOID is not looked at.
	Resolved bool
	// TypeOID is the column's type when the channel was made. When the stream shows another one, Type no longer holds.
	TypeOID uint32
}

// TableName names a table as the stream does.
type TableName struct{ Schema, Name string }

// registry holds the channels by name and by table. It does not change.
type registry struct {
	byName  map[string]*channel
	byTable map[TableName][]*channel
	// guarded are the channels that have a guard, and guards finds them by the tables that it looks at.
	guarded []*channel
	guards  map[TableName][]*channel
	// lookups are the channels whose resolvers have to ask.
	lookups []*channel
}

// newRegistry refuses two channels of one name, a channel without scopes, and a scope that nobody resolves. A table may have
// several channels.
func newRegistry(channels []Channel, log *zap.Logger) (*registry, error) {
	r := &registry{byName: map[string]*channel{}, byTable: map[TableName][]*channel{}, guards: map[TableName][]*channel{}}
	for _, def := range channels {
		if r.byName[def.Name] != nil {
			return nil, fmt.Errorf("channel %q is defined twice", def.Name)
		}
		if len(def.Scopes) == 0 {
			return nil, fmt.Errorf("channel %q has no scope", def.Name)
		}
		ch := &channel{
			Channel:          def,
			snapshotFailures: &failures{log: log, channel: def.Name, message: "no snapshot"},
			undecided:        &failures{log: log, channel: def.Name, message: "subscription ended: authorize did not say whether its client still has the right to it"},
			overflows:        &failures{log: log, channel: def.Name, message: "a change is too large to be told: the views that it concerns start over"},
		}
		if def.Filter != nil {
			ch.filter = newFilter(&ch.Channel, log)
		}
		if def.Resolver != nil {
			ch.resolver = newResolver(&ch.Channel, log)
			if lookup, ok := def.Resolver.(LookupResolver); ok {
				ch.lookup = lookup
				r.lookups = append(r.lookups, ch)
			}
		}
		if def.Guard != nil {
			ch.guard = &guard{Guard: def.Guard, revision: 1}
			r.guarded = append(r.guarded, ch)
			for _, t := range def.Guard.Tables() {
				r.guards[t] = append(r.guards[t], ch)
			}
		}
		for _, s := range def.Scopes {
			if s.Resolved && def.Resolver == nil {
				return nil, fmt.Errorf("channel %q has no resolver for its scope %q", def.Name, s.Column)
			}
			ch.scopes = append(ch.scopes, scopeIndex{Scope: s, channel: ch, topics: map[string]*topic{}})
		}
		r.byName[def.Name] = ch
		key := TableName{def.Schema, def.Table}
		r.byTable[key] = append(r.byTable[key], ch)
	}
	return r, nil
}
