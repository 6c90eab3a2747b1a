package fanout_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/fanout"
	"github.com/reactive-gw/reactive-gw/protocol"
)

func TestNewHubRefusesChannels(t *testing.T) {
	bare := conversations()
	bare.Scopes = nil
	for _, tc := range []struct {
		name     string
		channels []fanout.Channel
		says     string
	}{
		{"one name for two", []fanout.Channel{conversations(), conversations()}, `"message"`},
		{"no scope", []fanout.Channel{bare}, `"message"`},
	} {
		_, err := fanout.NewHub(fanout.Options{Channels: tc.channels})
		if err == nil || !strings.Contains(err.Error(), tc.says) {
			t.Errorf("%s: %v, want an error that names %s", tc.name, err, tc.says)
		}
	}
}

func TestWhatAClientMayNotName(t *testing.T) {
	f := newFeed(t, 1<<20, conversations())
	client := f.hub.Attach(nil)
	for _, tc := range []struct {
		channel, scope string
		want           protocol.Code
	}{
		{"orders", `{"col":"conversation_id","value":42}`, protocol.CodeUnknownChannel},
		{"", `{"col":"conversation_id","value":42}`, protocol.CodeUnknownChannel},
		{"Message", `{"col":"conversation_id","value":42}`, protocol.CodeUnknownChannel},
		{"message", `{"col":"body","value":42}`, protocol.CodeInvalidScope},
		{"message", `{"col":"nothing","value":42}`, protocol.CodeInvalidScope},
		{"message", `{"col":"conversation_id","value":"x"}`, protocol.CodeInvalidScope},
		{"message", `{"col":"conversation_id","value":true}`, protocol.CodeInvalidScope},
		{"message", `{"col":"conversation_id","value":42.5}`, protocol.CodeInvalidScope},
	} {
		for name, do := range map[string]func(string, protocol.Scope) error{"subscribe": client.Subscribe, "unsubscribe": client.Unsubscribe} {
			var refusal *protocol.Error
			if err := do(tc.channel, scopeOf(t, tc.scope)); !errors.As(err, &refusal) || refusal.Code != tc.want {
				t.Errorf("%s to %s %s: %v, want %s", name, tc.channel, tc.scope, err, tc.want)
			}
		}
	}
	if frames, code := taken(t, client); len(frames) > 0 || code != 0 || client.Subscriptions() != 0 {
		t.Errorf("refused, and yet: %q, %d, %d subscriptions", frames, code, client.Subscriptions())
	}
}
