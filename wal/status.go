package wal

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// untilLook is the time until statusIfDue has to be asked again.
func (s *stream) untilLook() time.Duration {
	if s.replyDue {
		return max(0, time.Until(s.lastStatus.Add(replyGap)))
	}
	return max(0, min(statusTick, time.Until(s.lastStatus.Add(s.statusEvery))))
}

// statusIfDue sends a status when the server waits for one, when we were silent for long enough, and soon after the
// acknowledgement has moved.
func (s *stream) statusIfDue() error {
	silent, news := time.Since(s.lastStatus), s.tracker.Ack() > s.lastAck || s.tracker.Reached() > s.lastReached
	switch {
	case s.replyDue && (news || silent >= replyGap):
	case silent >= s.statusEvery:
	case silent >= statusTick && (news || !s.stats.ready()):
	default:
		return nil
	}
	return s.sendStatus(!s.stats.ready())
}

// sendStatus acknowledges. With ask the server answers with a keepalive at once, which tells how far it has come.
func (s *stream) sendStatus(ask bool) error {
	reached, ack, now := s.tracker.Reached(), s.tracker.Ack(), time.Now()
	if err := s.conn.send(appendStatus(nil, reached, ack, now, ask), s.statusEvery); err != nil {
		return fmt.Errorf("send status: %w", err)
	}
	s.lastStatus, s.lastAck, s.lastReached, s.replyDue = now, ack, reached, false
	s.stats.acked.Store(uint64(ack))
	return nil
}

// appendStatus writes a standby status update: what was written, flushed and applied. PostgreSQL frees log by the second.
func appendStatus(dst []byte, reached, ack cdc.LSN, now time.Time, ask bool) []byte {
	dst = append(dst, 'r')
	for _, v := range []uint64{uint64(reached), uint64(ack), uint64(reached), uint64(now.UnixMicro() - postgresEpoch)} {
		dst = binary.BigEndian.AppendUint64(dst, v)
	}
	if ask {
		return append(dst, 1)
	}
	return append(dst, 0)
}

// impatient tells whether the server shuts down. It then waits until all that it has sent is acknowledged, and asks again
// as soon as we have answered. Otherwise it asks only after a long silence.
func (s *stream) impatient(end cdc.LSN) bool {
	if end != s.askedAt || time.Since(s.lastStatus) > s.statusEvery/2 {
		s.asked, s.askedAt = 0, end
	}
	s.asked++
	return s.asked > patience
}
