package fanout

import (
	"context"
	"fmt"
	"testing"

	"go.uber.org/zap"

	"github.com/reactive-gw/reactive-gw/cdc"
	"github.com/reactive-gw/reactive-gw/protocol"
)

// nowhere is a database that is never asked.
type nowhere struct{}

func (nowhere) Snapshot(context.Context, View) (*cdc.Snapshot, error) { panic("asked for a snapshot") }
func (nowhere) Visibility(context.Context) (cdc.Visibility, error)    { panic("asked for the visibility") }

// While the database is slow, a client may subscribe and unsubscribe as fast as it can: nothing gathers.
func TestW08SubscriptionsThatComeAndGoLeaveNoReadings(t *testing.T) {
	h, err := NewHub(Options{QueueBytes: 1 << 24, Log: zap.NewNop(), Snapshots: nowhere{}, Channels: []Channel{{
		Name: "message", Schema: "public", Table: "message", Snapshot: &SnapshotOptions{Limit: 10},
		Scopes: []Scope{{Column: "conversation_id", Type: Int8}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	client, other := h.Attach(nil), h.Attach(nil)
	scope := func(v int) protocol.Scope {
		value := fmt.Appendf(nil, "%d", v)
		return protocol.Scope{Col: "conversation_id", Value: value, Raw: fmt.Appendf(nil, `{"col":"conversation_id","value":%d}`, v)}
	}
	if err := other.Subscribe("message", scope(0)); err != nil {
		t.Fatal(err)
	}
	for i := range 1000 {
		for range 3 { // again and again to the same
			if err := client.Subscribe("message", scope(i%2)); err != nil {
				t.Fatal(err)
			}
		}
		if err := client.Unsubscribe("message", scope(i%2)); err != nil {
			t.Fatal(err)
		}
	}
	if len(h.readings) != 1 || h.wanted.Len() != 1 {
		t.Errorf("%d readings, %d of them wanted, for one client that waits", len(h.readings), h.wanted.Len())
	}
	for _, r := range h.readings {
		if len(r.waiting) != 1 {
			t.Errorf("%d subscriptions wait, want 1", len(r.waiting))
		}
	}
	client.Detach()
	other.Detach()
	if len(h.readings) != 0 || h.wanted.Len() != 0 {
		t.Error("a reading is wanted by nobody")
	}
}

// A channel whose table is altered ends also those who wait for a snapshot: nothing would ever follow it.
func TestAlteredTableEndsThoseWhoWait(t *testing.T) {
	h, err := NewHub(Options{QueueBytes: 1 << 20, Log: zap.NewNop(), Snapshots: nowhere{}, Channels: []Channel{{
		Name: "message", Schema: "public", Table: "message", Snapshot: &SnapshotOptions{Limit: 10},
		Scopes: []Scope{{Column: "conversation_id", Type: Int8, TypeOID: 20}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	client := h.Attach(nil)
	err = client.Subscribe("message", protocol.Scope{Col: "conversation_id", Value: []byte("1"), Raw: []byte(`{"col":"conversation_id","value":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	h.mu.Lock()
	h.bindings(&cdc.Transaction{}, &cdc.Table{OID: 1, Schema: "public", Name: "message"})
	h.mu.Unlock()
	if closed := client.queue.closed; closed == nil || closed.Code != protocol.CloseServiceRestart {
		t.Errorf("%v, want 1012", closed)
	}
}
