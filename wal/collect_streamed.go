package wal

import (
	"context"
	"fmt"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Transactions that are bigger than the server's logical_decoding_work_mem come in blocks while they are still in progress,
// so that by their commit all of it is here: what waits behind them waits for the delivery alone.

// StreamStart opens a block of a transaction in progress.
func (c *collector) StreamStart(m StreamStart) error {
	if c.skipping {
		return fmt.Errorf("stream transaction %d: %w", m.XID, cdc.ErrTransactionOpen)
	}
	c.relations.open(m.XID, m.First)
	return c.assembler.StreamStart(m.XID, m.First)
}

// StreamStop closes the block.
func (c *collector) StreamStop() error {
	c.relations.block, c.streamed = nil, true
	return c.assembler.StreamStop()
}

// Within says whose the next message is.
func (c *collector) Within(xid uint32) error {
	subtransaction, err := c.assembler.Within(xid)
	if err != nil {
		return err
	}
	c.relations.block.now = subtransaction
	return nil
}

// StreamAbort takes back a subtransaction, or all of the transaction.
func (c *collector) StreamAbort(m StreamAbort) error {
	c.streamed = true
	c.relations.abort(m.XID, m.Subtransaction)
	return c.assembler.StreamAbort(m.XID, m.Subtransaction)
}

// StreamCommit completes the transaction, or drops one that the server has sent before: only now that can be told.
func (c *collector) StreamCommit(m StreamCommit) error {
	c.streamed = true
	tables := c.assembler.StreamTables(m.XID)
	err := c.lookUp(func(ctx context.Context) error { return c.relations.settle(ctx, m.XID, tables) })
	if err != nil {
		return fmt.Errorf("commit of transaction %d: %w", m.XID, err)
	}
	if c.tracker.Replayed(m.Commit) {
		return c.assembler.StreamAbort(m.XID, m.XID)
	}
	c.complete, err = c.assembler.StreamCommit(m.XID, m.Commit, m.End, m.Time)
	return err
}
