package app

import (
	"context"
	"time"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/wal"
)

// slotEvery is how often the server is asked what the slot holds back. Asking on every scrape would make the metrics depend
// on the database.
const slotEvery = 2 * time.Second

// watchSlot keeps the figures of the log that the slot holds back. When that is more than half of what it may be, the log
// that is kept for clients which come back is let go: better that they start over than everybody.
func (s *Service) watchSlot(ctx context.Context, p *parts) {
	ticker := time.NewTicker(slotEvery)
	defer ticker.Stop()
	var governor wal.Governor
	high := false
	for {
		if slot, err := s.database.SlotFacts(ctx); err == nil {
			pressure := governor.Observe(time.Now(), slot)
			p.pressure.Store(&pressure)
			if pressure.High != high {
				high = pressure.High
				s.pressureTurned(&pressure)
			}
			p.pipeline.Tracker.LetGo(high)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

func (s *Service) pressureTurned(p *wal.Pressure) {
	figures := []zap.Field{zap.Int64("retainedBytes", p.Retained), zap.Int64("limitBytes", p.Limit), zap.Float64("growthBytesPerSecond", p.Growth)}
	if !p.High {
		s.log.Info("the slot holds back little log again", figures...)
		return
	}
	if p.Left >= 0 {
		figures = append(figures, zap.Duration("timeLeft", p.Left))
	}
	s.log.Warn("the slot holds back more than half of max_slot_wal_keep_size, and is lost beyond it", append(figures, zap.String("fix", p.RaiseLimitSQL()))...)
}
