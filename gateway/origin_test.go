package gateway

import (
	"net/http"
	"testing"
)

func TestW20Origin(t *testing.T) {
	allowed := []string{"https://app.example.com", "http://localhost:5173"}
	for _, tc := range []struct {
		name    string
		origins []string
		host    string
		want    bool
	}{
		{"none, as from a program", nil, "gw.example.com", true},
		{"the gateway's own host", []string{"https://gw.example.com"}, "gw.example.com", true},
		{"the same over http", []string{"http://gw.example.com"}, "gw.example.com", true},
		{"the same in another case", []string{"https://GW.Example.com"}, "gw.example.COM", true},
		{"the same with its port", []string{"http://gw.example.com:8080"}, "gw.example.com:8080", true},
		{"IPv6", []string{"http://[::1]:8080"}, "[::1]:8080", true},
		{"another port", []string{"http://gw.example.com:8081"}, "gw.example.com:8080", false},
		{"no port where the host has one", []string{"http://gw.example.com"}, "gw.example.com:8080", false},
		{"listed", []string{"https://app.example.com"}, "gw.example.com", true},
		{"listed, in another case", []string{"HTTPS://App.example.com"}, "gw.example.com", true},
		{"listed with a port", []string{"http://localhost:5173"}, "gw.example.com", true},
		{"listed for another scheme", []string{"http://app.example.com"}, "gw.example.com", false},
		{"listed for another port", []string{"http://localhost:5174"}, "gw.example.com", false},
		{"listed without a port", []string{"http://localhost"}, "gw.example.com", false},
		{"not listed", []string{"https://evil.example"}, "gw.example.com", false},
		{"empty", []string{""}, "gw.example.com", false},
		{"null, as of a sandboxed frame", []string{"null"}, "gw.example.com", false},
		{"null host", []string{"http://null"}, "gw.example.com", false},
		{"a file", []string{"file://"}, "gw.example.com", false},
		{"a file with our host", []string{"file://gw.example.com"}, "gw.example.com", false},
		{"an extension with our host", []string{"chrome-extension://gw.example.com"}, "gw.example.com", false},
		{"no scheme", []string{"gw.example.com"}, "gw.example.com", false},
		{"no host on either side", []string{"http://"}, "", false},
		{"two headers", []string{"https://app.example.com", "https://evil.example"}, "gw.example.com", false},
		{"two headers alike", []string{"https://app.example.com", "https://app.example.com"}, "gw.example.com", false},
		{"two in one header", []string{"https://app.example.com https://evil.example"}, "gw.example.com", false},
		{"our host as a prefix", []string{"https://app.example.com.evil.example"}, "gw.example.com", false},
		{"our host as a suffix", []string{"https://evilapp.example.com"}, "gw.example.com", false},
		{"a subdomain of a listed one", []string{"https://x.app.example.com"}, "gw.example.com", false},
		{"our host as a user", []string{"https://gw.example.com@evil.example"}, "gw.example.com", false},
		{"a user before our host", []string{"https://evil.example@gw.example.com"}, "gw.example.com", false},
		{"our host in a path", []string{"https://evil.example/gw.example.com"}, "gw.example.com", false},
		{"a path behind our host", []string{"https://gw.example.com/x"}, "gw.example.com", false},
		{"a trailing dot", []string{"https://app.example.com."}, "gw.example.com", false},
		{"Cyrillic a", []string{"https://аpp.example.com"}, "gw.example.com", false},
	} {
		r := &http.Request{Host: tc.host, Header: http.Header{}}
		for _, o := range tc.origins {
			r.Header.Add("Origin", o)
		}
		if got := originAllowed(r, allowed); got != tc.want {
			t.Errorf("%s: %q at %s: %v", tc.name, tc.origins, tc.host, got)
		}
	}
}

func TestW20OriginOverASocket(t *testing.T) {
	p := newPlace(t, func(o *Options) { o.AllowedOrigins = []string{"https://app.example.com"} })
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.server.URL, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Origin", "https://evil.example")
	response, err := p.server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusForbidden {
		t.Error(response.Status)
	}
	c := p.dial("Origin", "https://app.example.com")
	c.send(subscription(42))
	c.expect(subscribed(42))
}
