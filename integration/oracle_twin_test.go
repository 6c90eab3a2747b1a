package integration_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pglogrepl"
	"github.com/jackc/pgx/v5"
)

// twin knows the database after every commit. What each transaction did it reads from the table history, which triggers
// write, and in which order they committed from a slot of its own: so it takes nothing from the gateway's decoder.
type twin struct {
	read int64 // the last id of history

	rows  map[string]map[string]row // of each table by key, as they are
	known map[string][]image        // where each token is
	sets  map[definition]*set

	order map[int64]int  // the place of each of the last transactions in commit order, by number
	next  int            // the place of the next one
	seen  map[int64]bool // all transactions ever
	did   map[int64][]rowChange
	// latest is, by transaction number, the last place of all transactions up to that number.
	numbers []int64
	latest  []int
}

// image is a row of a table.
type image struct {
	table string
	row   row
}

// set is a view's set of rows after each of the last transactions.
type set struct {
	sum   uint64         // after the last one
	first int            // the place of the first one that sums has
	sums  []uint64       // after it and each of those behind it
	stood map[uint64]int // by sum: the place of the first transaction in which there was one, also between two of its changes
}

const twinSlot = "twin"

// newTwin begins before anything is written.
func newTwin(ctx context.Context, conn *pgx.Conn) (*twin, error) {
	_, err := conn.Exec(ctx, `create publication twin for table journal`)
	if err == nil {
		_, err = conn.Exec(ctx, `select pg_create_logical_replication_slot($1, 'pgoutput')`, twinSlot)
	}
	if err != nil {
		return nil, fmt.Errorf("prepare the twin: %w", err)
	}
	return emptyTwin(), nil
}

func emptyTwin() *twin {
	w := &twin{rows: map[string]map[string]row{}, known: map[string][]image{}, sets: map[definition]*set{}, seen: map[int64]bool{}}
	for _, table := range oracleTables {
		w.rows[table] = map[string]row{}
	}
	return w
}

// watch makes the twin follow a view, from the beginning on.
func (w *twin) watch(d definition) {
	if w.sets[d] == nil {
		w.sets[d] = &set{stood: map[uint64]int{}}
	}
}

// forget lets go of what is known of the transactions so far, when every client is past them.
func (w *twin) forget() {
	w.order, w.numbers, w.latest, w.did = map[int64]int{}, nil, nil, map[int64][]rowChange{}
	for _, s := range w.sets {
		s.first, s.sums = w.next, s.sums[:0]
		clear(s.stood)
		s.stood[s.sum] = w.next
	}
	clear(w.known)
	for table, rows := range w.rows {
		for _, r := range rows {
			w.learn(table, r)
		}
	}
}

// learn notes which tokens a row has.
func (w *twin) learn(table string, r row) {
	for _, token := range tokens(r.compared().String()) {
		w.known[token] = append(w.known[token], image{table, r})
	}
}

// catchUp reads what has committed. Nobody may be writing.
func (w *twin) catchUp(ctx context.Context, conn *pgx.Conn) error {
	order, err := w.committed(ctx, conn)
	if err != nil {
		return fmt.Errorf("read the commit order: %w", err)
	}
	changes, err := w.history(ctx, conn)
	if err != nil {
		return fmt.Errorf("read what was written: %w", err)
	}
	for _, transaction := range order {
		if w.seen[transaction] {
			continue // the slot went back in a crash
		}
		if err := w.commit(transaction, changes[transaction]); err != nil {
			return fmt.Errorf("transaction %d: %w", transaction, err)
		}
		delete(changes, transaction)
	}
	if len(changes) > 0 {
		return fmt.Errorf("%d transactions wrote, but are not in the log", len(changes))
	}
	w.committedAll()
	return nil
}

// commit takes in what the next transaction in commit order did.
func (w *twin) commit(transaction int64, changes []rowChange) error {
	for _, c := range changes {
		if err := w.apply(c); err != nil {
			return err
		}
		w.stand(c.table)
	}
	w.seen[transaction] = true
	w.did[transaction] = changes
	w.order[transaction] = w.next
	w.numbers = append(w.numbers, transaction)
	w.next++
	for _, s := range w.sets {
		s.sums = append(s.sums, s.sum)
	}
	return nil
}

// committedAll says that no other transaction with a number up to the last one's will commit.
func (w *twin) committedAll() {
	slices.Sort(w.numbers)
	w.latest = w.latest[:0]
	last := -1
	for _, n := range w.numbers {
		last = max(last, w.order[n])
		w.latest = append(w.latest, last)
	}
}

// committed reads the numbers of the transactions in commit order, from the journal's rows in the log.
func (w *twin) committed(ctx context.Context, conn *pgx.Conn) ([]int64, error) {
	rows, err := conn.Query(ctx, `select data from pg_logical_slot_get_binary_changes($1, null, null, 'proto_version', '1', 'publication_names', 'twin')`, twinSlot)
	if err != nil {
		return nil, err
	}
	messages, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return nil, err
	}
	var order []int64
	for _, data := range messages {
		message, err := pglogrepl.Parse(data)
		if err != nil {
			return nil, err
		}
		insert, ok := message.(*pglogrepl.InsertMessage)
		if !ok {
			continue
		}
		transaction, err := strconv.ParseInt(string(insert.Tuple.Columns[0].Data), 10, 64)
		if err != nil {
			return nil, err
		}
		order = append(order, transaction)
	}
	return order, nil
}

// rowChange is a row of history. With neither an old nor a new row it is a TRUNCATE.
type rowChange struct {
	transaction int64
	table       string
	old, new    row
}

// history reads what is new there.
func (w *twin) history(ctx context.Context, conn *pgx.Conn) (map[int64][]rowChange, error) {
	rows, err := conn.Query(ctx, `select id, transaction, source, old::text, new::text from history where id > $1 order by id`, w.read)
	if err != nil {
		return nil, err
	}
	changes := map[int64][]rowChange{}
	var c rowChange
	var was, now *string
	_, err = pgx.ForEachRow(rows, []any{&w.read, &c.transaction, &c.table, &was, &now}, func() error {
		var err error
		if c.old, err = parseRow(was); err != nil {
			return err
		}
		if c.new, err = parseRow(now); err != nil {
			return err
		}
		changes[c.transaction] = append(changes[c.transaction], c)
		return nil
	})
	return changes, err
}

// apply makes a change in the twin's tables and in every view.
func (w *twin) apply(c rowChange) error {
	rows := w.rows[c.table]
	if c.old == nil && c.new == nil {
		for _, r := range rows {
			w.move(c.table, r, nil)
		}
		clear(rows)
		return nil
	}
	keys := keysOf(c.table)
	if c.old != nil {
		at := c.old.only(keys).String()
		if rows[at] == nil {
			return fmt.Errorf("a change of %s %s, which is not there", c.table, at)
		}
		delete(rows, at)
	}
	if c.new != nil {
		rows[c.new.only(keys).String()] = c.new
		w.learn(c.table, c.new)
	}
	w.move(c.table, c.old, c.new)
	return nil
}

// move takes the old row out of the views that show it, and puts the new one in.
func (w *twin) move(table string, was, now row) {
	oldSum, newSum := was.compared().sum(), now.compared().sum()
	for d, s := range w.sets {
		if d.table != table {
			continue
		}
		if d.shows(was) {
			s.sum -= oldSum
		}
		if d.shows(now) {
			s.sum += newSum
		}
	}
}

// stand notes what the views of a table show.
func (w *twin) stand(table string) {
	for d, s := range w.sets {
		if _, known := s.stood[s.sum]; d.table == table && !known {
			s.stood[s.sum] = w.next
		}
	}
}

// place returns where a transaction is in commit order; false where it is none of the last ones.
func (w *twin) place(transaction int64) (int, bool) {
	at, ok := w.order[transaction]
	return at, ok
}

// settled returns the place of the last one of all transactions up to a number: what a client got when no later one had
// begun shows nothing behind it.
func (w *twin) settled(upto int64) int {
	n, found := slices.BinarySearch(w.numbers, upto)
	if found {
		n++
	}
	if n == 0 {
		return -1
	}
	return w.latest[n-1]
}

// after returns the sum of a view's rows after the transaction at a place.
func (w *twin) after(d definition, place int) uint64 {
	s := w.sets[d]
	return s.sums[place-s.first]
}

// stood tells whether a view's rows had a sum at any time up to the end of the transaction at a place.
func (w *twin) stood(d definition, sum uint64, place int) bool {
	first, ever := w.sets[d].stood[sum]
	return ever && first <= place
}

// wrote tells what a transaction did to a view's table, for people.
func (w *twin) wrote(transaction int64, d definition) string {
	var b strings.Builder
	for _, c := range w.did[transaction] {
		if c.table == d.table {
			fmt.Fprintf(&b, "  {%.200s} became {%.200s}\n", c.old, c.new)
		}
	}
	return b.String()
}

// when says after which of the last transactions a view's rows had a sum, for people.
func (w *twin) when(d definition, sum uint64) string {
	s := w.sets[d]
	if first := slices.Index(s.sums, sum); first >= 0 {
		last := len(s.sums) - 1
		for s.sums[last] != sum {
			last--
		}
		return fmt.Sprintf("it had that from place %d to %d", s.first+first, s.first+last)
	}
	return "it never had that"
}

// shown are the rows of a view as they are.
func (w *twin) shown(d definition) map[string]row {
	rows := map[string]row{}
	for key, r := range w.rows[d.table] {
		if d.shows(r) {
			rows[key] = r.compared()
		}
	}
	return rows
}

// equalsDatabase holds the twin itself against SELECT.
func (w *twin) equalsDatabase(ctx context.Context, conn *pgx.Conn) error {
	for _, table := range oracleTables {
		rows, err := conn.Query(ctx, `select to_jsonb(shown)::text from `+table+` shown`)
		if err != nil {
			return err
		}
		texts, err := pgx.CollectRows(rows, pgx.RowTo[*string])
		if err != nil {
			return err
		}
		there := map[string]row{}
		for _, text := range texts {
			r, err := parseRow(text)
			if err != nil {
				return err
			}
			key := r.only(keysOf(table)).String()
			there[key] = r.compared()
			if w.rows[table][key] == nil {
				return fmt.Errorf("the twin has not noticed {%s} of %s", r, table)
			}
			w.rows[table][key] = r // with the columns that it has now
		}
		twins := map[string]row{}
		for key, r := range w.rows[table] {
			twins[key] = r.compared()
		}
		if difference := unlike(shownIn(twins), shownIn(there)); difference != "" {
			return fmt.Errorf("the twin's %s differs from the database:\n%s", table, difference)
		}
	}
	return nil
}
