package ingest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Sink takes transactions that did not come from the log. It orders them among those that did.
type Sink interface {
	Ingest(tx *cdc.Transaction) cdc.IngestPosition
}

// Options configure an Ingest.
type Options struct {
	// Tables are those of which events may tell.
	Tables []Table
	// Captured tells whether the log brings the changes of a table that is not among Tables.
	Captured func(schema, table string) bool
	Sink     Sink
	// Live tells whether the gateway follows the log. While it does not, Emit refuses.
	Live func() bool
	// ParseNotification reads the payload of a notification; nil is Parse.
	ParseNotification Parser
	Log               *zap.Logger
}

// Ingest takes events from every source but the log. Its methods may be called from any goroutine.
type Ingest struct {
	options Options
	tables  map[name]*table
	stats   map[Source]*counters
	resyncs resyncs // of notifications
	gaps    atomic.Uint64
	logged  atomic.Int64 // when an error was last logged, in nanoseconds since 1970
}

type name struct{ schema, table string }

type counters struct{ events, errors atomic.Uint64 }

// New makes an Ingest. It starts nothing.
func New(o Options) *Ingest {
	if o.ParseNotification == nil {
		o.ParseNotification = Parse
	}
	in := &Ingest{options: o, tables: map[name]*table{}, resyncs: newResyncs(), stats: map[Source]*counters{Notify: {}, Hook: {}, Emit: {}}}
	for _, t := range o.Tables {
		in.tables[name{t.Schema, t.Name}] = newTable(t)
	}
	return in
}

// Emit tells of events, which are one transaction, and returns its place among all. The tables are those whose Source is
// Hook. The error is an *Error, ErrNotLive or that of ctx; then nothing was told to anybody.
func (in *Ingest) Emit(ctx context.Context, events ...Event) (cdc.IngestPosition, error) {
	position, err := in.emit(ctx, events)
	if err != nil {
		in.stats[Hook].errors.Add(1)
	}
	return position, err
}

func (in *Ingest) emit(ctx context.Context, events []Event) (cdc.IngestPosition, error) {
	if err := ctx.Err(); err != nil {
		return cdc.IngestPosition{}, err
	}
	if len(events) == 0 {
		return cdc.IngestPosition{}, &Error{Kind: Invalid, Detail: "there is no event"}
	}
	changes, err := in.changes(Hook, events)
	if err != nil {
		return cdc.IngestPosition{}, err
	}
	if !in.options.Live() {
		return cdc.IngestPosition{}, ErrNotLive
	}
	return in.deliver(Hook, changes)
}

// Notified takes the payload of a notification. What is wrong with it is logged and counted. It
// makes views resync at most every resyncEvery.
func (in *Ingest) Notified(payload []byte) {
	events, err := in.options.ParseNotification(payload)
	if err == nil {
		var changes []change
		if changes, err = in.changes(Notify, events); err == nil {
			if changes = in.admitted(changes, time.Now()); len(changes) > 0 {
				_, err = in.deliver(Notify, changes)
			}
		}
	}
	if err != nil {
		in.refuse(Notify, err)
	}
}

// Emitted adds what SQL has emitted to the transaction that add adds to. What is wrong with it is logged and counted; the
// error is that of add.
func (in *Ingest) Emitted(content []byte, add func(op cdc.Op, table *cdc.Table, before, after cdc.Row) error) error {
	events, err := Parse(content)
	var changes []change
	if err == nil {
		changes, err = in.changes(Emit, events)
	}
	if err != nil {
		in.refuse(Emit, err)
		return nil
	}
	for _, c := range changes {
		if err := add(c.op, c.table, c.before, c.after); err != nil {
			return fmt.Errorf("emitted event: %w", err)
		}
	}
	in.stats[Emit].events.Add(uint64(len(changes)))
	return nil
}

// Unread adds an unreadable change of each table that SQL emits for: something was emitted, and nobody knows what. The error
// is that of add.
func (in *Ingest) Unread(add func(op cdc.Op, table *cdc.Table, before, after cdc.Row) error) error {
	in.refuse(Emit, &Error{Kind: Invalid, Detail: "what was emitted is longer than maxRowBytes: the views of every table with source: hook start over"})
	for _, t := range in.tables {
		if t.Source != Hook {
			continue
		}
		shape := t.shape(nil, nil, make([]bool, len(t.Columns)))
		if err := add(cdc.Unreadable, shape, nil, nil); err != nil {
			return fmt.Errorf("unreadable event: %w", err)
		}
	}
	return nil
}

// changes makes a change of each event, or of none.
func (in *Ingest) changes(from Source, events []Event) ([]change, error) {
	changes := make([]change, 0, len(events))
	for i := range events {
		t, err := in.find(from, &events[i])
		if err != nil {
			err.Event = i
			return nil, err
		}
		c, wrong := t.change(&events[i])
		if wrong != nil {
			return nil, &Error{Kind: Invalid, Event: i, Detail: fmt.Sprintf("of %s.%s: %v", t.Schema, t.Name, wrong)}
		}
		changes = append(changes, c)
	}
	return changes, nil
}

// find looks for the table of an event, and whether it may come that way.
func (in *Ingest) find(from Source, e *Event) (*table, *Error) {
	if from == Emit {
		from = Hook
	}
	t := in.tables[name{e.Schema, e.Table}]
	what := fmt.Sprintf("table %q.%q", shortened(e.Schema), shortened(e.Table))
	switch {
	case t == nil && in.options.Captured(e.Schema, e.Table):
		return nil, &Error{Kind: WrongSource, Detail: what + " is captured from the log, so its changes reach clients by themselves: " +
			"do not send them, or take it out of the publication and give its entry under reactive the source " + string(from)}
	case t == nil:
		return nil, &Error{Kind: UnknownTable, Detail: what + " is not served: give it an entry under reactive with source: " + string(from)}
	case t.Source != from:
		return nil, &Error{Kind: WrongSource, Detail: fmt.Sprintf("%s has source: %s in its entry under reactive, so that its events cannot come by %s",
			what, t.Source, from)}
	}
	return t, nil
}

// shortened bounds a name that somebody has sent.
func shortened(s string) string { return s[:min(len(s), 63)] }

func (in *Ingest) deliver(from Source, changes []change) (cdc.IngestPosition, error) {
	var a cdc.Assembler
	err := a.Begin(0, 0, time.Now())
	for _, c := range changes {
		if err == nil {
			err = a.Add(c.op, c.table, c.before, c.after)
		}
	}
	if err != nil {
		return cdc.IngestPosition{}, err
	}
	tx, err := a.Commit(0, 0)
	if err != nil {
		return cdc.IngestPosition{}, err
	}
	position := in.options.Sink.Ingest(tx)
	in.stats[from].events.Add(uint64(len(changes)))
	return position, nil
}

// refusalsLoggedEvery is between two lines of the log about events that were no good.
const refusalsLoggedEvery = 10 * time.Second

// refuse counts an error and logs it now and then.
func (in *Ingest) refuse(from Source, err error) {
	count := in.stats[from].errors.Add(1)
	now, last := time.Now().UnixNano(), in.logged.Load()
	if last != 0 && now-last < int64(refusalsLoggedEvery) || !in.logged.CompareAndSwap(last, now) {
		return
	}
	if known := (*Error)(nil); !errors.As(err, &known) {
		err = errors.New("the parser has no event for the payload") // its own words may hold something of a row
	}
	in.options.Log.Error("event refused: clients are not told of it", zap.String("source", string(from)), zap.Uint64("refused", count), zap.Error(err))
}

// Missed notes that notifications may have been missed.
func (in *Ingest) Missed() { in.gaps.Add(1) }

// Stats is a moment's view of an Ingest.
type Stats struct {
	Events, Errors map[Source]uint64 // since the start
	Gaps           uint64            // times that notifications may have been missed
}

// Stats may be called from any goroutine.
func (in *Ingest) Stats() Stats {
	s := Stats{Events: map[Source]uint64{}, Errors: map[Source]uint64{}, Gaps: in.gaps.Load()}
	for source, c := range in.stats {
		s.Events[source], s.Errors[source] = c.events.Load(), c.errors.Load()
	}
	return s
}
