package app

import (
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
	"github.com/reactive-gw/reactive-gw/wal"
)

// availability opens a channel once every table is ready that it needs: its own, and those that rights or scopes are read
// from and that are to be in the stream.
type availability struct {
	hub      *fanout.Hub
	channels map[wal.TableName][]string

	mu      sync.Mutex
	missing map[string]map[wal.TableName]*protocol.Error // by channel
	from    map[string]cdc.LSN
}

func newAvailability(hub *fanout.Hub, s *served) *availability {
	a := &availability{hub: hub, channels: map[wal.TableName][]string{}, missing: map[string]map[wal.TableName]*protocol.Error{}, from: map[string]cdc.LSN{}}
	needs := func(t wal.TableName, channel string) {
		if !slices.Contains(a.channels[t], channel) {
			a.channels[t] = append(a.channels[t], channel)
		}
	}
	for _, ch := range s.channels {
		needs(wal.TableName{Schema: ch.Schema, Name: ch.Table}, ch.Name)
		if ch.Guard != nil {
			for _, t := range ch.Guard.Tables() {
				needs(wal.TableName(t), ch.Name)
			}
		}
	}
	for _, l := range s.lookups {
		for _, t := range l.reads {
			needs(t, l.channel)
		}
	}
	return a
}

// report hears how far a table is. It is wal.Server.Report.
func (a *availability) report(t wal.TableState) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, name := range a.channels[t.Table] {
		if a.missing[name] == nil {
			a.missing[name] = map[wal.TableName]*protocol.Error{}
		}
		switch t.Progress {
		case wal.Ready:
			delete(a.missing[name], t.Table)
			a.from[name] = max(a.from[name], t.From)
		case wal.LeftOut:
			a.missing[name][t.Table] = &protocol.Error{Code: protocol.CodeUnknownChannel, Detail: "the channel is not served"}
		default:
			a.missing[name][t.Table] = &protocol.Error{Code: protocol.CodeUnavailable, Detail: "the channel is not served yet"}
		}
		if len(a.missing[name]) == 0 {
			a.hub.Open(a.from[name], name)
			delete(a.from, name)
			continue
		}
		a.hub.Withdraw(worst(a.missing[name]), name)
	}
}

// worst is that of a table that is left out, where one is.
func worst(missing map[wal.TableName]*protocol.Error) (why *protocol.Error) {
	for _, e := range missing {
		if why == nil || e.Code == protocol.CodeUnknownChannel {
			why = e
		}
	}
	return why
}

// unservedConditions are those of tables that are not served, one for each reason.
func unservedConditions(tables []wal.TableState) (list []condition) {
	add := func(progress wal.Progress, name, detail, do string) {
		var names []string
		for _, t := range tables {
			if t.Progress == progress {
				names = append(names, t.Table.String())
			}
		}
		if len(names) > 0 {
			list = append(list, condition{name, fmt.Sprintf(detail, len(names), wal.Some(names)), do})
		}
	}
	const who = "SELECT l.relation::regclass, l.mode, a.pid, a.xact_start, a.query FROM pg_locks l JOIN pg_stat_activity a USING (pid) " +
		"WHERE l.locktype = 'relation' AND l.granted ORDER BY a.xact_start;"
	add(wal.Locked, "tables locked", "%d tables are not served yet, for others hold locks on them: %s", "nothing: they are tried again; who holds the locks: "+who)
	add(wal.Draining, "tables draining", "%d tables are served when transactions have ended that wrote to them before they were published: %s",
		"nothing; which ones: "+who)
	var reasons []string
	for _, t := range tables {
		if t.Progress == wal.LeftOut && len(reasons) < mostReasons {
			reasons = append(reasons, fmt.Sprintf("%s: %s: %s", t.Table, t.Detail, t.Remedy()))
		}
	}
	add(wal.LeftOut, "tables left out", "%d tables are not served, and somebody else has to mend them: %s",
		"run `reactive-gw doctor`, which says what each lacks; the first: "+strings.Join(reasons, "; "))
	return list
}

// mostReasons is for how many tables a condition says why they are left out.
const mostReasons = 3
