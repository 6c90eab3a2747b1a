package integration_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"nhooyr.io/websocket"
)

// subscriber is a client as there are in the world: it stays connected as long as it may, comes back whenever the connection
// ends, and now and then leaves, or takes a subscription up again. It is strict: the first frame that does not fit is the
// end of it. What it saw it notes down, to be held against the twin later.
type subscriber struct {
	name, user, address string
	offers              []string // subprotocols
	random              *rand.Rand
	begun               *atomic.Int64 // transactions that have begun in the database
	restless            *atomic.Bool  // whether it may leave and resubscribe

	mu      sync.Mutex
	views   []*held
	byScope map[string]*held
	dialect dialect // nil while it is not connected
	// sessions counts connections, and extended those of the extended protocol.
	sessions, extended int
	resumed            int // subscriptions that went on where they were
	deliveries         int // events
	notes              []note
	heard              map[heard]struct{}
	failed             error
}

// dialect is what the protocols have in common. Its methods are called under the subscriber's lock.
type dialect interface {
	// subscribe asks for a view, for the first time on this connection or anew.
	subscribe(v *held) (frame string)
	// take takes in a frame.
	take(frame []byte) error
}

// held is one view of a subscriber.
type held struct {
	*view
	definition
	at     int // in views
	sum    uint64
	extras map[string]row // what is held of altered columns, by key
	// begun is the number of transactions that had begun when the view was last complete: when its snapshot had come. It
	// is notYet while it is not complete.
	begun  int64
	state  subscriptionState
	cursor string // with which it can be resumed; "" where it cannot
	asks   int    // that are not confirmed yet
}

const notYet = -1

type subscriptionState int

const (
	given  subscriptionState = iota // up, or not yet asked for
	asked                           // and not confirmed
	active                          // confirmed
)

// note is the state of all views at a transaction's boundary.
type note struct {
	transaction int64
	session     int
	sums        []uint64
	begun       []int64
	snapshots   []int // how many had come
	silent      bool  // the protocol does not tell of views that begin anew
}

// heard is a token that came in a frame about a view.
type heard struct {
	view  int
	token string
}

func newSubscriber(name, user string, definitions []definition) *subscriber {
	s := &subscriber{name: name, user: user, byScope: map[string]*held{}, heard: map[heard]struct{}{}}
	for i, d := range definitions {
		v := newView(d.channel, d.scope(), d.column, d.value)
		v.keys = keysOf(d.table)
		h := &held{view: v, definition: d, at: i, extras: map[string]row{}, begun: notYet}
		s.views = append(s.views, h)
		s.byScope[d.channel+d.scope()] = h
	}
	return s
}

// run connects again and again until ctx ends, or a frame does not fit.
func (s *subscriber) run(ctx context.Context) {
	wait := firstBackoff
	for ctx.Err() == nil {
		lasted, err := s.connect(ctx)
		if err != nil {
			s.mu.Lock()
			s.failed = err
			s.mu.Unlock()
			return
		}
		if lasted {
			wait = firstBackoff
		}
		select { // with jitter, so that not all come back at once
		case <-time.After(s.jitter(wait)):
		case <-ctx.Done():
		}
		wait = min(2*wait, lastBackoff)
	}
}

const (
	firstBackoff = 50 * time.Millisecond
	lastBackoff  = 2 * time.Second
)

func (s *subscriber) jitter(wait time.Duration) time.Duration {
	return wait/2 + time.Duration(s.random.Int64N(int64(wait)/2))
}

// connect holds one connection until it ends. lasted says that frames have come. The error is a frame that does not fit.
func (s *subscriber) connect(ctx context.Context) (lasted bool, err error) {
	dialing, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	options := &websocket.DialOptions{HTTPHeader: http.Header{"X-User": {s.user}}, Subprotocols: s.offers}
	conn, _, err := websocket.Dial(dialing, s.address, options) //nolint:bodyclose // the connection is the body
	if err != nil {
		return false, nil
	}
	defer func() { _ = conn.CloseNow() }()
	conn.SetReadLimit(64 << 20)
	for _, frame := range s.open(conn.Subprotocol()) {
		if conn.Write(ctx, websocket.MessageText, []byte(frame)) != nil {
			return false, nil
		}
	}
	defer s.shut()
	for {
		_, frame, err := conn.Read(ctx)
		if err != nil {
			return lasted, nil
		}
		lasted = true
		answers, leaves, err := s.take(frame)
		if err != nil {
			return lasted, fmt.Errorf("%s (%s, connection %d): frame %.2000s: %w", s.name, s.user, s.sessions, frame, err)
		}
		if len(answers) > 0 && bytes.Contains(frame, []byte(`"retryAfterMs"`)) {
			time.Sleep(30 * time.Millisecond) // it has less patience than it was asked for
		}
		for _, answer := range answers {
			if conn.Write(ctx, websocket.MessageText, []byte(answer)) != nil {
				return lasted, nil
			}
		}
		if leaves {
			return lasted, nil
		}
	}
}

// open begins a session and returns its first frames.
func (s *subscriber) open(subprotocol string) (frames []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions++
	if subprotocol == extendedProtocol {
		s.extended++
		s.dialect = &extendedSession{s}
	} else {
		s.dialect = &baseSession{s}
	}
	for _, v := range s.views {
		v.state, v.asks = asked, 1
		frames = append(frames, s.dialect.subscribe(v))
	}
	return frames
}

func (s *subscriber) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dialect = nil
	for _, v := range s.views {
		v.state = given
	}
}

// errRetry is no fault of the gateway's: the client has to connect anew.
var errRetry = errors.New("the snapshot could not be read")

// unavailable says that a channel is not served yet. The client asks again.
type unavailable struct{ view *held }

func (u unavailable) Error() string { return "the channel is not served yet" }

// take takes in a frame and decides what the client does next.
func (s *subscriber) take(frame []byte) (answers []string, leaves bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	err = s.dialect.take(frame)
	if errors.Is(err, errRetry) {
		return nil, true, nil
	}
	if later := (unavailable{}); errors.As(err, &later) {
		later.view.state, later.view.asks = asked, 1
		return []string{s.dialect.subscribe(later.view)}, false, nil
	}
	if err != nil || !s.restless.Load() {
		return nil, false, err
	}
	switch s.random.IntN(400) {
	case 0:
		return nil, true, nil
	case 1, 2, 3, 4: // again what it has
		v := s.views[s.random.IntN(len(s.views))]
		if v.state != active || v.asks > 0 {
			return nil, false, nil // the confirmation to come could be taken for that of what is asked now
		}
		if s.random.IntN(2) == 0 {
			answers = append(answers, fmt.Sprintf(`{"type":"unsubscribe","channel":%q,"scope":%s}`, v.view.channel, v.view.scope))
			v.state = asked // until it is confirmed, what comes about it was under way
		}
		v.cursor = ""
		v.asks++
		return append(answers, s.dialect.subscribe(v)), false, nil
	}
	return nil, false, nil
}

// about finds the view that a frame is about, and notes what tokens came with it.
func (s *subscriber) about(channel string, scope json.RawMessage, frame []byte) (*held, error) {
	v := s.byScope[channel+string(scope)]
	if v == nil {
		return nil, fmt.Errorf("%w: about no subscription of this client", leaked)
	}
	for _, token := range tokens(string(frame)) {
		s.heard[heard{v.at, token}] = struct{}{}
	}
	return v, nil
}

// strict reads JSON that has no members but those of into.
func strict(text []byte, into any) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	return decoder.Decode(into)
}

// void says that what the view shows is not known to be true.
func (v *held) void() { v.begun = notYet }

// confirm takes in that a subscription has begun.
func (v *held) confirm() { v.state, v.asks = active, v.asks-1 }

// complete says that it is, and what may be in it.
func (v *held) complete(begun int64) { v.begun = begun }

// replace takes in a snapshot.
func (v *held) replace(rows []row) error {
	compared := make([]row, len(rows))
	clear(v.extras)
	for i, r := range rows {
		compared[i] = r.compared()
		v.extras[r.only(v.keys).String()] = r.altered()
		if r["secret"] != nil {
			return fmt.Errorf("%w: an excluded column", leaked)
		}
	}
	err := v.view.replace(compared)
	v.sum = 0
	for _, r := range v.rows {
		v.sum += r.sum()
	}
	return err
}

// change takes in an event.
func (v *held) change(e event) error {
	if e.Row["secret"] != nil || e.Changed["secret"] != nil {
		return fmt.Errorf("%w: an excluded column", leaked)
	}
	key := e.PrimaryKey.String()
	v.extras[key] = e.Row.altered()
	e.Row = e.Row.compared()
	if e.Changed != nil {
		e.Changed = e.Changed.compared()
	}
	v.sum -= v.rows[key].sum()
	err := v.view.change(e)
	v.sum += v.rows[key].sum()
	if v.rows[key] == nil {
		delete(v.extras, key)
	}
	return err
}

// altered is the part of a row that the writers add, rename and drop.
func (r row) altered() row {
	part := maps.Clone(r)
	for column := range r.compared() {
		delete(part, column)
	}
	return part
}

// changes takes in the events of a frame about a view.
func (s *subscriber) changes(v *held, events []extendedEvent) error {
	switch {
	case v.state == asked:
		return nil // from before the client gave it up
	case v.state != active || v.begun == notYet:
		return fmt.Errorf("%w: a change of a view that has not begun", disordered)
	case len(events) == 0:
		return errors.New("no event")
	}
	s.deliveries += len(events)
	for _, e := range events {
		if err := v.wasSo(e); err != nil {
			return err
		}
		if err := v.change(e.event); err != nil {
			return err
		}
	}
	return nil
}

// wasSo compares the old values that an event names with those that the client knows.
func (v *held) wasSo(e extendedEvent) error {
	before := e.Before.compared()
	if known := v.rows[e.PrimaryKey.String()].only(slices.Collect(maps.Keys(before))); known.String() != before.String() {
		return fmt.Errorf("%w: before is {%s}, and really {%s}", lost, before, known)
	}
	return nil
}

// journalled finds the transactions that the journal's events tell of.
func journalled(events []extendedEvent) (transactions []int64, err error) {
	for _, e := range events {
		if e.Type != "afterInsert" {
			continue // old entries are deleted
		}
		var transaction int64
		if err := json.Unmarshal(e.Row["transaction"], &transaction); err != nil {
			return nil, err
		}
		transactions = append(transactions, transaction)
	}
	return transactions, nil
}

// boundary notes the state of the views after a transaction.
func (s *subscriber) boundary(transaction int64) {
	n := note{transaction: transaction, session: s.sessions, sums: make([]uint64, len(s.views)), begun: make([]int64, len(s.views)), snapshots: make([]int, len(s.views))}
	_, n.silent = s.dialect.(*baseSession)
	for i, v := range s.views {
		n.sums[i], n.begun[i], n.snapshots[i] = v.sum, v.begun, v.snapshots
		if v.state != active {
			n.begun[i] = notYet
		}
	}
	s.notes = append(s.notes, n)
}

// knows tells whether the client has heard of a transaction.
func (s *subscriber) knows(transaction int64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	journal := s.views[journalView]
	return s.dialect != nil && journal.begun != notYet && journal.rows[fmt.Sprintf("transaction:%d", transaction)] != nil
}

// failure is the error that ended it.
func (s *subscriber) failure() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}
