package wal

import (
	"testing"
	"time"
)

func TestGovernorMeasuresAndWarnsAtHalf(t *testing.T) {
	const mb = 1 << 20
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	var g Governor
	observe := func(after time.Duration, retained, limit int64) Pressure {
		now = now.Add(after)
		return g.Observe(now, &SlotFacts{Retained: retained, KeepSize: limit})
	}
	for i, c := range []struct {
		after           time.Duration
		retained, limit int64
		growth          float64
		left            time.Duration
		high            bool
	}{
		{0, 10 * mb, 100 * mb, 0, -1, false},
		{10 * time.Second, 20 * mb, 100 * mb, mb, 80 * time.Second, false},
		{20 * time.Second, 40 * mb, 100 * mb, mb, 60 * time.Second, false},
		{20 * time.Second, 60 * mb, 100 * mb, mb, 40 * time.Second, true},
		{20 * time.Second, 30 * mb, 100 * mb, float64(10*mb) / 60, 420 * time.Second, true}, // over the last minute
		{time.Hour, 20 * mb, 100 * mb, float64(-10*mb) / 3600, -1, false},
		{time.Second, 90 * mb, -1, float64(60*mb) / 3601, -1, false},
	} {
		p := observe(c.after, c.retained, c.limit)
		if d := p.Growth - c.growth; d > 1 || d < -1 || p.High != c.high || p.Left.Round(time.Second) != c.left && p.Left != c.left {
			t.Errorf("%d: %+v, want growth %f, left %s, high %t", i, p, c.growth, c.left, c.high)
		}
	}
	if p := g.Observe(now, nil); p != UnknownPressure() {
		t.Errorf("without a slot: %+v", p)
	}
}
