package integration_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"nhooyr.io/websocket"
)

// A page of another site could use what a user's browser may reach.
func TestW20PagesOfOtherSitesMayNotConnect(t *testing.T) {
	t.Parallel()
	g := serve(t, newDatabase(t, conversations, messages), "allowedOrigins: [https://app.example.com]\n"+chat)
	own := "http://" + strings.TrimSuffix(strings.TrimPrefix(g.clients, "ws://"), "/ws")
	for origin, want := range map[string]int{
		"https://app.example.com":      http.StatusSwitchingProtocols,
		own:                            http.StatusSwitchingProtocols,
		"http://app.example.com":       http.StatusForbidden,
		"https://app.example.com:8443": http.StatusForbidden,
		"https://evil.example":         http.StatusForbidden,
		"null":                         http.StatusForbidden,
	} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		conn, response, err := websocket.Dial(ctx, g.clients, &websocket.DialOptions{HTTPHeader: http.Header{"Origin": {origin}}}) //nolint:bodyclose // the connection is the body
		if err == nil {
			_ = conn.CloseNow()
		}
		cancel()
		if response == nil || response.StatusCode != want {
			t.Errorf("a page of %s gets %v (%v), want %d", origin, response, err, want)
		}
	}
}
