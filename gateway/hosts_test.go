package gateway

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestW33Hosts(t *testing.T) {
	const here, beyond, named = 1, 2, 4 // who answers: an address of this machine, one of every machine, one with a name
	for host, want := range map[string]int{
		"localhost":               here | beyond | named,
		"localhost:8080":          here | beyond | named,
		"localhost:":              here | beyond | named,
		"LocalHost":               here | beyond | named,
		"localhost.":              here | beyond | named,
		"localhost.:8080":         here | beyond | named,
		"app.localhost":           here | beyond | named,
		"app.localhost:8080":      here | beyond | named,
		"127.0.0.1":               here | beyond | named,
		"127.0.0.1:8080":          here | beyond | named,
		"127.8.9.10:1":            here | beyond | named,
		"[::1]":                   here | beyond | named,
		"[::1]:8080":              here | beyond | named,
		"[0:0:0:0:0:0:0:1]:8080":  here | beyond | named,
		"[::ffff:127.0.0.1]:8080": here | beyond | named,
		"10.0.0.7":                beyond,
		"10.0.0.7:8080":           beyond,
		"[fd00::7]:8080":          beyond,
		"[fe80::1%25eth0]:8080":   beyond,
		"[fe80::1%eth0]":          beyond,
		"app.example.com":         named,
		"App.Example.COM.:8443":   named,
		"evil.example":            0,
		"evil.example:8080":       0,
		"":                        0,
		":8080":                   0,
		".":                       0,
		"evil.example.":           0,
		"app.example.com.evil":    0,
		"notapp.example.com":      0,
		"localhost.evil.example":  0,
		"evillocalhost":           0,
		"127.0.0.1.evil.example":  0,
		"127.0.0.1.nip.io":        0,
		"localhost@evil.example":  0,
		"evil.example@localhost":  0,
		"localhost:80:80":         0,
		"localhost:x":             0,
		"localhost/":              0,
		"localhost evil.example":  0,
		"localhost,evil.example":  0,
		"localhost\x00":           0,
		"::1":                     0,
		"[::1":                    0,
		"[::1]evil":               0,
		"[127.0.0.1]":             0,
		"[localhost]":             0,
		"127.1":                   0,
		"0x7f.0.0.1":              0,
		"2130706433":              0,
		"ｌocalhost":               0,
		"app.exampLe.com\u212a":   0,
	} {
		for who, hosts := range map[int]Hosts{here: {}, beyond: {Addresses: true}, named: {Names: []string{"app.example.com"}}} {
			if got := hosts.Allows(host); got != (want&who != 0) {
				t.Errorf("%q by %+v: %v", host, hosts, got)
			}
		}
	}
}

// answerTo is the status of a request with these headers, and nothing else.
func answerTo(t *testing.T, server *httptest.Server, path string, lines ...string) int {
	t.Helper()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := io.WriteString(conn, "GET "+path+" HTTP/1.1\r\n"+strings.Join(append(lines, "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), "\r\n")+"\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// A page whose name leads here is of our origin for its browser. Where people are asked who they are it has nothing to show.
func TestW33DNSRebinding(t *testing.T) {
	anonymous, lines := loggedPlace(t)
	known := newPlace(t, func(o *Options) { o.Authenticate = &gate{} })
	for host, want := range map[string]int{
		"evil.example": 403, "evil.example:8080": 403, "gw": 403, "": 403, "10.0.0.7": 403,
		"localhost": 101, "127.0.0.1:9": 101, "[::1]:9": 101, "x.localhost:9": 101,
	} {
		if got := answerTo(t, anonymous.server, "/ws", "Host: "+host, "Origin: http://"+host); got != want && host != "" {
			t.Errorf("a page of %q gets %d", host, got)
		}
		if got := answerTo(t, anonymous.server, "/ws", "Host: "+host); got != want {
			t.Errorf("a program that calls it %q gets %d", host, got)
		}
		if got := answerTo(t, known.server, "/ws", "Host: "+host); got != 101 {
			t.Errorf("where clients are known, %q gets %d", host, got)
		}
	}
	if n := anonymous.gateway.options.Refusals.Totals()[RefusedHost]; n != 10 {
		t.Errorf("%d refusals were counted", n)
	}
	if line := lines.first("refused"); line["reason"] != "host" || line["host"] == nil || line["remote"] == nil || line["do"] == nil {
		t.Errorf("the log says %v", line)
	}
}

func TestW33TheOperatorsAddressChecksHost(t *testing.T) {
	refusals := NewRefusals(zap.NewNop())
	admin := Admin{
		Ready: func() (bool, string) { return true, "" }, Status: func() any { return nil }, Metrics: http.NotFoundHandler(),
		Hosts: Hosts{Names: []string{"gateway"}, Addresses: true}, Refusals: refusals, Profiling: true,
	}
	server := httptest.NewServer(admin.Handler())
	defer server.Close()
	for host, want := range map[string]int{
		"evil.example": 403, "evil.example:9090": 403, "": 403, "localhost:9090": 200, "10.244.0.7:9090": 200, "gateway:9090": 200, "gateway.evil.example": 403,
	} {
		for _, path := range []string{"/readyz", "/status", "/debug/pprof/"} {
			if got := answerTo(t, server, path, "Host: "+host); got != want {
				t.Errorf("%s as %q: %d", path, host, got)
			}
		}
	}
	if refusals.Totals()[RefusedHost] != 12 {
		t.Errorf("%d refusals were counted", refusals.Totals()[RefusedHost])
	}
	// Load balancers ask in HTTP/1.0, without a Host. No browser does.
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = fmt.Fprint(conn, "GET /healthz HTTP/1.0\r\n\r\n")
	if answer, _ := io.ReadAll(conn); !strings.HasPrefix(string(answer), "HTTP/1.0 200") {
		t.Errorf("%s", answer)
	}
}

func TestW33DefaultPortsCompareEqual(t *testing.T) {
	allowed := []string{"https://listed.example.com:443", "http://plain.example.com", "capacitor://localhost"}
	for _, c := range []struct {
		origin, host string
		want         bool
	}{
		{"https://app.example.com", "app.example.com:443", true},
		{"https://app.example.com:443", "app.example.com", true},
		{"http://app.example.com", "app.example.com:80", true},
		{"http://app.example.com:80", "app.example.com", true},
		{"http://[::1]", "[::1]:80", true},
		{"https://listed.example.com", "gw.example.com", true},
		{"https://listed.example.com:443", "gw.example.com", true},
		{"http://plain.example.com:80", "gw.example.com", true},
		{"capacitor://localhost", "gw.example.com", true},
		{"http://app.example.com", "app.example.com:443", false},
		{"https://app.example.com", "app.example.com:80", false},
		{"https://app.example.com", "app.example.com:8443", false},
		{"https://app.example.com:8443", "app.example.com", false},
		{"http://listed.example.com:443", "gw.example.com", false},
		{"https://plain.example.com:80", "gw.example.com", false},
		{"capacitor://localhost:80", "gw.example.com", false},
		{"https://app.example.com:4430", "app.example.com", false},
		{"https://app.example.com:0443", "app.example.com", false},
		{"http://:80", "", false},
		{"https://evil.example:443", "app.example.com:443", false},
	} {
		r := &http.Request{Host: c.host, Header: http.Header{"Origin": {c.origin}}}
		if got := originAllowed(r, allowed); got != c.want {
			t.Errorf("%s at %s: %v", c.origin, c.host, got)
		}
	}
}
