package auth

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"time"
	"unicode/utf8"
)

// TrustedHeadersOptions configure TrustedHeaders.
type TrustedHeadersOptions struct {
	// Proxies are the addresses from which connections come that are believed. Required.
	Proxies []netip.Prefix
	// Claims says which header each claim is taken from: {"sub": "X-User-Id"}. A claim sub is required, and with it the
	// header in every request. The proxy has to set each of these headers or to remove what a client sent.
	Claims map[string]string
}

// TrustedHeaders authenticates by headers that a proxy sets, after it authenticated the client. All claims are strings.
// It may be used by many goroutines at once.
type TrustedHeaders struct {
	proxies []netip.Prefix
	claims  map[string]string
}

// NewTrustedHeaders refuses options that would believe everybody or nobody.
func NewTrustedHeaders(options TrustedHeadersOptions) (*TrustedHeaders, error) {
	if len(options.Proxies) == 0 {
		return nil, errors.New("trust headers: no proxy is named: list the addresses that it connects from")
	}
	t := &TrustedHeaders{claims: map[string]string{}}
	for _, p := range options.Proxies {
		if !p.IsValid() || p.Bits() == 0 {
			return nil, fmt.Errorf("trust headers: the addresses %s are everybody's or nobody's", p)
		}
		t.proxies = append(t.proxies, p.Masked())
	}
	for claim, header := range options.Claims {
		if claim == "" || header == "" {
			return nil, errors.New("trust headers: a claim or its header has no name")
		}
		t.claims[claim] = http.CanonicalHeaderKey(header)
	}
	if t.claims["sub"] == "" {
		return nil, errors.New("trust headers: no header gives the claim sub: write claims: {sub: X-User-Id}")
	}
	return t, nil
}

// Authenticate implements Authenticator.
func (t *TrustedHeaders) Authenticate(r *http.Request) (*Principal, error) {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !t.trusts(peer.Addr().Unmap().WithZone("")) {
		return nil, deny(UntrustedProxy)
	}
	claims := map[string]any{}
	for claim, header := range t.claims {
		switch values := r.Header.Values(header); {
		case len(values) > 1:
			return nil, denyf(Malformed, "the header %s is there more than once", header)
		case len(values) == 1 && !utf8.ValidString(values[0]):
			return nil, denyf(Malformed, "the header %s is not UTF-8", header)
		case len(values) == 1 && values[0] != "":
			claims[claim] = values[0]
		}
	}
	if claims["sub"] == nil {
		return nil, deny(NoCredentials)
	}
	p, err := NewPrincipal(claims, time.Time{})
	if err != nil {
		return nil, deny(UnusableClaims)
	}
	return p, nil
}

func (t *TrustedHeaders) trusts(peer netip.Addr) bool {
	for _, p := range t.proxies {
		if p.Contains(peer) {
			return true
		}
	}
	return false
}
