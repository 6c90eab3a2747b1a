package gateway

import (
	"context"
	"sync"
	"time"
)

// heartbeat asks a connection for signs of life. It works on a timer's goroutine, so that an idle connection parks none
// for it.
type heartbeat struct {
	socket            *socket
	interval, timeout time.Duration
	also              func() // is called at each beat

	ctx     context.Context // of all pings; ends with stop
	cancel  context.CancelFunc
	mu      sync.Mutex // orders stop and the next beat
	timer   *time.Timer
	running sync.WaitGroup
}

func startHeartbeat(interval, timeout time.Duration, s *socket, also func()) *heartbeat {
	h := &heartbeat{socket: s, interval: interval, timeout: timeout, also: also}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	h.mu.Lock()
	defer h.mu.Unlock()
	h.running.Add(1)
	h.timer = time.AfterFunc(interval, h.beat)
	return h
}

func (h *heartbeat) beat() {
	defer h.running.Done()
	h.also()
	ctx, cancel := context.WithTimeout(h.ctx, h.timeout)
	defer cancel()
	if err := h.socket.ping(ctx); err != nil {
		h.socket.abort()
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ctx.Err() == nil {
		h.running.Add(1)
		h.timer.Reset(h.interval)
	}
}

// stop returns when no ping runs any more and none will.
func (h *heartbeat) stop() {
	h.mu.Lock()
	h.cancel()
	if h.timer.Stop() {
		h.running.Done()
	}
	h.mu.Unlock()
	h.running.Wait()
}
