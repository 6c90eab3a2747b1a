package main

import (
	"context"
	"fmt"
	"os/exec"
	"time"
)

// receiveLogical drains a slot with PostgreSQL's own tool, which throws away what it gets.
func (b *bench) receiveLogical(ctx context.Context, db *database, slot, end string) (spent, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, postgresProgram("pg_recvlogical"), "-d", db.url, "--slot", slot, "--start", "--endpos", end, "--no-loop",
		"-o", "proto_version=1", "-o", "publication_names=mtbreactive", "-f", "/dev/null")
	said := &processLog{}
	cmd.Stderr = said
	began := time.Now()
	if err := b.children.start(cmd); err != nil {
		return spent{}, err
	}
	if err := b.children.wait(cmd); err != nil {
		return spent{}, fmt.Errorf("drain with pg_recvlogical: %w: %s", err, said.lastLines())
	}
	used := spent{time.Since(began), cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()}
	_, err := db.Exec(ctx, "select pg_drop_replication_slot($1)", slot)
	if err != nil {
		return spent{}, fmt.Errorf("drop the slot of pg_recvlogical: %w", err)
	}
	return used, nil
}
