package fanout

import (
	"slices"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// Withdraw takes channels out of service until Open: who subscribes gets the error, and who is subscribed too, or is sent away
// where the protocol has no such error. It may be called from any goroutine.
func (h *Hub) Withdraw(why *protocol.Error, channels ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	for ch := range h.named(channels) {
		h.withdraw(ch, why)
	}
}

func (h *Hub) withdraw(ch *channel, why *protocol.Error) {
	first := ch.withdrawn == nil
	ch.withdrawn, ch.opensAt = why, 0
	if !first {
		return
	}
	h.outdate(ch)
	for _, s := range slices.Concat(ch.active(), h.waitingFor(ch)) {
		if s.group.extended {
			h.end(s, why.Code, why.Detail)
			continue
		}
		code := protocol.CloseServiceRestart
		if why.Code == protocol.CodeUnavailable {
			code = protocol.CloseTryAgainLater
		}
		s.client.queue.close(code)
	}
}

// Open puts channels into service, where they are not, once the stream has passed a position: before it, the stream may have
// left changes out. Nobody resumes a channel from before it was opened. Views of a channel that was in service start over. It
// may be called from any goroutine.
func (h *Hub) Open(from cdc.LSN, channels ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	defer h.flush()
	for ch := range h.named(channels) {
		switch {
		case ch.withdrawn == nil && from == 0:
		case ch.withdrawn == nil && h.position >= from:
			h.gap(ch)
		case h.position >= from:
			h.open(ch)
		default:
			if ch.withdrawn == nil { // what comes first has holes
				h.withdraw(ch, &protocol.Error{Code: protocol.CodeUnavailable, Detail: "the channel is not served yet"})
			}
			if !slices.Contains(h.opening, ch) {
				h.opening = append(h.opening, ch)
			}
			ch.opensAt = from
		}
	}
}

func (h *Hub) open(ch *channel) {
	ch.withdrawn, ch.opensAt = nil, 0
	h.log.cutAt(h.position, protocol.ResetLogExpired, ch)
}

// openReached opens channels whose position the stream has passed.
func (h *Hub) openReached() {
	h.opening = slices.DeleteFunc(h.opening, func(ch *channel) bool {
		if ch.opensAt != 0 && h.position < ch.opensAt {
			return false
		}
		if ch.opensAt != 0 { // otherwise it was withdrawn meanwhile
			h.open(ch)
		}
		return true
	})
}

// named yields the channels of these names.
func (h *Hub) named(names []string) func(yield func(*channel) bool) {
	return func(yield func(*channel) bool) {
		for _, name := range names {
			ch := h.registry.byName[name]
			if ch == nil {
				h.logger.Error("there is no such channel to open, withdraw or tell of a gap", zap.String("channel", name))
				continue
			}
			if !yield(ch) {
				return
			}
		}
	}
}

// unavailable is the error for who comes to a channel that is out of service, nil where it is not.
func (c *channel) unavailable() error {
	if c.withdrawn == nil {
		return nil
	}
	return c.withdrawn
}
