package wal

import "time"

// GatherFor is how long bytes gather that come fast.
const GatherFor = gatherFor

// Gather makes them gather for another time; 0 is not at all.
func (s *Source) Gather(linger time.Duration) { s.linger = linger }
