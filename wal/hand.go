package wal

import (
	"context"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// hand passes a transaction on, together with those that follow at once: see handOn.
func (s *stream) hand(ctx context.Context, tx *cdc.Transaction) error {
	if tx.Len() == 0 { // servers before 15 send also what touched no published table, all do that in blocks
		if err := s.handOn(ctx); err != nil {
			return err
		}
		s.tracker.Idle(tx.End)
		s.handoff.Pass(tx.End)
		return nil
	}
	s.gathered = append(s.gathered, cdc.Delivery{Transaction: tx})
	s.gatheredBytes += tx.Size()
	if s.gatheredBytes < handAtOnce {
		return nil
	}
	return s.handOn(ctx)
}

// handOn passes on what has gathered. What is not passed on is not received: the next connection brings it again.
func (s *stream) handOn(ctx context.Context) error {
	if len(s.gathered) == 0 {
		return nil
	}
	n := s.handoff.Direct(s.gathered...)
	s.note(s.gathered[:n])
	err := s.put(ctx, s.gathered[n:])
	clear(s.gathered)
	s.gathered, s.gatheredBytes = s.gathered[:0], 0
	return err
}

// put waits for room. While there is none it goes on sending status: a consumer that is slow must not look like one that is
// dead. Meanwhile nobody listens to the server, which may shut down: it is asked on another connection.
func (s *stream) put(ctx context.Context, list []cdc.Delivery) error {
	if list = s.fit(list); len(list) == 0 {
		return nil
	}
	timer, ask := time.NewTimer(s.untilLook()), time.NewTicker(wedged)
	defer timer.Stop()
	defer ask.Stop()
	for {
		if list = s.fit(list); len(list) == 0 {
			return nil
		}
		select {
		case <-s.handoff.Room():
		case <-ask.C:
			if s.stopping(ctx) {
				return errServerStops
			}
		case <-timer.C:
			if err := s.statusIfDue(); err != nil {
				return err
			}
			timer.Reset(s.untilLook())
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// fit passes on what there is room for, notes it, and returns the rest.
func (s *stream) fit(list []cdc.Delivery) (rest []cdc.Delivery) {
	n := s.handoff.PutAll(list)
	s.note(list[:n])
	return list[n:]
}

// note notes what was passed on.
func (s *stream) note(list []cdc.Delivery) {
	transactions, changes := 0, 0
	for _, d := range list {
		if tx := d.Transaction; tx != nil {
			s.tracker.Received(tx)
			s.stats.lastCommit.Store(tx.Time().UnixNano())
			transactions, changes = transactions+1, changes+tx.Len()
		}
	}
	s.stats.transactions.Add(uint64(transactions))
	s.stats.changes.Add(uint64(changes))
}
