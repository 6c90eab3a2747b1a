package ingest

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// resyncEvery is the least time between two notifications of one table that make its views resync because they do not say
// enough. Those in between are put off and count as one: a flood of them costs clients a resync now and then.
const resyncEvery = 2 * time.Second

// resyncs bounds how often the notifications of each table make its views resync.
type resyncs struct {
	mu   sync.Mutex
	last map[*table]time.Time // when the views of a table last had to
	due  map[*table]bool      // those that have to again, as soon as it is time
	wake chan struct{}        // something is due
}

func newResyncs() resyncs {
	return resyncs{last: map[*table]time.Time{}, due: map[*table]bool{}, wake: make(chan struct{}, 1)}
}

// admit tells whether the views of a table may resync now. Otherwise the resync is put off.
func (r *resyncs) admit(t *table, now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	last, before := r.last[t]
	if !r.due[t] && (!before || now.Sub(last) >= resyncEvery) {
		r.last[t] = now
		return true
	}
	r.due[t] = true
	select {
	case r.wake <- struct{}{}:
	default:
	}
	return false
}

// take returns the tables whose views have to resync now, and after how long the next ones have to, 0 where there are none.
func (r *resyncs) take(now time.Time) (tables []*table, next time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t := range r.due {
		wait := r.last[t].Add(resyncEvery).Sub(now)
		if wait <= 0 {
			tables = append(tables, t)
			r.last[t] = now
			delete(r.due, t)
		} else if next == 0 || wait < next {
			next = wait
		}
	}
	return tables, next
}

// Run tells of the resyncs that were put off, until ctx ends.
func (in *Ingest) Run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-in.resyncs.wake:
		case <-timer.C:
		}
		tables, next := in.resyncs.take(time.Now())
		for _, t := range tables {
			c, err := t.incomplete()
			if err == nil {
				_, err = in.deliver(Notify, []change{c})
			}
			if err != nil {
				in.refuse(Notify, err)
			}
		}
		if next > 0 {
			timer.Reset(next)
		}
	}
}

// admitted leaves out the changes that make views resync and are put off.
func (in *Ingest) admitted(changes []change, now time.Time) []change {
	kept := changes[:0]
	var resynced []*table // by this payload, which is one transaction
	for _, c := range changes {
		switch {
		case !c.vague(), slices.Contains(resynced, c.source):
		case in.resyncs.admit(c.source, now):
			resynced = append(resynced, c.source)
		default:
			continue
		}
		kept = append(kept, c)
	}
	return kept
}

// vague tells whether a change lacks a column that decides which views have the row: these views resync.
func (c *change) vague() bool {
	for i, column := range c.source.Columns {
		lacks := func(image cdc.Row) bool { return image != nil && image.Value(i).State == cdc.Absent }
		if (column.Scope || column.Filter) && (lacks(c.before) || column.Filter && lacks(c.after)) {
			return true
		}
	}
	return false
}
