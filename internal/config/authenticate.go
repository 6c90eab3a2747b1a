package config

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"
)

// Authenticate says how clients prove who they are. One of JWT, Webhook and Headers is set.
type Authenticate struct {
	JWT     *JWT
	Webhook *AuthenticateWebhook
	Headers *TrustedHeaders
	// Claims says what claims hold, for those of which it is known.
	Claims map[string]ClaimType
}

// JWT configures tokens. One of the four key sources is set.
type JWT struct {
	JWKSURL, JWKSFile, PublicKeyFile, SecretEnv string
	// AllowPlainHTTP lets JWKSURL be http:// on another machine.
	AllowPlainHTTP bool
	// Algorithms are those that tokens may be signed with; at least one.
	Algorithms []string
	// Audience and Issuer are not looked at where they are empty.
	Audience, Issuer string
	// Leeway is by how much clocks may differ, and so how long after its exp a token is still good.
	Leeway time.Duration
	// Token says where in a request a token may stand.
	Token TokenPlaces
}

// TokenPlaces are the places in a request that are looked at.
type TokenPlaces struct {
	// Authorization is the header, Subprotocol the list of subprotocols: bearer, TOKEN.
	Authorization, Subprotocol bool
	// Query and Cookie name a query parameter and a cookie; empty for none.
	Query, Cookie string
}

// AuthenticateWebhook configures a service that is asked who a client is.
type AuthenticateWebhook struct {
	URL string
	// AllowPlainHTTP lets URL be http:// on another machine.
	AllowPlainHTTP bool

	Timeout  time.Duration
	CacheFor time.Duration // 0: not at all
	// Headers are those of the client's request that are forwarded; at least one.
	Headers []string
}

// TrustedHeaders configures a proxy that has authenticated the client already.
type TrustedHeaders struct {
	Proxies []netip.Prefix
	// Claims says from which header each claim is taken; sub is among them.
	Claims map[string]string
}

const defaultWebhookTimeout = 2 * time.Second

// authenticate reads the section of that name.
func (d *document) authenticate(path string, node ast.Node) *Authenticate {
	a := &Authenticate{}
	before := len(d.problems)
	d.mapping(path, node, []key{
		{"jwt", func(path string, node ast.Node) { a.JWT = d.jwt(path, node) }},
		{"webhook", func(path string, node ast.Node) { a.Webhook = d.authenticateWebhook(path, node) }},
		{"headers", func(path string, node ast.Node) { a.Headers = d.trustedHeaders(path, node) }},
		{"claims", func(path string, node ast.Node) { a.Claims = d.claims(path, node) }},
	})
	if len(d.problems) == before {
		d.exactlyOne(path, map[string]bool{"jwt": a.JWT != nil, "webhook": a.Webhook != nil, "headers": a.Headers != nil})
	}
	return a
}

func (d *document) jwt(path string, node ast.Node) *JWT {
	j := &JWT{Token: TokenPlaces{Authorization: true, Subprotocol: true}}
	before := len(d.problems)
	d.mapping(path, node, []key{
		{"jwksUrl", one(d, kindText, plainText, &j.JWKSURL)},
		{"allowPlainHttp", one(d, kindBoolean, trueOrFalse, &j.AllowPlainHTTP)},
		{"jwksFile", one(d, kindText, plainText, &j.JWKSFile)},
		{"publicKeyFile", one(d, kindText, plainText, &j.PublicKeyFile)},
		{"secretEnv", one(d, kindText, plainText, &j.SecretEnv)},
		{"algorithms", some(d, plainText, &j.Algorithms)},
		{"audience", one(d, kindText, plainText, &j.Audience)},
		{"issuer", one(d, kindText, plainText, &j.Issuer)},
		{"leeway", one(d, kindQuantity, duration, &j.Leeway)},
		{"token", func(path string, node ast.Node) {
			j.Token = TokenPlaces{}
			before := len(d.problems)
			d.mapping(path, node, []key{
				{"authorization", one(d, kindBoolean, trueOrFalse, &j.Token.Authorization)},
				{"subprotocol", one(d, kindBoolean, trueOrFalse, &j.Token.Subprotocol)},
				{"cookie", one(d, kindText, plainText, &j.Token.Cookie)},
				{"query", one(d, kindText, plainText, &j.Token.Query)},
			})
			if len(d.problems) == before && j.Token == (TokenPlaces{}) {
				d.failAt(path, "no place for a token is switched on", "write token: {authorization: true}, or delete the key")
			}
		}},
	})
	if len(d.problems) == before {
		d.exactlyOne(path, map[string]bool{"jwksUrl": j.JWKSURL != "", "jwksFile": j.JWKSFile != "",
			"publicKeyFile": j.PublicKeyFile != "", "secretEnv": j.SecretEnv != ""})
		d.plainHTTP(path, j.AllowPlainHTTP, j.JWKSURL, "jwksUrl")
		if len(j.Algorithms) == 0 {
			d.failAt(path, "algorithms is missing", "list those that your issuer signs with, for example algorithms: [RS256]")
		}
	}
	return j
}

func (d *document) authenticateWebhook(path string, node ast.Node) *AuthenticateWebhook {
	w := &AuthenticateWebhook{Timeout: defaultWebhookTimeout}
	before := len(d.problems)
	d.mapping(path, node, []key{
		{"url", one(d, kindText, plainText, &w.URL)},
		{"allowPlainHttp", one(d, kindBoolean, trueOrFalse, &w.AllowPlainHTTP)},
		{"timeout", one(d, kindQuantity, duration, &w.Timeout)},
		{"cacheFor", one(d, kindQuantity, duration, &w.CacheFor)},
		{"headers", some(d, plainText, &w.Headers)},
	})
	if len(d.problems) == before {
		d.required(path, "url", w.URL != "", "write the URL to ask")
		d.required(path, "headers", len(w.Headers) > 0, "list the headers that are forwarded, for example headers: [Authorization, Cookie]")
	}
	return w
}

func (d *document) trustedHeaders(path string, node ast.Node) *TrustedHeaders {
	h := &TrustedHeaders{Claims: map[string]string{}}
	before := len(d.problems)
	d.mapping(path, node, []key{
		{"proxies", some(d, network, &h.Proxies)},
		{"claims", func(path string, node ast.Node) { d.texts(path, node, h.Claims) }},
	})
	if len(d.problems) == before {
		d.required(path, "proxies", len(h.Proxies) > 0, "list the addresses that the proxy connects from, for example proxies: [10.0.0.0/8]")
		d.required(path, "claims", h.Claims["sub"] != "", "say which header tells the user, for example claims: {sub: X-User-Id}")
	}
	return h
}

// texts reads a mapping whose keys are free.
func (d *document) texts(path string, node ast.Node, into map[string]string) {
	mapping, ok := node.(*ast.MappingNode)
	if !ok {
		d.failType(path, node, "keys and values")
		return
	}
	for _, entry := range mapping.Values {
		name, ok := keyName(entry.Key)
		if !ok || name == "" {
			d.fail(path, start(entry.Key), "a key is not plain text", "write a name")
			continue
		}
		if _, twice := into[name]; twice {
			d.fail(join(path, name), start(entry.Key), fmt.Sprintf("key %q is given twice", name), "keep one of them")
			continue
		}
		var text string
		d.places[join(path, name)] = d.place(start(entry.Value))
		one(d, kindText, plainText, &text)(join(path, name), entry.Value)
		into[name] = text
	}
}

// exactlyOne reports a mapping that has none or several of a set of keys.
func (d *document) exactlyOne(path string, given map[string]bool) {
	names := slices.Sorted(maps.Keys(given))
	present := slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !given[name] })
	switch len(present) {
	case 1:
	case 0:
		d.failAt(path, lastKey(path)+" says nothing", "write one of "+strings.Join(names, ", "))
	default:
		d.failAt(path, lastKey(path)+" has "+strings.Join(present, " and "), "keep one of them")
	}
}

// plainHTTP reports leave to do without TLS where there is no URL that it could be for.
func (d *document) plainHTTP(path string, allowed bool, url, key string) {
	if allowed && url == "" {
		d.failAt(join(path, "allowPlainHttp"), "allowPlainHttp is for "+key+", and there is none", "delete the key")
	}
}

func (d *document) required(path, name string, there bool, fix string) {
	if !there {
		d.failAt(path, name+" is missing", fix)
	}
}

// network is an address or a range of them.
func network(text string) (netip.Prefix, *mistake) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	prefix, err := netip.ParsePrefix(text)
	if err != nil {
		return prefix, &mistake{problem: "is no address", fix: "write an address or a range, for example 10.0.0.0/8"}
	}
	return prefix, nil
}

// plainText is any text that can be printed; who uses it says what else it has to be.
func plainText(text string) (string, *mistake) {
	if strings.TrimSpace(text) == "" || unprintable(text) {
		return "", &mistake{problem: "has unprintable characters", fix: "write printable text"}
	}
	return text, nil
}
