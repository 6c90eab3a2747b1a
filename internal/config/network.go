package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path"
	"strconv"
	"strings"

	"github.com/reactive-gw/reactive-gw/wal/dsn"
)

// databaseURL is a connection string that can be used.
func databaseURL(text string) (Secret, *mistake) {
	if _, err := dsn.Parse(text); err != nil {
		m := &mistake{problem: "cannot be used", fix: "write postgres://USER:PASSWORD@HOST:PORT/DATABASE"}
		if wrong, ok := errors.AsType[*dsn.Error](err); ok {
			m.problem, m.fix = wrong.Problem, wrong.Fix
		}
		return "", m
	}
	return Secret(strings.TrimSpace(text)), nil
}

// address is host:port to listen on; an empty host means every interface, port 0 any free port.
func address(text string) (string, *mistake) {
	m := &mistake{problem: "is not host:port", fix: "write an address such as 127.0.0.1:8080"}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		if _, err := strconv.ParseUint(text, 10, 16); err == nil {
			m.problem, m.exactFix = "has no host", "write 127.0.0.1:"+text
		} else if hostName(text) {
			m.problem, m.exactFix = "has no port", "write "+net.JoinHostPort(text, "8080")
		}
		return "", m
	}
	if _, err := strconv.ParseUint(port, 10, 16); err != nil {
		m.problem = "has a port that is not a number from 0 to 65535"
		return "", m
	}
	if host == "*" {
		m.problem, m.exactFix = "has a host that is not a name or an IP address", "write 0.0.0.0:"+port
		return "", m
	}
	if host != "" && !hostName(host) {
		m.problem = "has a host that is not a name or an IP address"
		return "", m
	}
	return text, nil
}

// hostName accepts an IP address or the characters of a DNS name (RFC 1123, section 2.1).
func hostName(host string) bool {
	ip, _, _ := strings.Cut(host, "%")
	if net.ParseIP(ip) != nil {
		return true
	}
	return host != "" && strings.Trim(strings.ToLower(host), "abcdefghijklmnopqrstuvwxyz0123456789.-") == ""
}

// loopback tells whether only this machine reaches the address.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	return err == nil && (host == "localhost" || net.ParseIP(host).IsLoopback())
}

// anyPort tells whether the system chooses the port, so that two listeners may have the same address.
func anyPort(address string) bool { return strings.HasSuffix(address, ":0") }

// urlPath is the path of an HTTP route, without a pattern or anything that a client would have to escape.
func urlPath(text string) (string, *mistake) {
	const fix = "write a path such as /ws"
	switch {
	case !strings.HasPrefix(text, "/"):
		return "", &mistake{problem: `does not begin with "/"`, fix: fix, exactFix: fmt.Sprintf("write %q", "/"+text)}
	case (&url.URL{Path: text}).EscapedPath() != text || strings.ContainsAny(text, "{}"):
		return "", &mistake{problem: "has characters that do not belong into a path", fix: fix}
	case path.Clean(text) != text:
		return "", &mistake{problem: "is not the shortest form of that path", fix: fix,
			exactFix: fmt.Sprintf("write %q", path.Clean(text))}
	}
	return text, nil
}

// allowedHost is a host name as it stands in a Host header, but for its port.
func allowedHost(text string) (string, *mistake) {
	const fix = "write a host name, for example app.example.com"
	if strings.Contains(text, "*") {
		return "", &mistake{problem: "has a wildcard, and hosts are compared exactly", fix: "list each host: " + fix}
	}
	exact := strings.TrimSuffix(strings.ToLower(text), ".")
	if address, err := netip.ParseAddr(exact); err == nil {
		exact = address.String()
	} else if u, err := url.Parse(exact); err == nil && u.Host != "" {
		exact = u.Hostname()
	} else if u, err := url.Parse("//" + exact); err == nil && u.User == nil && u.Hostname() != "" && strings.Trim(u.Path, "/") == "" {
		exact = u.Hostname()
	}
	switch {
	case !hostName(strings.ReplaceAll(exact, "_", "-")) || strings.Trim(exact, ".-") == "":
		return "", &mistake{problem: "has characters that no browser sends in a host", fix: fix + ", other letters in their xn-- form"}
	case text != exact:
		return "", &mistake{problem: "is not just a host in small letters", fix: fix, exactFix: "write " + exact}
	}
	return text, nil
}

// Loopback tells whether only this machine reaches an address to listen on.
func Loopback(address string) bool { return loopback(address) }

// origin is a web origin exactly as a browser sends it in the Origin header (RFC 6454, section 6.2).
func origin(text string) (string, *mistake) {
	const fix = "write scheme://host[:port], for example https://app.example.com"
	switch {
	case text == "*":
		return "", &mistake{problem: "would let every web page read with its visitors' rights", fix: "list each origin: " + fix}
	case text == "null":
		return "", &mistake{problem: "is what every sandboxed page and local file sends", fix: fix}
	case strings.Contains(text, "*"):
		return "", &mistake{problem: "has a wildcard, and origins are compared exactly", fix: "list each origin: " + fix}
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" || u.User != nil {
		m := &mistake{problem: "is not an origin", fix: fix}
		if hostName(text) {
			m.exactFix = fmt.Sprintf("write %q", "https://"+strings.ToLower(text))
		}
		return "", m
	}
	host, port := strings.ToLower(u.Hostname()), u.Port()
	if !hostName(host) {
		return "", &mistake{problem: "has a host that no browser sends", fix: fix + ", other letters in their xn-- form"}
	}
	exact := u.Scheme + "://" + host
	if strings.Contains(host, ":") {
		exact = u.Scheme + "://[" + host + "]"
	}
	if implied := map[string]string{"https": "443", "http": "80"}; port != "" && port != implied[u.Scheme] {
		exact += ":" + port
	}
	if text != exact {
		return "", &mistake{problem: "is not exactly what a browser sends", fix: fix, exactFix: fmt.Sprintf("write %q", exact)}
	}
	return text, nil
}
