package fanout

import "time"

// After a lost network thousands come back within a second or two, and many to the same views. While they do, snapshots wait:
// those who come meanwhile share one reading. It cannot be one from before they came, which may show what they had no right
// to then.

const (
	// stormWishes within stormWindow are a storm: two thousand wishes for a snapshot in a second.
	stormWishes = 100
	stormWindow = 50 * time.Millisecond
	// stormPatience is how long the first one who wishes for a snapshot waits for it in a storm.
	stormPatience = time.Second
)

// pace counts wishes for snapshots. It belongs to the hub's lock.
type pace struct {
	began  time.Time // of the window
	wishes int       // in it
	before int       // in the one before it
}

// wish notes that somebody wishes for a snapshot.
func (p *pace) wish(now time.Time) {
	switch over := now.Sub(p.began); {
	case over >= 2*stormWindow:
		p.began, p.before, p.wishes = now, 0, 0
	case over >= stormWindow:
		p.began, p.before, p.wishes = p.began.Add(stormWindow), p.wishes, 0
	}
	p.wishes++
}

// storms tells whether wishes come so fast that it is worth waiting for more.
func (p *pace) storms(now time.Time) bool {
	switch over := now.Sub(p.began); {
	case over >= 2*stormWindow:
		return false
	case over >= stormWindow:
		return p.wishes >= stormWishes
	}
	return p.wishes >= stormWishes || p.before >= stormWishes
}
