package gateway

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// Hosts are the Host headers that are answered where nobody is asked who they are. A page of another site can have its own
// name resolve to this machine, and is then of the same origin as the gateway for the browser (DNS rebinding). It cannot do so
// with localhost or with an IP address: those are always answered, an address beyond this machine's only with Addresses. The
// zero value answers this machine alone.
type Hosts struct {
	// Names are further hosts, in lower case and without a port.
	Names []string
	// Addresses answers every IP address: for a listener that other machines reach.
	Addresses bool
}

// Allows tells whether a Host header is answered, whatever its port.
func (h Hosts) Allows(host string) bool {
	name, ok := hostOf(host)
	if !ok {
		return false
	}
	if slices.Contains(h.Names, name) || name == "localhost" || strings.HasSuffix(name, ".localhost") { // RFC 6761, section 6.3
		return true
	}
	address, err := netip.ParseAddr(name)
	return err == nil && (h.Addresses || address.IsLoopback())
}

// hostOf returns the host of a Host header in one form: in lower case, without the port, a dot at its end, and the brackets and
// the zone of an IPv6 address. It returns false for what is no Host header that a client sends.
func hostOf(header string) (host string, ok bool) {
	var port string
	if inner, bracketed := strings.CutPrefix(header, "["); bracketed {
		host, port, ok = strings.Cut(inner, "]")
		if !ok || port != "" && port[0] != ':' {
			return "", false
		}
		port = strings.TrimPrefix(port, ":")
		host, _, _ = strings.Cut(host, "%")
		address, err := netip.ParseAddr(host)
		if err != nil || !address.Is6() {
			return "", false
		}
		host = address.Unmap().String()
	} else if host, port, _ = strings.Cut(header, ":"); strings.Contains(port, ":") {
		return "", false // an IPv6 address without brackets
	}
	if strings.Trim(port, "0123456789") != "" || strings.ContainsFunc(host, notOfAName) {
		return "", false
	}
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	return host, host != ""
}

// notOfAName: a name holds letters, digits, hyphens, dots and, in practice, underscores; an address colons too.
func notOfAName(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9', strings.ContainsRune("-._:", r):
		return false
	}
	return true
}

// Check answers requests for other hosts with 403, and hands the rest on.
func (h Hosts) Check(refusals *Refusals, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !h.Allows(r.Host) {
			refusals.refuseHost(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}
