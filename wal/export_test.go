package wal

import (
	"context"
	"time"
)

// GatherFor is how long bytes gather that come fast.
const GatherFor = gatherFor

// Gather makes them gather for another time; 0 is not at all.
func (s *Source) Gather(linger time.Duration) { s.linger = linger }

// Record is record.
func (s *Server) Record(ctx context.Context, q recorder, m Made) error { return s.record(ctx, q, m) }
