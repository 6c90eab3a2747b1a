package integration_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"nhooyr.io/websocket"
)

// statusAs sends a GET under another Host.
func statusAs(t *testing.T, address, host string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Host, request.Close = host, true
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// upgradeAs is the status that a page of the origin gets which calls the gateway by the name.
func upgradeAs(t *testing.T, g *gateway, host, origin string) int {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	options := &websocket.DialOptions{Host: host, HTTPHeader: http.Header{}}
	if origin != "" {
		options.HTTPHeader.Set("Origin", origin)
	}
	conn, response, err := websocket.Dial(ctx, g.clients, options) //nolint:bodyclose // the connection is the body
	if err == nil {
		_ = conn.CloseNow()
	}
	if response == nil {
		t.Fatal(err)
	}
	return response.StatusCode
}

// A page can have its own name lead to the gateway, which then is of its origin (DNS rebinding).
func TestW33ANameThatLeadsHereIsNotAnswered(t *testing.T) {
	onAnyServer(t)
	g := serve(t, newDatabase(t, conversations, messages), chat)
	for _, host := range []string{"evil.example", "evil.example:8080", "127.0.0.1.nip.io", "10.0.0.7"} {
		if status := upgradeAs(t, g, host, "http://"+host); status != http.StatusForbidden {
			t.Errorf("a page of %s gets %d", host, status)
		}
		for _, path := range []string{"/status", "/metrics", "/readyz"} {
			if status := statusAs(t, g.operators+path, host); status != http.StatusForbidden {
				t.Errorf("%s as %s answers %d", path, host, status)
			}
		}
	}
	for _, host := range []string{"localhost", "localhost:8080", "[::1]:8080", "LOCALHOST."} {
		if status := upgradeAs(t, g, host, ""); status != http.StatusSwitchingProtocols {
			t.Errorf("%s gets %d", host, status)
		}
		if status := statusAs(t, g.operators+"/status", host); status != http.StatusOK {
			t.Errorf("/status as %s answers %d", host, status)
		}
	}
	if status := upgradeAs(t, g, "localhost", "https://evil.example"); status != http.StatusForbidden {
		t.Errorf("a page elsewhere gets %d", status)
	}
	if line := g.awaitLogged("refused"); line["level"] != "info" || line["reason"] != "host" || line["host"] == nil {
		t.Errorf("the log says %v", line)
	}
	_, metrics := g.ask("/metrics")
	for _, want := range []string{`reactive_refusals_total{reason="host"} 16`, `reactive_refusals_total{reason="origin"} 1`, `reactive_refusals_total{reason="token"} 0`} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// A gateway that anybody may use is called by its addresses, and by the names that are listed.
func TestW33APublicGatewayAnswersItsNames(t *testing.T) {
	onAnyServer(t)
	g := serve(t, newDatabase(t, conversations, messages), `
allowAnonymous: true
allowedHosts: [gateway.internal]
allowedOrigins: [https://app.example.com]
`+chat, "--listen", "0.0.0.0:0")
	for _, c := range []struct {
		host, origin string
		want         int
	}{
		{"localhost:8080", "http://localhost:8080", 101},
		{"10.0.0.7", "http://10.0.0.7", 101},
		{"[fd00::7]:8080", "http://[fd00::7]:8080", 101},
		{"gateway.internal:8080", "http://gateway.internal:8080", 101},
		{"app.example.com:443", "https://app.example.com", 101},
		{"app.example.com", "https://app.example.com:443", 101},
		{"evil.example", "http://evil.example", 403},
		{"evil.example", "https://app.example.com", 403},
		{"gateway.internal", "https://evil.example", 403},
		{"app.example.com:8443", "https://app.example.com:8444", 403},
	} {
		if got := upgradeAs(t, g, c.host, c.origin); got != c.want {
			t.Errorf("%s called %s gets %d, want %d", c.origin, c.host, got, c.want)
		}
	}
	if status := statusAs(t, g.operators+"/readyz", "gateway.internal:9090"); status != http.StatusOK {
		t.Errorf("/readyz by its name answers %d", status)
	}
	if status := statusAs(t, g.operators+"/readyz", "app.example.com"); status != http.StatusForbidden {
		t.Errorf("/readyz by the app's name answers %d", status)
	}
}

// Where clients say who they are, their browsers say it to the name they know only, and names are free.
func TestW33KnownClientsMayCallItAsTheyLike(t *testing.T) {
	onAnyServer(t)
	g := serve(t, newDatabase(t, conversations, messages), newIssuer(t).settings)
	for host, origin := range map[string]string{"app.example.com": "https://app.example.com", "app.example.com:443": "https://app.example.com", "evil.example": "http://evil.example"} {
		if status := upgradeAs(t, g, host, origin); status != http.StatusSwitchingProtocols {
			t.Errorf("%s at %s gets %d", origin, host, status)
		}
	}
	if status := statusAs(t, g.operators+"/status", "evil.example"); status != http.StatusForbidden {
		t.Errorf("/status as evil.example answers %d", status)
	}
}
