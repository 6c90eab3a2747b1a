package fanout

import (
	"errors"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// RowFilter decides which rows of a channel a client sees. Its methods may be called from any goroutine.
type RowFilter interface {
	// PerClient tells whether what it decides may depend on the client at all. Where it does not, every Verdict has to be
	// shared: one that is not lets nobody through.
	PerClient() bool
	// NewVerdict makes a verdict to be used for row after row.
	NewVerdict() Verdict
}

// Verdict is what a RowFilter says of one image of a row. It belongs to one goroutine at a time. A panic in it is a no.
type Verdict interface {
	// Judge makes it the verdict on a row, which does not change until the next call. Excluded columns are in it.
	Judge(t *cdc.Table, row cdc.Row)
	// Shared tells whether the row is let through, where that is so for every client alike.
	Shared() (allowed, shared bool)
	// Allows tells whether a client may see the row. viewer is what was given to Attach.
	Allows(viewer any) bool
	// Failure is why the last answer was no for want of an answer, else nil. It goes into the log, so its text must hold
	// nothing of the row.
	Failure() error
}

// InputColumn is a column that a channel's filter or resolver looks at, with its type when the channel was made.
type InputColumn struct {
	Column  string
	TypeOID uint32
}

// filter is a channel's RowFilter at work on changes. It belongs to the hub's lock, but for failures.
type filter struct {
	RowFilter
	was, now opinion
	failures *failures
}

func newFilter(ch *Channel, log *zap.Logger) *filter {
	f := &filter{RowFilter: ch.Filter, failures: &failures{
		log: log, channel: ch.Name, message: "filterRow gave no answer, so the row is not shown",
	}}
	f.was, f.now = f.opinion(), f.opinion()
	return f
}

func (f *filter) opinion() opinion {
	return opinion{verdict: f.NewVerdict(), perClient: f.PerClient(), failures: f.failures}
}

// judge returns what the filter says of the row before and after a change whose old image is known as far as the filter
// looks: see binding.judgeable. It is the same opinion where the filter looks at nothing that changed.
func (f *filter) judge(b *binding, c *cdc.Change) (was, now *opinion) {
	switch {
	case c.Op == cdc.Update && !b.sees(b.filtered, c):
		image := c.Before
		if image == nil {
			image = c.After
		}
		f.now.judge(c.Table, image)
		return &f.now, &f.now
	case c.Op == cdc.Insert:
		f.was.deny()
	default:
		f.was.judge(c.Table, c.Before)
	}
	if c.Op == cdc.Delete {
		f.now.deny()
	} else {
		f.now.judge(c.Table, c.After)
	}
	return &f.was, &f.now
}

// opinion is what a filter says of one image of a row. Everything that goes wrong is a no.
type opinion struct {
	verdict         Verdict
	perClient       bool
	failures        *failures
	allowed, shared bool
}

var errNotShared = errors.New("the filter depends on the client, and said that it never does")

func (o *opinion) deny() { o.allowed, o.shared = false, true }

func (o *opinion) judge(t *cdc.Table, row cdc.Row) {
	o.deny()
	defer o.failures.caught()
	o.verdict.Judge(t, row)
	allowed, shared := o.verdict.Shared()
	switch {
	case shared && allowed:
		o.allowed = true
	case shared:
		o.failures.note(o.verdict.Failure())
	case o.perClient:
		o.shared = false
	default:
		o.failures.note(errNotShared)
	}
}

func (o *opinion) allows(viewer any) (allowed bool) {
	if o.shared {
		return o.allowed
	}
	defer o.failures.caught()
	if o.verdict.Allows(viewer) {
		return true
	}
	o.failures.note(o.verdict.Failure())
	return false
}

// sees tells whether an update changed one of the columns.
func (b *binding) sees(columns []int, c *cdc.Change) bool {
	if c.Before == nil {
		return false
	}
	for _, at := range columns {
		if now := c.After.Value(at); now.State != cdc.Absent && !now.Equal(c.Before.Value(at)) {
			return true
		}
	}
	return false
}

// judgeable returns false where one of the columns is not known of the row's old image: somebody has weakened the replica
// identity under us. Then it cannot be told who had the row.
func (b *binding) judgeable(columns []int, c *cdc.Change) bool {
	if c.Op == cdc.Insert {
		return true
	}
	for _, at := range columns {
		if _, known := b.before(c, at); !known {
			return false
		}
	}
	return true
}

// answers are what a filter said of a client and the change that it was last asked about: a client with several scopes
// that the row is in is asked about once.
type answers struct {
	judged   uint64 // Hub.judged
	was, now answer
}

type answer int8

const (
	unasked answer = iota
	no
	yes
)

func (a *answer) allows(o *opinion, viewer any) bool {
	if *a == unasked {
		*a = no
		if o.allows(viewer) {
			*a = yes
		}
	}
	return *a == yes
}
