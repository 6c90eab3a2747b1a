package wal

import (
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/reactive-gw/reactive-gw/cdc"
)

// State is what a source is doing.
type State int32

// The states, in the order in which a source goes through them.
const (
	Connecting State = iota // or waiting to try again
	Standby                 // another gateway holds the slot
	CatchingUp              // streaming what was written before it connected
	Live                    // streaming, and past the place where the server was when it connected
)

func (s State) String() string {
	return [...]string{"connecting", "standby", "catching up", "live"}[s]
}

// Stats is a moment's view of a source.
type Stats struct {
	State        State
	WasLive      bool   // the source was live at least once
	Transactions uint64 // received since the start
	Changes      uint64
	InProgress   int           // transactions of which the server has sent a part before their end
	Spilled      int64         // bytes of these on disk
	Connects     uint64        // replication connections that began to stream
	ServerEnd    cdc.LSN       // end of the server's log, as far as it told
	Acked        cdc.LSN       // last position acknowledged to the server
	LagBytes     uint64        // log between ServerEnd and what was delivered
	Lag          time.Duration // age of the last received commit while there is such log, otherwise 0
	Epoch        string        // empty before the first stream
	Reset        Reset         // the last one, of this process or those before it
	Resets       map[cdc.ResetReason]uint64
	Unreadable   Unreadable
	// Failure is why the last stream ended that ended by itself, and when. Nil: none did.
	Failure   error
	FailureAt time.Time
}

// sourceStats is written by the goroutine that streams and read from any.
type sourceStats struct {
	state        atomic.Int32
	wasLive      atomic.Bool
	transactions atomic.Uint64
	changes      atomic.Uint64
	inProgress   atomic.Int64
	spilled      atomic.Int64
	connects     atomic.Uint64
	serverEnd    atomic.Uint64
	acked        atomic.Uint64
	lastCommit   atomic.Int64 // Unix nanoseconds
	target       atomic.Uint64

	mu     sync.Mutex
	rarely Stats // Epoch, Reset, Resets and Failure of it
}

func (s *sourceStats) failed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rarely.Failure, s.rarely.FailureAt = err, time.Now()
}

// began notes the epoch that a stream is of and the reset that the checkpoint knows.
func (s *sourceStats) began(epoch string, last Reset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rarely.Epoch = epoch
	if last.At.After(s.rarely.Reset.At) {
		s.rarely.Reset = last
	}
}

func (s *sourceStats) reset(r Reset) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.rarely.Reset = r
	resets := maps.Clone(s.rarely.Resets)
	if resets == nil {
		resets = map[cdc.ResetReason]uint64{}
	}
	resets[r.Reason]++
	s.rarely.Resets = resets // readers keep the one they have
}

func (s *sourceStats) set(state State) { s.state.Store(int32(state)) }
func (s *sourceStats) ready() bool     { return State(s.state.Load()) == Live }

// caughtUp makes the source live when ack has reached where the server was when the connection was made.
func (s *sourceStats) caughtUp(ack cdc.LSN) {
	if uint64(ack) >= s.target.Load() {
		if s.state.CompareAndSwap(int32(CatchingUp), int32(Live)) {
			s.wasLive.Store(true)
		}
	}
}

func (s *sourceStats) snapshot(now time.Time, delivered cdc.LSN) Stats {
	s.mu.Lock()
	v := s.rarely
	s.mu.Unlock()
	v = Stats{
		Epoch: v.Epoch, Reset: v.Reset, Resets: v.Resets, Failure: v.Failure, FailureAt: v.FailureAt,
		State: State(s.state.Load()), WasLive: s.wasLive.Load(), Transactions: s.transactions.Load(), Changes: s.changes.Load(),
		InProgress: int(s.inProgress.Load()), Spilled: s.spilled.Load(), Connects: s.connects.Load(), ServerEnd: cdc.LSN(s.serverEnd.Load()), Acked: cdc.LSN(s.acked.Load()),
	}
	if v.ServerEnd > delivered {
		v.LagBytes = uint64(v.ServerEnd - delivered)
		if commit := s.lastCommit.Load(); commit > 0 {
			v.Lag = max(0, now.Sub(time.Unix(0, commit)))
		}
	}
	return v
}
