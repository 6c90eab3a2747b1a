package wal

import (
	"fmt"
	"time"
)

// Pressure is how near the slot is to be lost for the log that it holds back.
type Pressure struct {
	Retained int64 // bytes; negative while not known
	Limit    int64 // max_slot_wal_keep_size in bytes; negative is none
	// Growth is what Retained gains in a second, over the last minute or so; it may be negative.
	Growth float64
	// Left is the time until Retained has grown to Limit; negative where it never does at this rate.
	Left time.Duration
	// High: more than half of Limit is held back. It stays so until less than a quarter is.
	High bool
}

// UnknownPressure is that of a slot that was not looked at yet.
func UnknownPressure() Pressure { return Pressure{Retained: -1, Limit: -1, Left: -1} }

// Governor watches what the slot holds back. It belongs to one goroutine.
type Governor struct {
	past []observation
	high bool
}

type observation struct {
	at       time.Time
	retained int64
}

// growthWindow is the time over which growth is measured.
const growthWindow = time.Minute

// Observe takes in what the server says of the slot, nil where there is none.
func (g *Governor) Observe(now time.Time, slot *SlotFacts) Pressure {
	if slot == nil {
		*g = Governor{}
		return UnknownPressure()
	}
	p := Pressure{Retained: slot.Retained, Limit: slot.KeepSize, Left: -1}
	g.past = append(g.past, observation{now, slot.Retained})
	for len(g.past) > 2 && now.Sub(g.past[1].at) >= growthWindow {
		g.past = g.past[1:]
	}
	if first := g.past[0]; now.After(first.at) {
		p.Growth = float64(slot.Retained-first.retained) / now.Sub(first.at).Seconds()
	}
	if p.Limit >= 0 && p.Growth > 0 {
		const longest = 1000 * 24 * time.Hour // more is never, and would overflow
		if seconds := float64(max(0, p.Limit-p.Retained)) / p.Growth; seconds < longest.Seconds() {
			p.Left = time.Duration(seconds * float64(time.Second))
		}
	}
	switch {
	case p.Limit < 0 || p.Retained < p.Limit/4:
		g.high = false
	case p.Retained > p.Limit/2:
		g.high = true
	}
	p.High = g.high
	return p
}

// raiseKeepSizeSQL doubles the limit, or more where the log has outgrown that.
func raiseKeepSizeSQL(retained, limit int64) string {
	return fmt.Sprintf("ALTER SYSTEM SET max_slot_wal_keep_size = '%dMB'; SELECT pg_reload_conf();", max(2*limit, 4*retained)>>20+1)
}

// RaiseLimitSQL gives the slot room.
func (p Pressure) RaiseLimitSQL() string { return raiseKeepSizeSQL(p.Retained, p.Limit) }

// retained judges the log that the slot holds back.
func (j *judge) retained() {
	s := j.facts.Slot
	if s == nil || s.WALStatus == "lost" || s.KeepSize < 0 {
		return
	}
	if s.Retained > s.KeepSize/2 {
		j.add("retained log", Warn, raiseKeepSizeSQL(s.Retained, s.KeepSize),
			"the slot holds back %d of %d MB: beyond that it is lost, and every client starts over. Start the gateway, end transactions that are open for long, or give it more room",
			s.Retained>>20, s.KeepSize>>20)
		return
	}
	j.add("retained log", Good, "", "%d of %d MB", s.Retained>>20, s.KeepSize>>20)
}
