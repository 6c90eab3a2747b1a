package app

import (
	"context"
	"encoding/binary"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/auth"
	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/wal"
)

// lookup finds a scope's values of a row by a query, and remembers them: as long as the tables that the query reads do not
// change or, where they are not all in the stream, for a short time.
type lookup struct {
	channel string
	scope   string
	query   wal.Lookups
	columns []string // whose values are the query's parameters, in order
	reads   []wal.TableName
	shape   *lookupShape // nil where any change of what it reads may change any answer
	// captured: every table that it reads is in the stream.
	captured bool

	mu      sync.Mutex
	answers map[string]*answer // by key
	bytes   int
	round   uint64 // counts the calls of prepare
	// after are transactions that changed what the query reads, and that no answer has shown yet.
	after []uint32
	// resting is until when nobody is asked, after there was no answer.
	resting time.Time
	failure error // why there was none
}

// answer holds until it is forgotten or its time is over.
type answer struct {
	values []string
	until  time.Time // zero is forever
	round  uint64    // of prepare, in which it was last needed
}

// lookupShape says which rows of one table an answer is made of.
type lookupShape struct {
	value    string
	compared []lookupColumn
	// harmless: no row can refer to one that is inserted later, so that an insertion changes no answer about rows there are.
	harmless bool
}

type lookupColumn struct {
	name      string
	parameter int  // place in lookup.columns, or -1: it is compared with a literal
	sameText  bool // as the parameter, where they are equal
}

const (
	maxLookups    = 10_000           // that one transaction may need: more are not answered
	maxAfter      = 1000             // transactions that may gather before it is looked which of them are visible
	lookupBytes   = 32 << 20         // of answers that are remembered for one query
	lookupTimeout = 2 * time.Second  // for all that one transaction needs, of one query
	lookupRest    = 5 * time.Second  // after there was no answer
	lookupHolds   = 10 * time.Second // an answer that no change in the stream ends
	answerBytes   = 128              // of an answer, beside its texts
)

var errNotLookedUp = errors.New("a query for scopes was not answered")

// key stands for the parameters of a row; false where they are not known.
func (l *lookup) key(t *cdc.Table, row cdc.Row) (key string, tuple [][]byte, known bool) {
	var b []byte
	for _, name := range l.columns {
		at := t.Column(name)
		if at < 0 {
			return "", nil, false
		}
		switch v := row.Value(at); v.State {
		case cdc.Null:
			b, tuple = append(b, 0), append(tuple, nil)
		case cdc.Text:
			b = append(binary.AppendUvarint(append(b, 1), uint64(len(v.Text))), v.Text...)
			tuple = append(tuple, v.Text)
		default:
			return "", nil, false
		}
	}
	return string(b), tuple, true
}

// resolve answers from memory.
func (l *lookup) resolve(t *cdc.Table, row cdc.Row) ([]fanout.RowScope, error) {
	key, _, known := l.key(t, row)
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.answers[key]
	switch {
	case known && a != nil:
	case l.failure != nil:
		return nil, l.failure
	default:
		return nil, errNotLookedUp
	}
	var scopes []fanout.RowScope
	for _, value := range a.values {
		scopes = append(scopes, fanout.RowScope{Column: l.scope, Value: value})
	}
	return scopes, nil
}

// crowded tells whether it is time to look which transactions are visible, though nothing need be asked.
func (l *lookup) crowded() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.after) >= maxAfter
}

// prepare asks about those rows of a transaction whose answers are not remembered.
func (l *lookup) prepare(ctx context.Context, table wal.TableName, tx *cdc.Transaction) {
	var keys []string
	var tuples [][][]byte
	l.mu.Lock()
	l.round++
	now := time.Now()
	wanted := map[string]bool{}
	for c := range tx.Changes() {
		if c.Table.Schema != table.Schema || c.Table.Name != table.Name {
			continue
		}
		for _, image := range []cdc.Row{c.Before, c.After} {
			if image == nil {
				continue
			}
			key, tuple, known := l.key(c.Table, image)
			if !known || wanted[key] {
				continue
			}
			wanted[key] = true
			if a := l.answers[key]; a != nil && (a.until.IsZero() || now.Before(a.until)) {
				a.round = l.round
				continue
			}
			l.drop(key)
			keys, tuples = append(keys, key), append(tuples, tuple)
		}
	}
	after, rests := slices.Clone(l.after), now.Before(l.resting)
	l.mu.Unlock()
	if len(keys) == 0 && len(after) < maxAfter || rests || len(keys) > maxLookups {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	values, seen, err := l.query.Find(ctx, tuples, after)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.after = slices.DeleteFunc(l.after, func(xid uint32) bool { return slices.Contains(seen, xid) })
	if l.failure = lookupFailure(err); err != nil {
		l.resting = time.Now().Add(lookupRest)
		return
	}
	for i, key := range keys {
		l.remember(key, values[i])
	}
}

// lookupFailure keeps what the server says of values out of the log.
func lookupFailure(err error) error {
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &refused):
		return errors.New("a query for scopes failed with SQLSTATE " + refused.Code)
	case errors.Is(err, wal.ErrLookupTooBig):
		return wal.ErrLookupTooBig
	}
	return errNotLookedUp
}

func (l *lookup) remember(key string, values []string) {
	a := &answer{values: values, round: l.round}
	if !l.captured {
		a.until = time.Now().Add(lookupHolds)
	}
	for other, known := range l.answers { // in another order each time
		if l.bytes < lookupBytes {
			break
		}
		if known.round != l.round {
			l.drop(other)
		}
	}
	l.answers[key] = a
	l.bytes += a.size(key)
}

func (a *answer) size(key string) int {
	size := len(key) + answerBytes
	for _, v := range a.values {
		size += len(v) + 16
	}
	return size
}

func (l *lookup) drop(key string) {
	if a := l.answers[key]; a != nil {
		l.bytes -= a.size(key)
		delete(l.answers, key)
	}
}

// changed takes in what a transaction did to the tables that the query reads. It returns the values of the scope whose
// views are not true any more, or all.
func (l *lookup) changed(tx *cdc.Transaction) (all bool, values []string) {
	isRead := func(t *cdc.Table) bool {
		return slices.Contains(l.reads, wal.TableName{Schema: t.Schema, Name: t.Name})
	}
	if !slices.ContainsFunc(tx.Tables(), isRead) {
		return false, nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	matters := false
	for c := range tx.Changes() {
		if !isRead(c.Table) {
			continue
		}
		unaffected, found, known := l.shape.affects(&c)
		if !known {
			all, matters = true, true
			l.forgetAll()
			continue
		}
		if unaffected {
			continue
		}
		matters = true
		l.forgetAbout(&c)
		if !l.shape.harmless || c.Op != cdc.Insert {
			values = append(values, found...)
		}
	}
	if matters && !tx.Ingested() { // what came beside the log has no identifier to wait for
		l.after = append(l.after, tx.XID)
	}
	return all, values
}

// affects tells which values of the scope a change of the table gives to rows or takes from them.
func (s *lookupShape) affects(c *cdc.Change) (unaffected bool, values []string, known bool) {
	if s == nil || c.Op.OfTable() {
		return false, nil, false
	}
	same := c.Op == cdc.Update
	for i := range len(s.compared) + 1 {
		name := s.value
		if i > 0 {
			name = s.compared[i-1].name
		}
		before, after, ok := imagesOf(c, name)
		if !ok {
			return false, nil, false
		}
		same = same && before.Equal(after)
		if i > 0 {
			continue
		}
		for _, v := range []cdc.Value{before, after} {
			if v.State == cdc.Text && !slices.Contains(values, string(v.Text)) {
				values = append(values, string(v.Text))
			}
		}
	}
	return same, values, true
}

// imagesOf returns what a row had in a column and has, NULL where there was or is no row, and false where that is not known.
func imagesOf(c *cdc.Change, column string) (before, after cdc.Value, known bool) {
	at := c.Table.Column(column)
	if at < 0 {
		return before, after, false
	}
	before, after = cdc.Value{State: cdc.Null}, cdc.Value{State: cdc.Null}
	if c.Op != cdc.Insert {
		before = c.Before.Value(at)
	}
	if c.Op != cdc.Delete {
		after = c.After.Value(at)
	}
	switch {
	case c.Op == cdc.Update && c.Before == nil && c.Table.Columns[at].Identity: // which the update left alone
		before = after
	case c.Op == cdc.Update && after.State == cdc.Absent:
		after = before
	}
	return before, after, before.State != cdc.Absent && after.State != cdc.Absent
}

// forget drops every answer.
func (l *lookup) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgetAll()
}

func (l *lookup) forgetAll() {
	clear(l.answers)
	l.bytes = 0
}

// forgetAbout drops the answers that a change of the table may change.
func (l *lookup) forgetAbout(c *cdc.Change) {
	for key := range l.answers {
		parameters := l.parameters(key)
		for _, image := range []cdc.Row{c.Before, c.After} {
			if image != nil && l.mayUse(c.Table, image, parameters) {
				l.drop(key)
				break
			}
		}
	}
}

// mayUse tells whether an answer to the parameters may be made of a row of the table that is read.
func (l *lookup) mayUse(t *cdc.Table, row cdc.Row, parameters []cdc.Value) bool {
	for _, c := range l.shape.compared {
		v := row.Value(t.Column(c.name))
		if c.parameter >= 0 && c.sameText && v.State == cdc.Text && !v.Equal(parameters[c.parameter]) {
			return false
		}
	}
	return true
}

// parameters reads a key.
func (l *lookup) parameters(key string) []cdc.Value {
	values := make([]cdc.Value, 0, len(l.columns))
	for rest := []byte(key); len(rest) > 0; {
		if rest[0] == 0 {
			values, rest = append(values, cdc.Value{State: cdc.Null}), rest[1:]
			continue
		}
		size, n := binary.Uvarint(rest[1:])
		rest = rest[1+n:]
		values, rest = append(values, cdc.Value{State: cdc.Text, Text: rest[:size]}), rest[size:]
	}
	return values
}

// newLookupShape describes the table that a query of the form of an auth.Lookup reads; nil where it is not of that form
// after all. The error is of the connection.
func newLookupShape(ctx context.Context, pool *pgxpool.Pool, form *auth.Lookup, read, about *wal.TableInfo, columns []string) (*lookupShape, error) {
	if read.Column(form.Value) == nil {
		return nil, nil
	}
	s := &lookupShape{value: form.Value}
	for i, name := range form.Columns() {
		column := read.Column(name)
		if column == nil {
			return nil, nil
		}
		c := lookupColumn{name: name, parameter: -1}
		if parameter, is := form.Compared(i); is {
			c.parameter = slices.Index(columns, parameter)
			theirs, _ := scopeType(column)
			ours, _ := scopeType(about.Column(parameter))
			c.sameText = theirs.SameText(ours)
			refers, err := wal.Refers(ctx, pool, about.TableName, parameter, read.TableName, name)
			if err != nil {
				return nil, err
			}
			s.harmless = s.harmless || refers
		}
		s.compared = append(s.compared, c)
	}
	return s, nil
}
