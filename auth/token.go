package auth

import (
	"net/http"
	"net/url"
	"strings"
)

// BearerSubprotocol announces a token in the list of subprotocols, which is the one header that a browser's WebSocket
// can set: new WebSocket(url, ["bearer", token]). The server has to choose a subprotocol of the list, or the browser
// gives up; where only these two are offered, that is this one, never the token.
const BearerSubprotocol = "bearer"

// maxToken is the size of the largest token that is looked at, in bytes: half of what the program takes of all headers.
const maxToken = 16 << 10

// TokenSources says where in a request a token may stand. What is not switched on is not looked at. Where a request has
// several tokens, the first of them counts, in the order of the fields: what a page put there on purpose comes before
// what the browser adds by itself.
type TokenSources struct {
	// Authorization is the header with the scheme Bearer (RFC 6750, section 2.1). Other schemes are left alone.
	Authorization bool
	// Subprotocol is what follows BearerSubprotocol in Sec-WebSocket-Protocol.
	Subprotocol bool
	// Query is the name of a query parameter; empty is none. URLs end up in the logs of whatever lies in between.
	Query string
	// Cookie is the name of a cookie; empty is none. Browsers send cookies for pages of other sites as well, so it needs
	// the check of Origin.
	Cookie string
}

// Any tells whether a token may stand anywhere.
func (s TokenSources) Any() bool {
	return s.Authorization || s.Subprotocol || s.Query != "" || s.Cookie != ""
}

// Token finds the request's token. It says nothing about what the token is worth. The error is a *Denied: with the reason
// NoCredentials where there is none, and Malformed where there is something else in its place or two in one place.
func (s TokenSources) Token(r *http.Request) (string, error) {
	for _, find := range []func(*http.Request) (tokens []string){s.authorization, s.subprotocol, s.query, s.cookie} {
		switch tokens := find(r); len(tokens) {
		case 0:
			continue
		case 1:
			return checkToken(tokens[0])
		default:
			return "", denyf(Malformed, "more than one token in the same place")
		}
	}
	return "", deny(NoCredentials)
}

func (s TokenSources) authorization(r *http.Request) (tokens []string) {
	if !s.Authorization {
		return nil
	}
	for _, value := range r.Header.Values("Authorization") {
		scheme, token, _ := strings.Cut(strings.Trim(value, " \t"), " ")
		if strings.EqualFold(scheme, "Bearer") {
			tokens = append(tokens, strings.TrimLeft(token, " "))
		}
	}
	return tokens
}

func (s TokenSources) subprotocol(r *http.Request) (tokens []string) {
	if !s.Subprotocol {
		return nil
	}
	offered := strings.Split(strings.Join(r.Header.Values("Sec-WebSocket-Protocol"), ","), ",")
	for i := 0; i < len(offered); i++ {
		if strings.Trim(offered[i], " \t") != BearerSubprotocol {
			continue
		}
		token := ""
		if i++; i < len(offered) {
			token = strings.Trim(offered[i], " \t")
		}
		tokens = append(tokens, token)
	}
	return tokens
}

func (s TokenSources) query(r *http.Request) (tokens []string) {
	if s.Query == "" || r.URL == nil {
		return nil
	}
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return []string{""} // what cannot be read may hold a second token
	}
	return values[s.Query]
}

func (s TokenSources) cookie(r *http.Request) (tokens []string) {
	if s.Cookie == "" {
		return nil
	}
	for _, c := range r.CookiesNamed(s.Cookie) {
		tokens = append(tokens, c.Value)
	}
	return tokens
}

// checkToken holds what was found against the characters of a bearer token (RFC 6750, section 2.1, b64token).
func checkToken(token string) (string, error) {
	if len(token) > maxToken {
		return "", denyf(TooLarge, "the token has %d bytes, and %d are allowed", len(token), maxToken)
	}
	body := strings.TrimRight(token, "=")
	if body == "" {
		return "", denyf(Malformed, "the token is empty")
	}
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~+/", c) >= 0:
		default:
			return "", denyf(Malformed, "the token holds a character that no token has")
		}
	}
	return token, nil
}
