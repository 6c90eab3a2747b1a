package gateway

import (
	"net/http"
	"net/url"
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
	if slices.ContainsFunc(allowed, func(a string) bool { return strings.EqualFold(a, origins[0]) }) {
		return true
	}
	u, err := url.Parse(origins[0])
	return err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && strings.EqualFold(u.Host, r.Host)
}
