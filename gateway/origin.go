package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// originAllowed guards against pages of other sites that open a connection with a user's cookies (RFC 6455, section
// 10.2). A request without an Origin comes from no browser. A page of the gateway's own host may connect, and those whose
// whole origin, scheme and port included, is listed.
func originAllowed(r *http.Request, allowed []string) bool {
	origins := r.Header.Values("Origin")
	switch {
	case len(origins) == 0:
		return true
	case len(origins) > 1:
		return false
	}
	is := func(origin string) bool { return strings.EqualFold(origin, origins[0]) }
	return slices.ContainsFunc(allowed, is) || r.Host != "" && (is("http://"+r.Host) || is("https://"+r.Host))
}
