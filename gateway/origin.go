package gateway

import (
	"net/http"
	"slices"
	"strings"
)

// originAllowed guards against pages of other sites that open a connection with a user's cookies (RFC 6455, section
// 10.2). A request without an Origin comes from no browser. A page of the gateway's own host may connect, and those whose
// whole origin, scheme and port included, is listed. The port that a scheme has anyway may be written or not.
func originAllowed(r *http.Request, allowed []string) bool {
	origins := r.Header.Values("Origin")
	switch {
	case len(origins) == 0:
		return true
	case len(origins) > 1:
		return false
	}
	theirs := plainOrigin(origins[0])
	is := func(origin string) bool { return plainOrigin(origin) == theirs }
	return slices.ContainsFunc(allowed, is) || r.Host != "" && (is("http://"+r.Host) || is("https://"+r.Host))
}

// plainOrigin is an origin in lower case and without the port that its scheme implies (RFC 6454, section 4).
func plainOrigin(origin string) string {
	scheme, host, ok := strings.Cut(strings.ToLower(origin), "://")
	if !ok {
		return origin
	}
	bare := host
	switch scheme {
	case "http":
		bare = strings.TrimSuffix(host, ":80")
	case "https":
		bare = strings.TrimSuffix(host, ":443")
	}
	if bare == "" || strings.HasSuffix(bare, ":") { // no port stood there, but a part of something else
		bare = host
	}
	return scheme + "://" + bare
}
