package gateway

import (
	"sync"
	"sync/atomic"
	"time"
)

// heartbeat asks every connection for signs of life and ends those that give none. One timer is for all of them, and runs
// only while there are any: a timer for each would cost a connection more than what it has to say.
type heartbeat struct {
	gateway *Gateway
	ping    []byte

	mu      sync.Mutex
	timer   *time.Timer // nil while there is no connection
	another bool        // connection has come since the last beat began
	running sync.WaitGroup
}

// life is what the heartbeat knows of a session.
type life struct {
	// In nanoseconds since 1970: when the ping went out, 0 while it waits behind other frames; and until when the peer was
	// behind, in the far future while it is.
	pinged, stalled atomic.Int64

	// The rest is the heartbeat's alone.
	due   time.Time // for the next question
	asked bool      // a ping is on its way, or out and not answered
	told  time.Time // when the session was found expired
}

// beats is how often in a ping interval, or a timeout, the connections are looked at.
const beats = 16

func newHeartbeat(g *Gateway) *heartbeat {
	return &heartbeat{gateway: g, ping: []byte{bitFin | opPing, 0}} // RFC 6455, section 5.5.2, without a payload
}

func (h *heartbeat) every() time.Duration {
	return max(min(h.gateway.options.PingInterval, h.gateway.options.PingTimeout)/beats, time.Millisecond)
}

// begin makes the heartbeat run, if it does not, as there is a connection.
func (h *heartbeat) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.another = true
	if h.timer == nil {
		h.next()
	}
}

func (h *heartbeat) next() {
	h.another = false
	h.running.Add(1)
	h.timer = time.AfterFunc(h.every(), h.beat)
}

func (h *heartbeat) beat() {
	defer h.running.Done()
	now := time.Now()
	sessions := h.gateway.all()
	for _, s := range sessions {
		s.lookAfter(now)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.timer = nil
	if len(sessions) > 0 || h.another {
		h.next()
	}
}

// end returns when the heartbeat does not run any more. There are no connections any more.
func (h *heartbeat) end() {
	h.mu.Lock()
	if h.timer != nil && h.timer.Stop() {
		h.running.Done()
	}
	h.mu.Unlock()
	h.running.Wait()
}

// lookAfter asks for a sign of life when it is time to, and ends a connection that gave none. While a peer is behind it has
// not been asked yet: how far behind it may be is WriteTimeout's matter.
func (s *session) lookAfter(now time.Time) {
	options := &s.gateway.options
	s.overstayed()
	if s.due.IsZero() {
		s.due = now.Add(options.PingInterval)
	}
	if pinged := s.pinged.Load(); s.asked && pinged != 0 {
		switch heard := s.socket.raw.heard.Load(); {
		case heard >= pinged:
			s.asked = false
			s.due = now.Add(options.PingInterval)
		case now.UnixNano()-max(pinged, s.stalled.Load()) > int64(options.PingTimeout):
			s.socket.abort()
		}
	}
	if !s.asked && !now.Before(s.due) {
		s.asked = true
		s.pinged.Store(0)
		s.client.Ping(s.gateway.heartbeat.ping)
	}
}

func (h *heartbeat) isPing(piece []byte) bool { return len(piece) > 0 && &piece[0] == &h.ping[0] }
