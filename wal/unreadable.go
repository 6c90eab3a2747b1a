package wal

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// A change that cannot be read must neither take the process nor stop the stream of other tables. It stands in its transaction
// as a cdc.Unreadable change of its table: at the commit, and only then, all that rests on the table starts over.

// DefaultMaxRow is how long a change may be where nobody says.
const DefaultMaxRow = 64 << 20

// Unreadable says which changes of the wanted tables could not be read.
type Unreadable struct {
	Oversized   uint64 // longer than MaxRow
	Undecodable uint64 // with a value that has no Unicode
	// Table, Detail and Fix are of the last one, with the time; Table is empty where there was none.
	Table, Detail, Fix string
	At                 time.Time
}

// unreadable keeps Unreadable. The goroutine of the stream notes, any goroutine reads.
type unreadable struct {
	oversized, undecodable atomic.Uint64

	mu     sync.Mutex
	last   Unreadable
	logged map[string]time.Time // by table
}

const (
	// unreadableLogEvery is between two lines of the log about one table.
	unreadableLogEvery = time.Minute
	// unreadableTables bounds the tables of which that is remembered.
	unreadableTables = 1000
)

// note notes a change that could not be read, and says so in the log now and then.
func (u *unreadable) note(log *zap.Logger, count *atomic.Uint64, table *cdc.Table, detail, fix string) {
	times := count.Add(1)
	name, now := table.String(), time.Now()
	u.mu.Lock()
	u.last = Unreadable{Table: name, Detail: detail, Fix: fix, At: now}
	silent := now.Sub(u.logged[name]) < unreadableLogEvery
	if !silent {
		if u.logged == nil || len(u.logged) >= unreadableTables {
			u.logged = map[string]time.Time{}
		}
		u.logged[name] = now
	}
	u.mu.Unlock()
	if !silent {
		log.Warn("a change could not be read: if it commits, the views of its table start over",
			zap.String("table", name), zap.String("detail", detail), zap.Uint64("times", times), zap.String("fix", fix))
	}
}

func (u *unreadable) stats() Unreadable {
	u.mu.Lock()
	defer u.mu.Unlock()
	v := u.last
	v.Oversized, v.Undecodable = u.oversized.Load(), u.undecodable.Load()
	return v
}

// Oversized adds a change of which only the table is known.
func (c *collector) Oversized(relation uint32, size int) error {
	if c.skipping {
		return nil
	}
	rel, err := c.relations.get(relation)
	if err != nil {
		return err
	}
	if rel.own != nil {
		return c.unreadOwn(rel)
	}
	if c.reports(rel.table) {
		c.unreadable.note(c.log, &c.unreadable.oversized, rel.table,
			fmt.Sprintf("it has %d bytes, old and new values together; maxRowBytes is %d", size, c.maxRow),
			"set maxRowBytes higher if the memory is there, or keep such values in a table that is not published")
	}
	return c.assembler.Add(cdc.Unreadable, rel.table, nil, nil)
}

// undecodable adds a change with a value that has no Unicode.
func (c *collector) undecodable(rel *relation) error {
	if c.reports(rel.table) {
		t := TableName{rel.table.Schema, rel.table.Name}
		detail, fix := "it has", "mend the rows that this finds: "+c.relations.decoder.findSQL(t)
		if rel.message.nameless {
			detail, fix = "a name of the table, of its columns or of their types has", "rename what has the name, and restart the gateway"
		}
		detail += " a character of " + c.relations.decoder.encoding + " that has no Unicode"
		c.unreadable.note(c.log, &c.unreadable.undecodable, rel.table, detail, fix)
	}
	return c.assembler.Add(cdc.Unreadable, rel.table, nil, nil)
}

// names are those of the tables.
func (w *Wanted) names() map[TableName]bool {
	names := map[TableName]bool{}
	for _, t := range w.Tables {
		names[t.TableName] = true
	}
	return names
}

// reports tells whether anybody is served from the table, or has rights by it, so that an operator should know.
func (c *collector) reports(t *cdc.Table) bool {
	return c.unreadable != nil && c.wanted[TableName{t.Schema, t.Name}]
}
