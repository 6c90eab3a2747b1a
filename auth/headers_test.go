package auth

import (
	"net/netip"
	"testing"
)

func TestTrustedHeaders(t *testing.T) {
	trusted, err := NewTrustedHeaders(TrustedHeadersOptions{
		Proxies: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16"), netip.MustParsePrefix("fd00::/8")},
		Claims:  map[string]string{"sub": "x-user-id", "email": "X-User-Email"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		peer    string
		headers []string
		want    Reason
	}{
		"the proxy":               {"10.1.2.3:4567", []string{"X-User-Id", "ada"}, ""},
		"the proxy, IPv6":         {"[fd00::1]:4567", []string{"X-User-Id", "ada"}, ""},
		"the proxy, mapped":       {"[::ffff:10.1.2.3]:4567", []string{"X-User-Id", "ada"}, ""},
		"with a zone":             {"[fd00::1%eth0]:4567", []string{"X-User-Id", "ada"}, ""},
		"somebody else":           {"10.2.0.1:4567", []string{"X-User-Id", "ada"}, UntrustedProxy},
		"who says he is":          {"10.2.0.1:4567", []string{"X-User-Id", "ada", "X-Forwarded-For", "10.1.2.3"}, UntrustedProxy},
		"no address":              {"@", []string{"X-User-Id", "ada"}, UntrustedProxy},
		"no header":               {"10.1.2.3:4567", nil, NoCredentials},
		"an empty header":         {"10.1.2.3:4567", []string{"X-User-Id", ""}, NoCredentials},
		"only the other header":   {"10.1.2.3:4567", []string{"X-User-Email", "ada@example.com"}, NoCredentials},
		"the header twice":        {"10.1.2.3:4567", []string{"X-User-Id", "ada", "X-User-Id", "eve"}, Malformed},
		"the other header, twice": {"10.1.2.3:4567", []string{"X-User-Id", "ada", "X-User-Email", "a", "X-User-Email", "b"}, Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			r := request(t, "/ws", c.headers...)
			r.RemoteAddr = c.peer
			p, err := trusted.Authenticate(r)
			wantDenied(t, err, c.want)
			if err == nil && p.Subject() != "ada" {
				t.Errorf("it is %q", p.Subject())
			}
		})
	}
	proxies := []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}
	for name, options := range map[string]TrustedHeadersOptions{
		"no proxy":    {Claims: map[string]string{"sub": "X-User-Id"}},
		"everybody":   {Proxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, Claims: map[string]string{"sub": "X-User-Id"}},
		"no prefix":   {Proxies: []netip.Prefix{{}}, Claims: map[string]string{"sub": "X-User-Id"}},
		"no sub":      {Proxies: proxies, Claims: map[string]string{"email": "X-User-Email"}},
		"no name":     {Proxies: proxies, Claims: map[string]string{"sub": ""}},
		"no claim":    {Proxies: proxies, Claims: map[string]string{"sub": "X-User-Id", "": "X-User"}},
		"sub is left": {Proxies: proxies},
	} {
		if _, err := NewTrustedHeaders(options); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
