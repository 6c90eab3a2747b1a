package gateway

import (
	"errors"
	"math"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// sending is what a session has taken from its client's queue and not sent yet. It belongs to whoever serves the session,
// which is one goroutine at a time: from ready on, until the queue is found empty or the connection has ended.
type sending struct {
	pieces [][]byte
	at     int // the next of pieces
	served sync.WaitGroup
}

// ready hands the session to the writers. The client calls it when something begins to wait.
func (s *session) ready() {
	s.served.Add(1)
	s.gateway.writers.add(s)
}

// left is what was taken and not sent yet.
func (s *session) left() [][]byte { return s.pieces[s.at:] }

// take takes what waits, and tells whether it is anything. Where it is not, the session is done with: until it is ready
// again, or, where the client has to go, for good.
func (s *session) take() bool {
	reuse := s.pieces
	s.pieces, s.at = nil, 0 // nothing of it may be touched when Take has found nothing: another writer may serve it by then
	pieces, frames, err := s.client.Take(reuse)
	if closed := (*fanout.Closed)(nil); errors.As(err, &closed) {
		go func() {
			defer s.served.Done()
			if closed.Code == protocol.CloseSlowConsumer {
				s.refused(RefusedSlow)
			}
			s.socket.leave(closed.Code) // it may have to wait
		}()
		return false
	}
	if len(pieces) == 0 {
		s.served.Done()
		return false
	}
	s.pieces = pieces
	s.gateway.writers.frames.Add(uint64(frames))
	return true
}

// notePing notes that a ping is among the next pieces to be sent. That is before they are: the answer may be here before
// anything can be noted afterwards.
func (s *session) notePing(n int) {
	for _, piece := range s.pieces[s.at : s.at+n] {
		if s.gateway.heartbeat.isPing(piece) {
			s.pinged.Store(time.Now().UnixNano())
		}
	}
}

// gone notes that so many pieces were sent.
func (s *session) gone(n int) {
	clear(s.pieces[s.at : s.at+n])
	if s.at += n; s.at == len(s.pieces) {
		s.pieces, s.at = s.pieces[:0], 0
	}
}

// stall waits in a goroutine of its own until the peer has taken the rest of so many pieces, and then hands the session back
// to the writers. The connection's writing is held, and let go of.
func (s *session) stall(rest []byte, pieces int) {
	s.stalled.Store(math.MaxInt64)
	go func() {
		writes, err := s.socket.raw.waitAll(rest)
		s.gateway.writers.writes.Add(writes)
		s.stalled.Store(time.Now().UnixNano())
		s.socket.raw.writing.Unlock()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			s.refused(RefusedSlow)
		}
		if err != nil {
			s.broken(err)
			return
		}
		s.gone(pieces)
		s.gateway.writers.add(s)
	}()
}

// giveWay waits for a control frame that is being written.
func (s *session) giveWay() {
	go func() {
		s.socket.raw.writing.Lock()
		s.socket.raw.writing.Unlock() //nolint:staticcheck // to wait for it is all
		s.gateway.writers.add(s)
	}()
}

// broken ends a connection to which nothing can be sent any more. Where a message is half out, no close frame can follow it.
func (s *session) broken(err error) {
	s.gateway.options.Log.Debug("write failed", zap.Error(err))
	s.socket.abort()
	s.served.Done()
}
