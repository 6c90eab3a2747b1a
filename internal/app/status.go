package app

import (
	"time"

	"github.com/reactive-gw/reactive-gw/wal"
)

// status is what /status shows.
type status struct {
	Version       string      `json:"version"`
	State         string      `json:"state"`
	Conditions    []condition `json:"conditions"` // what is the case, and what to do
	LastReset     *lastReset  `json:"lastReset,omitempty"`
	Epoch         string      `json:"epoch,omitempty"`
	Slot          string      `json:"slot"`
	Publication   string      `json:"publication"`
	ServerEnd     string      `json:"serverEnd,omitempty"` // absent until the server has told it
	Acknowledged  string      `json:"acknowledged,omitempty"`
	LagBytes      uint64      `json:"lagBytes"`
	LagSeconds    float64     `json:"lagSeconds"`
	RetainedBytes int64       `json:"retainedBytes"` // negative while not known
	LimitBytes    int64       `json:"limitBytes"`    // of retained log, beyond which the slot is lost; negative without limit
	GrowthPerSec  float64     `json:"growthBytesPerSecond"`
	SecondsLeft   float64     `json:"secondsLeft"` // until the limit is reached; negative where it is not
	Transactions  uint64      `json:"transactions"`
	Changes       uint64      `json:"changes"`
	InProgress    int         `json:"transactionsInProgress"`
	SpilledBytes  int64       `json:"spilledBytes"` // of these, on disk
	Events        uint64      `json:"events"`
	Frames        uint64      `json:"frames"`
	Connections   int         `json:"connections"`
	Subscriptions int         `json:"subscriptions"`
	QueueBytes    int         `json:"queueBytes"`
}

// lastReset is the last time that clients had to start over, also of an earlier process.
type lastReset struct {
	Reason string    `json:"reason"`
	Detail string    `json:"detail"`
	At     time.Time `json:"at"`
	Do     string    `json:"do"`
}

func (s *Service) status() any {
	_, why := s.Ready()
	p := s.running.Load()
	now := circumstances{
		slot: s.cfg.Slot, running: p != nil, draining: s.draining.Load(), waitsFor: s.waitsFor.Load(), pressure: wal.UnknownPressure(),
		descriptors: s.descriptors,
	}
	v := status{Version: Version(), State: why, Slot: s.cfg.Slot, Publication: s.cfg.Publication, RetainedBytes: -1, LimitBytes: -1, SecondsLeft: -1}
	if p == nil {
		v.Conditions = now.conditions()
		return v
	}
	source, hub, pressure := p.source.Stats(), p.hub.Stats(), *p.pressure.Load()
	now.source, now.pressure, now.exposed, now.keys, now.tables = source, pressure, p.exposed, p.access.keysState(), s.database.Tables()
	v.Conditions = now.conditions()
	if r := source.Reset; r.Reason != "" {
		v.LastReset = &lastReset{Reason: string(r.Reason), Detail: r.Detail, At: r.At.UTC(), Do: afterReset(r.Reason, s.cfg.Slot)}
	}
	if source.ServerEnd != 0 {
		v.ServerEnd = source.ServerEnd.String()
	}
	v.Acknowledged, v.Epoch = source.Acked.String(), source.Epoch
	v.LagBytes, v.LagSeconds = source.LagBytes, source.Lag.Seconds()
	v.RetainedBytes, v.LimitBytes, v.GrowthPerSec = pressure.Retained, pressure.Limit, pressure.Growth
	if pressure.Left >= 0 {
		v.SecondsLeft = pressure.Left.Seconds()
	}
	v.Transactions, v.Changes, v.Events, v.Frames = source.Transactions, source.Changes, hub.Events, hub.Frames
	v.InProgress, v.SpilledBytes = source.InProgress, source.Spilled
	v.Connections, v.Subscriptions, v.QueueBytes = p.gateway.Stats().Connections, hub.Subscriptions, hub.QueueBytes
	return v
}
