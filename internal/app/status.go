package app

// status is what /status shows.
type status struct {
	Version       string  `json:"version"`
	State         string  `json:"state"`
	Slot          string  `json:"slot"`
	Publication   string  `json:"publication"`
	ServerEnd     string  `json:"serverEnd,omitempty"` // absent until the server has told it
	Acknowledged  string  `json:"acknowledged,omitempty"`
	LagBytes      uint64  `json:"lagBytes"`
	LagSeconds    float64 `json:"lagSeconds"`
	RetainedBytes int64   `json:"retainedBytes"` // negative while not known
	Transactions  uint64  `json:"transactions"`
	Changes       uint64  `json:"changes"`
	InProgress    int     `json:"transactionsInProgress"`
	SpilledBytes  int64   `json:"spilledBytes"` // of these, on disk
	Events        uint64  `json:"events"`
	Frames        uint64  `json:"frames"`
	Connections   int     `json:"connections"`
	Subscriptions int     `json:"subscriptions"`
	QueueBytes    int     `json:"queueBytes"`
}

func (s *server) status() any {
	_, why := s.ready()
	v := status{Version: Version(), State: why, Slot: s.cfg.Slot, Publication: s.cfg.Publication, RetainedBytes: -1}
	p := s.running.Load()
	if p == nil {
		return v
	}
	source, hub := p.source.Stats(), p.hub.Stats()
	if source.ServerEnd != 0 {
		v.ServerEnd = source.ServerEnd.String()
	}
	v.Acknowledged = source.Acked.String()
	v.LagBytes, v.LagSeconds, v.RetainedBytes = source.LagBytes, source.Lag.Seconds(), p.retained.Load()
	v.Transactions, v.Changes, v.Events, v.Frames = source.Transactions, source.Changes, hub.Events, hub.Frames
	v.InProgress, v.SpilledBytes = source.InProgress, source.Spilled
	v.Connections, v.Subscriptions, v.QueueBytes = p.gateway.Stats().Connections, hub.Subscriptions, hub.QueueBytes
	return v
}
