package fanout

import (
	"errors"
	"slices"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// shownRows are a snapshot's rows as events would show them, and who sees which. One query is for everybody who waits,
// whatever the filter shows each of them.
type shownRows struct {
	rows    []shownRow
	binding *binding
	// some is how many rows not every client sees.
	some int
	// sights has, for each client that the filter was asked about, one byte for each of those; nil where nobody has to be
	// asked about.
	sights map[asker][]byte
}

// asker is a client as it was when the filter was asked about it. One that has renewed its token since is another.
type asker struct {
	*Client
	renewed uint64
}

type shownRow struct {
	json []byte
	some int // the row's place among those that not every client sees, or forAll
	row  cdc.Row
}

const forAll = -1

const (
	unseenRow = 'n'
	seenRow   = 'y'
)

// shownTo is what a snapshot frame depends on. Those for whom it is the same share the frame.
type shownTo struct {
	echo, sight string
	dialect
}

var errFilterColumnGone = errors.New("a column that filterRow looks at is gone or has another type: mend the configuration and restart")

// unread are the columns that a snapshot need not read.
func (c *channel) unread() []string {
	if c.filter == nil {
		return c.Exclude
	}
	return slices.DeleteFunc(slices.Clone(c.Exclude), func(name string) bool {
		return slices.ContainsFunc(c.FilterColumns, func(f InputColumn) bool { return f.Column == name })
	})
}

// show encodes the rows and asks the filter about the clients, given with who they are. It is not called under the hub's lock, for it may take its
// time.
func (c *channel) show(snapshot *cdc.Snapshot, askers map[asker]any) (*shownRows, error) {
	b := newBinding(c, snapshot.Table)
	shown := &shownRows{binding: b}
	if c.filter == nil {
		for _, row := range snapshot.Rows {
			shown.rows = append(shown.rows, shownRow{b.appendRow(nil, row), forAll, row})
		}
		return shown, nil
	}
	if _, ok := positions(snapshot.Table, c.FilterColumns); !ok {
		return nil, errFilterColumnGone
	}
	if c.filter.PerClient() {
		shown.sights = make(map[asker][]byte, len(askers))
		for asker := range askers {
			shown.sights[asker] = nil
		}
	}
	opinion := c.filter.opinion()
	for _, row := range snapshot.Rows {
		opinion.judge(snapshot.Table, row)
		switch {
		case !opinion.shared:
			if shown.ask(&opinion, askers) {
				shown.rows = append(shown.rows, shownRow{b.appendRow(nil, row), shown.some, row})
				shown.some++
			}
		case opinion.allowed:
			shown.rows = append(shown.rows, shownRow{b.appendRow(nil, row), forAll, row})
		}
	}
	return shown, nil
}

// ask notes for each client whether it sees the row.
func (r *shownRows) ask(o *opinion, askers map[asker]any) (anybody bool) {
	for asker, sight := range r.sights {
		answer := byte(unseenRow)
		if o.allows(askers[asker]) {
			answer, anybody = seenRow, true
		}
		r.sights[asker] = append(sight[:r.some], answer)
	}
	return anybody
}

// to says what the subscription's frame depends on, and false where its client was not asked about.
func (r *shownRows) to(s *subscription) (shownTo, bool) {
	sight, asked := r.sights[asker{s.client, s.client.renewed}]
	return shownTo{echo: s.group.echo, dialect: s.group.dialect, sight: string(sight[:min(r.some, len(sight))])}, asked || r.sights == nil
}

// seenBy returns the rows that are seen with such a sight.
func (r *shownRows) seenBy(to shownTo) [][]byte {
	var rows [][]byte
	for _, row := range r.rows {
		if row.seen(to) {
			rows = append(rows, row.json)
		}
	}
	return rows
}

func (r *shownRow) seen(to shownTo) bool { return r.some == forAll || to.sight[r.some] == seenRow }

// keyedFor is seenBy with the rows' primary keys. It is not nil.
func (r *shownRows) keyedFor(to shownTo) []keyedRow {
	rows := []keyedRow{}
	for _, row := range r.rows {
		if row.seen(to) {
			rows = append(rows, keyedRow{r.binding.appendKey(nil, row.row), row.json})
		}
	}
	return rows
}
