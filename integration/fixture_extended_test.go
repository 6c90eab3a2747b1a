package integration_test

import (
	"encoding/json"
	"testing"
	"time"
)

// extendedFrame has every member that a frame of the extended protocol may have.
type extendedFrame struct {
	Type        string          `json:"type"`
	Channel     string          `json:"channel"`
	Scope       json.RawMessage `json:"scope"`
	Code        string          `json:"code"`
	Message     string          `json:"message"`
	Rows        []row           `json:"rows"`
	Epoch       string          `json:"epoch"`
	Cursor      string          `json:"cursor"`
	HeartbeatMs int             `json:"heartbeatMs"`
	RetryAfter  int             `json:"retryAfterMs"`
	Resumed     bool            `json:"resumed"`
	Reason      string          `json:"reason"`
	LSN         string          `json:"lsn"`
	Expires     time.Time       `json:"expires"`
	CommitTime  time.Time       `json:"commitTime"`
	Partial     bool            `json:"partial"`
	Changes     []struct {
		Channel string          `json:"channel"`
		Scope   json.RawMessage `json:"scope"`
		Events  []extendedEvent `json:"events"`
	} `json:"changes"`
}

// extendedEvent has every member that an event may have.
type extendedEvent struct {
	event
	Before    row      `json:"before"`
	Unchanged []string `json:"unchanged"`
	Origin    string   `json:"origin"`
}

// extendedClient is a client of the extended protocol. It takes every frame as it comes, heartbeats left out.
type extendedClient struct {
	*client
	t *testing.T
}
