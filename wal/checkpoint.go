package wal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// Checkpoints is the cdc.CheckpointStore in the table mtbreactive.checkpoint of the database itself. Its methods may be
// called from any goroutine.
type Checkpoints struct {
	Pool *pgxpool.Pool
	Slot string
}

// StoredCheckpoint is a checkpoint with the log that it is of, and the last time that continuity was lost.
type StoredCheckpoint struct {
	cdc.Checkpoint
	SystemID        string
	Timeline        int32
	PostmasterStart time.Time // of the run of the server that it is good for
	SavedAt         time.Time
	Reset           Reset
}

// Reset says when and why clients had to start over. The zero value is never.
type Reset struct {
	Reason cdc.ResetReason
	Detail string
	At     time.Time
}

// errNotOurs: another gateway has begun another epoch, somebody deleted the row, or the server was started anew and it is
// not known yet whether with the same files.
var errNotOurs = errors.New("the slot's row in mtbreactive.checkpoint is not that of this epoch on this run of the server")

// Load returns nil where there is no checkpoint.
func (c *Checkpoints) Load(ctx context.Context) (*StoredCheckpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	s := &StoredCheckpoint{}
	var commit, end, reached, released string
	var resetAt *time.Time
	if err := refuseForeignTable(ctx, c.Pool, checkpointTable); err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	err := c.Pool.QueryRow(ctx, `
		select epoch, system_id, timeline, postmaster_start, commit_lsn::pg_catalog.text, end_lsn::pg_catalog.text, reached_lsn::pg_catalog.text,
		       released_lsn::pg_catalog.text, saved_at, reset_reason, reset_detail, reset_at
		from mtbreactive.checkpoint where slot = $1`, c.Slot).Scan(
		&s.Epoch, &s.SystemID, &s.Timeline, &s.PostmasterStart, &commit, &end, &reached,
		&released, &s.SavedAt, &s.Reset.Reason, &s.Reset.Detail, &resetAt)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	for _, lsn := range []struct {
		text string
		into *cdc.LSN
	}{{commit, &s.Delivered.Commit}, {end, &s.Delivered.End}, {reached, &s.Reached}, {released, &s.Released}} {
		if err == nil {
			*lsn.into, err = cdc.ParseLSN(lsn.text)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load checkpoint: %w", err)
	}
	if resetAt != nil {
		s.Reset.At = *resetAt
	}
	return s, nil
}

// exec writes, unless the table is somebody else's by now.
func (c *Checkpoints) exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	if err := refuseForeignTable(ctx, c.Pool, checkpointTable); err != nil {
		return tag, err
	}
	return c.Pool.Exec(ctx, sql, args...)
}

// Begin puts s, of a new epoch, in the place of what is there.
func (c *Checkpoints) Begin(ctx context.Context, s *StoredCheckpoint) error {
	var resetAt *time.Time
	if !s.Reset.At.IsZero() {
		resetAt = &s.Reset.At
	}
	_, err := c.exec(ctx, `
		insert into mtbreactive.checkpoint as c (slot, epoch, system_id, timeline, postmaster_start, commit_lsn, end_lsn,
			reached_lsn, released_lsn, reset_reason, reset_detail, reset_at)
		values ($1, $2, $3, $4, $5, $6::pg_catalog.text::pg_catalog.pg_lsn, $7::pg_catalog.text::pg_catalog.pg_lsn,
			$8::pg_catalog.text::pg_catalog.pg_lsn, $9::pg_catalog.text::pg_catalog.pg_lsn, $10, $11, $12)
		on conflict (slot) do update set epoch = excluded.epoch, system_id = excluded.system_id, timeline = excluded.timeline,
			postmaster_start = excluded.postmaster_start, commit_lsn = excluded.commit_lsn, end_lsn = excluded.end_lsn,
			reached_lsn = excluded.reached_lsn, released_lsn = excluded.released_lsn, reset_reason = excluded.reset_reason,
			reset_detail = excluded.reset_detail, reset_at = excluded.reset_at, saved_at = pg_catalog.now()`,
		c.Slot, s.Epoch, s.SystemID, s.Timeline, s.PostmasterStart, s.Delivered.Commit.String(), s.Delivered.End.String(),
		s.Reached.String(), s.Released.String(), string(s.Reset.Reason), s.Reset.Detail, resetAt)
	if err != nil {
		return fmt.Errorf("begin checkpoint: %w", err)
	}
	return nil
}

// Restarted notes that the epoch goes on with the run of the server that began at the given time.
func (c *Checkpoints) Restarted(ctx context.Context, epoch string, at time.Time) error {
	_, err := c.exec(ctx, "update mtbreactive.checkpoint set postmaster_start = $3 where slot = $1 and epoch = $2", c.Slot, epoch, at)
	if err != nil {
		return fmt.Errorf("note the server's start: %w", err)
	}
	return nil
}

// Save implements cdc.CheckpointStore. Positions only grow within an epoch, whoever comes last: a gateway that was frozen
// and does not know yet that another one has its slot takes nothing back. On another run of the server nothing is saved
// until the stream has begun anew: what is there may be an earlier copy's, which only shows as long as it is not written over.
func (c *Checkpoints) Save(ctx context.Context, at cdc.Checkpoint) error {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout) // a dead connection must not look like one that is at work
	defer cancel()
	tag, err := c.exec(ctx, `
		update mtbreactive.checkpoint set saved_at = pg_catalog.now(),
			commit_lsn = greatest(commit_lsn, $3::pg_catalog.text::pg_catalog.pg_lsn), end_lsn = greatest(end_lsn, $4::pg_catalog.text::pg_catalog.pg_lsn),
			reached_lsn = greatest(reached_lsn, $5::pg_catalog.text::pg_catalog.pg_lsn), released_lsn = greatest(released_lsn, $6::pg_catalog.text::pg_catalog.pg_lsn)
		where slot = $1 and epoch = $2 and postmaster_start = pg_catalog.pg_postmaster_start_time()`,
		c.Slot, at.Epoch, at.Delivered.Commit.String(), at.Delivered.End.String(), at.Reached.String(), at.Released.String())
	if err == nil && tag.RowsAffected() == 0 {
		err = errNotOurs
	}
	if err != nil {
		return fmt.Errorf("save checkpoint: %w", err)
	}
	return nil
}
