package wal

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Progress is how far a table is.
type Progress string

// A table is served once it is Ready.
const (
	Ready    Progress = "ready"
	Locked   Progress = "locked"   // others hold locks on it, so that it cannot be altered yet
	Draining Progress = "draining" // transactions run that wrote to it before it was in the publication
	LeftOut  Progress = "left out" // somebody else has to mend it
)

// TableState tells how far a wanted table is.
type TableState struct {
	Table    TableName
	Progress Progress
	Detail   string
	Fix, By  string // of one that is left out: the SQL, and who may run it
	// From is, of a table that was added a moment ago, where the log has all of its changes from; zero where it always had.
	From cdc.LSN
}

// Remedy says what to do about one that is left out, and who may.
func (t *TableState) Remedy() string {
	if t.By == "" {
		return t.Fix
	}
	return "as " + t.By + ": " + t.Fix
}

// preparation holds how far the wanted tables are.
type preparation struct {
	passing sync.Mutex // one pass at a time; taken before mu

	mu     sync.Mutex
	tables map[TableName]*tableProgress
	order  []TableName
	looked time.Time // when Prepare inspected the server last
}

type tableProgress struct {
	TableState
	relations []uint32
	alters    bool // its plan alters something, rather than only adds it
	pace      pace
	// writers are, while it drains, the transactions that are waited for; nil until that is known.
	writers map[string]bool
}

const (
	// lookEvery is how often it is looked who holds locks on tables that are not ready.
	lookEvery = 500 * time.Millisecond
	// leftOutEvery is how often it is looked whether somebody has mended tables that are left out.
	leftOutEvery = time.Minute
	// passBudget bounds what one pass over the tables waits for locks in vain.
	passBudget = time.Second
	// toldOneByOne is how many statements of a pass are logged at info.
	toldOneByOne = 10
)

// Tables tells how far the wanted tables are, in the order in which they are wanted.
func (s *Server) Tables() []TableState {
	s.prepared.mu.Lock()
	defer s.prepared.mu.Unlock()
	var states []TableState
	for _, name := range s.prepared.order {
		states = append(states, s.prepared.tables[name].TableState)
	}
	return states
}

// Prepare goes on with the tables that Ensure could not prepare, until ctx ends. mayAlter is false while another gateway has
// the slot, which then does it.
func (s *Server) Prepare(ctx context.Context, want Wanted, mayAlter func() bool) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	var failure time.Time
	for {
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
		err := s.prepareOn(ctx, want, s.Mode == SetupAuto && mayAlter())
		if err != nil && ctx.Err() == nil && time.Since(failure) > leftOutEvery {
			failure = time.Now()
			s.Log.Warn("setup: tables that are not ready have to wait", zap.Error(err))
		}
	}
}

// prepareOn is one look, with tries of those tables whose time has come.
func (s *Server) prepareOn(ctx context.Context, want Wanted, alter bool) error {
	due, err := s.due(ctx, alter)
	if err != nil || due == nil {
		return err
	}
	facts, err := s.Inspect(ctx)
	if err != nil {
		return err
	}
	if facts.Publication == nil {
		return nil // the stream is about to end, and what follows makes it
	}
	want, _ = want.among(facts)
	err = s.pass(ctx, facts, want, facts.Findings(want), func(t *tableProgress) (try, patient bool) {
		patient, try = due[t.Table]
		return try, patient
	})
	return errors.Join(err, s.settle(ctx, false))
}

// due returns the tables to be tried, and whether with patience; nil where there is nothing to do.
func (s *Server) due(ctx context.Context, alter bool) (map[TableName]bool, error) {
	p := &s.prepared
	p.mu.Lock()
	var relations []uint32
	var draining, leftOut bool
	for _, t := range p.tables {
		switch t.Progress {
		case Locked:
			relations = append(relations, t.relations...)
		case Draining:
			draining = true
		case LeftOut:
			leftOut = true
		}
	}
	now := time.Now()
	recheck := leftOut && now.Sub(p.looked) >= leftOutEvery || !alter && len(relations) > 0 && now.Sub(p.looked) >= minPause
	p.mu.Unlock()
	if draining {
		if err := s.settle(ctx, false); err != nil {
			return nil, err
		}
	}
	due := map[TableName]bool{}
	if len(relations) > 0 && alter {
		holders, _, err := s.holders(ctx, relations)
		if err != nil {
			return nil, err
		}
		p.mu.Lock()
		for _, t := range p.tables {
			if t.Progress == Locked {
				if try, patient := t.pace.look(now, t.among(holders), t.alters); try {
					due[t.Table] = patient
				}
			}
		}
		p.mu.Unlock()
	}
	if len(due) == 0 && !recheck {
		return nil, nil
	}
	p.mu.Lock()
	p.looked = now
	p.mu.Unlock()
	return due, nil
}

// among picks the holders of the table's relations.
func (t *tableProgress) among(holders []holder) []holder {
	return slices.DeleteFunc(slices.Clone(holders), func(h holder) bool { return !slices.Contains(t.relations, h.relation) })
}

// prepareAll is the first pass, and that of each new stream: it tries what is not waiting already.
func (s *Server) prepareAll(ctx context.Context, facts *Facts, want Wanted, findings []Finding) error {
	return s.pass(ctx, facts, want, findings, func(t *tableProgress) (try, patient bool) { return t.Progress != Locked, false })
}

// pass looks at every wanted table, and tries those that choose says.
func (s *Server) pass(ctx context.Context, facts *Facts, want Wanted, findings []Finding, choose func(*tableProgress) (try, patient bool)) error {
	s.prepared.passing.Lock()
	defer s.prepared.passing.Unlock()
	var changed []TableState
	defer func() { s.tellChanged(changed) }()
	added := map[TableName]bool{}
	var lost time.Duration
	told := 0
	log := func(message string, fields ...zap.Field) {
		if told++; told <= toldOneByOne {
			s.Log.Info(message, fields...)
		} else {
			s.Log.Debug(message, fields...)
		}
	}
	for _, p := range planTables(want, findings) {
		t, known := s.progress(p)
		switch try, patient := choose(t); {
		case len(p.leftOut) > 0:
			f := p.leftOut[0]
			s.set(t, TableState{Progress: LeftOut, Detail: strings.TrimPrefix(f.Detail, "is not served: "), Fix: f.Fix, By: f.By}, &changed)
		case len(p.turns) == 0 && !known && !facts.fresh(p.table.TableInfo):
			s.set(t, TableState{Progress: Ready}, &changed)
		case len(p.turns) == 0:
			if t.Progress != Ready { // somebody else has mended it
				s.set(t, TableState{Progress: Draining}, &changed)
			}
		case !try || lost > passBudget:
			if t.Progress != Locked {
				s.set(t, TableState{Progress: Locked, Detail: "it waits for its turn"}, &changed)
			}
		default:
			began := time.Now()
			err := s.prepareTable(ctx, p, patient, log)
			refused := (*SetupError)(nil)
			switch {
			case err == nil:
				added[t.Table] = true
				s.drainAnew(t, &changed)
			case errors.Is(err, errLater):
				lost += time.Since(began)
				s.prepared.mu.Lock()
				t.pace.failed(time.Now(), rand.Float64())
				s.prepared.mu.Unlock()
				s.set(t, TableState{Progress: Locked, Detail: errLater.Error()}, &changed)
			case errors.As(err, &refused) && (known || p.table.Optional):
				f := refused.Findings[0]
				s.set(t, TableState{Progress: LeftOut, Detail: f.Detail, Fix: f.Fix, By: f.By}, &changed)
			default:
				return err
			}
		}
	}
	if told > toldOneByOne {
		s.Log.Info("setup: tables are prepared", zap.Int("statements", told))
	}
	return s.noteWaiting(ctx, facts, want, added)
}

// progress finds a table's, and makes it where it is not known yet.
func (s *Server) progress(p tablePlan) (t *tableProgress, known bool) {
	s.prepared.mu.Lock()
	defer s.prepared.mu.Unlock()
	t, known = s.prepared.tables[p.table.TableName]
	if !known {
		t = &tableProgress{TableState: TableState{Table: p.table.TableName}}
		if s.prepared.tables == nil {
			s.prepared.tables = map[TableName]*tableProgress{}
		}
		s.prepared.tables[t.Table] = t
		s.prepared.order = append(s.prepared.order, t.Table)
	}
	t.relations, t.alters = nil, false
	for _, l := range p.table.Leaves {
		t.relations = append(t.relations, l.OID)
	}
	for _, turn := range p.turns {
		t.alters = t.alters || slices.ContainsFunc(turn.steps, func(f Finding) bool { return f.leaf != nil })
	}
	return t, known
}

// set notes how far a table is, and reports it where that is new.
func (s *Server) set(t *tableProgress, now TableState, changed *[]TableState) {
	now.Table = t.Table
	s.prepared.mu.Lock()
	same := t.TableState == now
	if t.Progress != now.Progress && now.Progress == Draining {
		t.writers = nil
	}
	if t.Progress != now.Progress && now.Progress == Locked && t.pace.tries == 0 {
		t.pace.tried = time.Now()
	}
	t.TableState = now
	s.prepared.mu.Unlock()
	if same || now.Progress == Draining && now.Detail == "" { // settle says what there is to say of that
		return
	}
	*changed = append(*changed, now)
	if s.Report != nil {
		s.Report(now)
	}
}

// drainAnew notes that a table was altered or added.
func (s *Server) drainAnew(t *tableProgress, changed *[]TableState) {
	s.prepared.mu.Lock()
	t.writers, t.pace = nil, pace{}
	s.prepared.mu.Unlock()
	s.set(t, TableState{Progress: Draining}, changed)
}

// settle makes tables ready once no transaction runs any more that wrote to them before they were in the publication: the
// stream has only the later changes of such a one. A slot that was made since has waited for them itself.
func (s *Server) settle(ctx context.Context, slotMade bool) error {
	p := &s.prepared
	p.passing.Lock()
	defer p.passing.Unlock()
	p.mu.Lock()
	var draining []*tableProgress
	var relations []uint32
	for _, name := range p.order {
		if t := p.tables[name]; t.Progress == Draining {
			draining, relations = append(draining, t), append(relations, t.relations...)
		}
	}
	p.mu.Unlock()
	if len(draining) == 0 {
		return nil
	}
	var changed []TableState
	defer func() { s.tellChanged(changed) }()
	if slotMade {
		for _, t := range draining {
			s.set(t, TableState{Progress: Ready}, &changed)
		}
		return nil
	}
	holders, end, err := s.holders(ctx, relations)
	if err != nil {
		return err
	}
	for _, t := range draining {
		p.mu.Lock()
		waits := t.waitsFor(holders)
		p.mu.Unlock()
		if waits {
			s.set(t, TableState{Progress: Draining, Detail: "transactions run that wrote to it before it was published"}, &changed)
			continue
		}
		s.set(t, TableState{Progress: Ready, From: end}, &changed)
	}
	return nil
}

// waitsFor takes in who holds locks. The first time those that write are noted.
func (t *tableProgress) waitsFor(holders []holder) bool {
	mine := t.among(holders)
	if t.writers == nil {
		t.writers = map[string]bool{}
		for _, h := range mine {
			if h.writes() {
				t.writers[h.transaction] = true
			}
		}
	}
	return slices.ContainsFunc(mine, func(h holder) bool { return h.writes() && (t.writers[h.transaction] || h.recovered()) })
}

func (f *Facts) fresh(t *TableInfo) bool {
	p := f.Publication
	return p != nil && (p.Fresh[t.TableName] || slices.ContainsFunc(t.Leaves, func(l LeafInfo) bool { return p.Fresh[l.TableName] }))
}

// noteWaiting keeps the publication's comment up to date, where the publication has one of ours.
func (s *Server) noteWaiting(ctx context.Context, facts *Facts, want Wanted, added map[TableName]bool) error {
	p, now := facts.Publication, facts.waiting(want)
	before := now // as it was made
	if p != nil {
		before = p.Waiting
	}
	now = slices.DeleteFunc(slices.Clone(now), func(t TableName) bool { return added[t] })
	if s.Mode != SetupAuto || len(before) == 0 || p != nil && p.Owner != "" || slices.Equal(before, now) {
		return nil
	}
	return s.execWithin(ctx, waitingSQL(s.Publication, now))
}

// tellChanged logs what has changed, in a line for each sort.
func (s *Server) tellChanged(changed []TableState) {
	byProgress := map[Progress][]TableState{}
	for _, t := range changed {
		byProgress[t.Progress] = append(byProgress[t.Progress], t)
	}
	tell := func(progress Progress, log func(string, ...zap.Field), message string) {
		states := byProgress[progress]
		if len(states) == 0 {
			return
		}
		var names []string
		for _, t := range states {
			names = append(names, t.Table.String())
		}
		log(message, zap.Int("count", len(names)), zap.String("tables", Some(names)), zap.String("detail", states[0].Detail), zap.String("sql", states[0].Fix))
	}
	tell(Locked, s.Log.Warn, "setup: tables are not served yet, for they could not be altered: others hold locks on them")
	tell(Draining, s.Log.Info, "setup: tables are served when transactions have ended that wrote to them before")
	tell(LeftOut, s.Log.Warn, "setup: tables are left out: reactive-gw doctor says why, with the SQL for their owners")
	tell(Ready, s.Log.Debug, "setup: tables are ready")
}
