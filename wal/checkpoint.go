package wal

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Checkpoints is the cdc.CheckpointStore in the table mtbreactive.checkpoint of the database itself. A checkpoint is
// good only for the server and the timeline that it was made on: a restored backup begins another log at old positions.
type Checkpoints struct {
	Pool *pgxpool.Pool
	Slot string

	mu       sync.Mutex
	systemID string
	timeline int32
}

// Identify says which log the positions to come belong to.
func (c *Checkpoints) Identify(systemID string, timeline int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.systemID, c.timeline = systemID, timeline
}

// Load returns the last delivered position, the zero position where there is none for this log.
func (c *Checkpoints) Load(ctx context.Context, systemID string, timeline int32) (cdc.Position, error) {
	var commit, end string
	err := c.Pool.QueryRow(ctx, `
		select commit_lsn::text, end_lsn::text from mtbreactive.checkpoint
		where slot = $1 and system_id = $2 and timeline = $3`, c.Slot, systemID, timeline).Scan(&commit, &end)
	if errors.Is(err, pgx.ErrNoRows) {
		return cdc.Position{}, nil
	}
	if err != nil {
		return cdc.Position{}, fmt.Errorf("load checkpoint: %w", err)
	}
	var p cdc.Position
	if p.Commit, err = cdc.ParseLSN(commit); err == nil {
		p.End, err = cdc.ParseLSN(end)
	}
	if err != nil {
		return cdc.Position{}, fmt.Errorf("load checkpoint: %w", err)
	}
	return p, nil
}

// Save implements cdc.CheckpointStore.
func (c *Checkpoints) Save(ctx context.Context, delivered cdc.Position) error {
	c.mu.Lock()
	systemID, timeline := c.systemID, c.timeline
	c.mu.Unlock()
	_, err := c.Pool.Exec(ctx, `
		insert into mtbreactive.checkpoint (slot, system_id, timeline, commit_lsn, end_lsn)
		values ($1, $2, $3, $4::text::pg_lsn, $5::text::pg_lsn)
		on conflict (slot) do update set system_id = excluded.system_id, timeline = excluded.timeline,
			commit_lsn = excluded.commit_lsn, end_lsn = excluded.end_lsn, saved_at = now()`,
		c.Slot, systemID, timeline, delivered.Commit.String(), delivered.End.String())
	if err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	return nil
}
