package wal

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// collector is the Handler that makes transactions of messages. It belongs to the goroutine that decodes.
type collector struct {
	ctx context.Context // of the stream, for the look-ups that a Relation needs
	// meanwhile runs what takes its time, and keeps the connection alive as long.
	meanwhile func(ctx context.Context, f func(context.Context) error) error
	relations *relations
	tracker   *cdc.Tracker
	assembler cdc.Assembler
	events    Events // nil: nobody asks for emitted events
	emitted   []byte // the last row of the outbox, reused

	log        *zap.Logger
	unreadable *unreadable
	wanted     map[TableName]bool // the tables of which it is said that changes are unreadable
	maxRow     int

	skipping bool
	complete *cdc.Transaction
	streamed bool // a block, a commit or an abort has changed what is in progress; whoever looks resets it
}

// lookupTimeout bounds the catalog queries for one message: the stream stands still meanwhile.
const lookupTimeout = 10 * time.Second

// take returns the transaction that the last message completed, or nil.
func (c *collector) take() *cdc.Transaction {
	tx := c.complete
	c.complete = nil
	return tx
}

// idle tells whether the stream stands between two transactions.
func (c *collector) idle() bool { return !c.skipping && !c.assembler.Open() }

// Begin opens a transaction, or begins to skip one that the server has sent before.
func (c *collector) Begin(m Begin) error {
	if c.skipping {
		return fmt.Errorf("begin transaction %d: %w", m.XID, cdc.ErrTransactionOpen)
	}
	if c.tracker.Replayed(m.Final) {
		c.skipping = true
		return nil
	}
	return c.assembler.Begin(m.XID, m.Final, m.Time)
}

// Commit completes the transaction.
func (c *collector) Commit(m Commit) error {
	if c.skipping {
		c.skipping = false
		return nil
	}
	tx, err := c.assembler.Commit(m.Commit, m.End)
	c.complete = tx
	return err
}

// Relation takes in a table's description.
func (c *collector) Relation(m Relation) error {
	c.relations.decoder.names(&m)
	return c.lookUp(func(ctx context.Context) error { return c.relations.describe(ctx, m) })
}

func (c *collector) lookUp(f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(c.ctx, lookupTimeout)
	defer cancel()
	return c.meanwhile(ctx, f)
}

// Type makes the description that follows look the type up anew: it may have been altered.
func (c *collector) Type(m Type) error {
	c.relations.types.Forget(m.OID)
	if block := c.relations.block; block != nil {
		block.types = append(block.types, m.OID)
	}
	return nil
}

// Insert adds a change.
func (c *collector) Insert(relation uint32, after cdc.Row) error {
	return c.add(cdc.Insert, relation, OldNone, nil, after)
}

// Update adds a change.
func (c *collector) Update(relation uint32, old OldTuple, before, after cdc.Row) error {
	return c.add(cdc.Update, relation, old, before, after)
}

// Delete adds a change.
func (c *collector) Delete(relation uint32, old OldTuple, before cdc.Row) error {
	return c.add(cdc.Delete, relation, old, before, nil)
}

func (c *collector) add(op cdc.Op, oid uint32, old OldTuple, before, after cdc.Row) error {
	if c.skipping {
		return nil
	}
	rel, err := c.relations.get(oid)
	if err != nil {
		return err
	}
	if rel.own != nil {
		return c.takeOwn(op, rel, after)
	}
	if err := rel.check(before); err != nil {
		return err
	}
	if err := rel.check(after); err != nil {
		return err
	}
	if d := c.relations.decoder; d != nil {
		var ok bool
		if before, after, c.relations.scratch, ok = d.rows(c.relations.scratch, before, after); !ok || rel.message.nameless {
			return c.undecodable(rel)
		}
	}
	if before, after, err = rel.images(old, before, after); err != nil {
		return err
	}
	err = c.assembler.Add(op, rel.table, before, after)
	rel.scratch, c.relations.scratch = keepSmall(rel.scratch), keepSmall(c.relations.scratch)
	return err
}

// keepSmall returns a buffer where it is worth keeping.
func keepSmall(buffer []byte) []byte {
	const small = 64 << 10
	if cap(buffer) > small {
		return nil
	}
	return buffer
}

// Truncate adds a change for each table.
func (c *collector) Truncate(m Truncate) error {
	if c.skipping {
		return nil
	}
	for _, oid := range m.Relations {
		rel, err := c.relations.get(oid)
		if err != nil {
			return err
		}
		if rel.own != nil {
			continue
		}
		if err := c.assembler.Add(cdc.Truncate, rel.table, nil, nil); err != nil {
			return err
		}
	}
	return nil
}

// Message passes over a logical message: every role may write one, so it says nothing. The stream does not ask for them.
func (c *collector) Message(LogicalMessage) error { return nil }

// Origin ignores where a transaction was first made: it is delivered wherever it came from.
func (c *collector) Origin(Origin) error { return nil }
