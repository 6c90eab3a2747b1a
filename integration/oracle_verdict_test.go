package integration_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// figures are what a run comes to.
type figures struct {
	mode                           string
	batches                        int
	subscriptions                  int
	transactions, undone           int64
	mutations, moves               int64
	deliveries, boundaries         int
	connections, extended, resumed int
	faults                         map[string][]time.Duration // by kind: how long the recovery took
	wrong                          map[misfit]int
	took                           time.Duration
}

// String is a table for people.
func (f *figures) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "gateway restarts: %s; %s\n", f.mode, f.took.Round(time.Second))
	fmt.Fprintf(&b, "  %d subscriptions, %d connections (%d of the extended protocol, in which %d subscriptions were resumed)\n", f.subscriptions, f.connections, f.extended, f.resumed)
	fmt.Fprintf(&b, "  %d batches, %d transactions committed and %d undone, %d mutations, of these %d moves\n", f.batches, f.transactions, f.undone, f.mutations, f.moves)
	fmt.Fprintf(&b, "  %d events delivered, %d states of views compared at the boundaries of transactions\n", f.deliveries, f.boundaries)
	var all []time.Duration
	kinds := make([]string, 0, len(f.faults))
	for kind, took := range f.faults {
		all = append(all, took...)
		kinds = append(kinds, kind)
	}
	slices.Sort(kinds)
	fmt.Fprintf(&b, "  %d faults, recovery %s\n", len(all), spread(all))
	for _, kind := range kinds {
		fmt.Fprintf(&b, "    %-32s %4d  %s\n", kind, len(f.faults[kind]), spread(f.faults[kind]))
	}
	fmt.Fprintf(&b, "  lost %d, duplicated %d, out of order %d, leaked %d\n", f.wrong[lost], f.wrong[duplicated], f.wrong[disordered], f.wrong[leaked])
	return b.String()
}

// spread gives the quantiles of durations.
func spread(of []time.Duration) string {
	if len(of) == 0 {
		return "-"
	}
	slices.Sort(of)
	at := func(percent int) time.Duration { return of[(len(of)-1)*percent/100].Round(time.Millisecond) }
	return fmt.Sprintf("p50 %s, p99 %s, max %s", at(50), at(99), at(100))
}

// judge holds everything that a subscriber noted against the twin, and then forgets it. boundaries is how many states were
// compared.
func (s *subscriber) judge(w *twin) (boundaries int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		s.notes = s.notes[:0]
		clear(s.heard)
	}()
	for h := range s.heard {
		if err := s.mayHave(w, h); err != nil {
			return boundaries, err
		}
	}
	places, err := s.ordered(w)
	if err != nil {
		return boundaries, err
	}
	for i, at := range places {
		n := &s.notes[i]
		if n.begun[journalView] == notYet || w.settled(n.begun[journalView]) > at {
			continue
		}
		for v := range s.views {
			compared, err := s.compare(w, i, v, at)
			if err != nil {
				return boundaries, err
			}
			boundaries += compared
		}
	}
	return boundaries, nil
}

// ordered finds where in commit order the noted transactions are. Its error is one that came out of it.
func (s *subscriber) ordered(w *twin) (places []int, err error) {
	last, session, snapshots := -1, 0, 0
	for i := range s.notes {
		n := &s.notes[i]
		at, known := w.place(n.transaction)
		if !known {
			return nil, fmt.Errorf("%w: %s was told of transaction %d, which is none of this batch's", duplicated, s.name, n.transaction)
		}
		if n.session != session || n.snapshots[journalView] != snapshots {
			// What a new snapshot of the journal does not show comes again.
			last, session, snapshots = -1, n.session, n.snapshots[journalView]
		}
		if at <= last {
			return nil, fmt.Errorf("%w: %s got transaction %d after one that committed later", disordered, s.name, n.transaction)
		}
		last = at
		places = append(places, at)
	}
	return places, nil
}

// compare holds what a view showed at a boundary against the database at that commit. It compares nothing where what the
// view shows may be from later: its snapshot shows more than the stream had brought.
func (s *subscriber) compare(w *twin, at, view, place int) (compared int, err error) {
	n, v := &s.notes[at], s.views[view]
	switch {
	case n.begun[view] == notYet || w.settled(n.begun[view]) > place:
		return 0, nil
	case v.channel() == batchedChannel && s.extended == 0:
		return 0, nil // its events may come later, as they are configured to
	case n.sums[view] == w.after(v.definition, place):
		return 1, nil
	case n.silent && s.beganAnew(at, view) && w.stood(v.definition, n.sums[view], place):
		return 0, nil // it stands still, and nothing is missing from within
	}
	return 0, fmt.Errorf("%w: %s (%s), connection %d: after transaction %d, at place %d, the view of %s %s is not what the database had then; %s (complete since transaction %d, settled at place %d). The transaction:\n%s",
		lost, s.name, s.user, n.session, n.transaction, place, v.channel(), v.scope(), w.when(v.definition, n.sums[view]), n.begun[view], w.settled(n.begun[view]), w.wrote(n.transaction, v.definition))
}

func (v *held) channel() string { return v.definition.channel }
func (v *held) scope() string   { return v.definition.scope() }

// beganAnew tells whether a view may have begun anew when a transaction was noted, and its snapshot was still to come: it is
// the next that changes the view. The server does so when the table was truncated and when it had to connect to PostgreSQL
// anew, and the base protocol does not tell.
func (s *subscriber) beganAnew(at, view int) bool {
	n := &s.notes[at]
	for i := at + 1; i < len(s.notes) && s.notes[i].session == n.session; i++ {
		if s.notes[i].snapshots[view] != n.snapshots[view] {
			return true
		}
		if s.notes[i].sums[view] != n.sums[view] {
			return false
		}
	}
	return s.sessions != n.session || s.views[view].snapshots != n.snapshots[view] // or the connection has ended before it came
}

// mayHave tells by its error that a token came to somebody who may not see it.
func (s *subscriber) mayHave(w *twin, h heard) error {
	v := s.views[h.view]
	images := w.known[h.token]
	if len(images) == 0 {
		return fmt.Errorf("%w: %s (%s) got %s about %s %s, which is in nothing that was committed and may be shown", leaked, s.name, s.user, h.token, v.channel(), v.scope())
	}
	if !slices.ContainsFunc(images, func(i image) bool { return i.table == v.table && v.shows(i.row) }) {
		return fmt.Errorf("%w: %s (%s) got %s about %s %s, which is in {%.300s} alone", leaked, s.name, s.user, h.token, v.channel(), v.scope(), images[0].row)
	}
	return nil
}

// converged tells by its error how what a subscriber shows differs from the database.
func (s *subscriber) converged(w *twin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.failed != nil {
		return s.failed
	}
	if s.dialect == nil {
		return errors.New(s.name + " is not connected")
	}
	for _, v := range s.views {
		if v.state != active || v.begun == notYet {
			return fmt.Errorf("%s has no snapshot of %s %s yet", s.name, v.channel(), v.scope())
		}
		if v.sum != w.sets[v.definition].sum {
			return fmt.Errorf("%w: %s (%s): the view of %s %s:\n%s", lost, s.name, s.user, v.channel(), v.scope(), unlike(shownIn(v.rows), shownIn(w.shown(v.definition))))
		}
	}
	return nil
}

// alteredRight tells by its error that a view has an altered column with another value than the database. It may lack it,
// or have it under an older name, until the row is next sent.
func (s *subscriber) alteredRight(w *twin) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range s.views {
		for key, extras := range v.extras {
			r := w.rows[v.table][key]
			for column, value := range extras {
				if now, there := r[column]; there && string(now) != string(value) {
					return fmt.Errorf("%w: %s: %s %s has %s %s, and in the database it is %s", lost, s.name, v.table, key, column, value, now)
				}
			}
		}
	}
	return nil
}
