package auth

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// request makes one with headers given as name, value, name, value, ...
func request(t testing.TB, target string, headers ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, target, nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func TestWhereATokenStands(t *testing.T) {
	all := TokenSources{Authorization: true, Subprotocol: true, Query: "token", Cookie: "session"}
	const protocols = "Sec-WebSocket-Protocol"
	for name, c := range map[string]struct {
		sources TokenSources
		target  string
		headers []string
		want    string
		refused Reason
	}{
		"nowhere":                     {all, "/ws", nil, "", NoCredentials},
		"nothing switched on":         {TokenSources{}, "/ws?token=q.q.q", []string{"Authorization", "Bearer a.b.c"}, "", NoCredentials},
		"Authorization":               {all, "/ws", []string{"Authorization", "Bearer a.b.c"}, "a.b.c", ""},
		"bearer in small letters":     {all, "/ws", []string{"Authorization", "bearer a.b.c"}, "a.b.c", ""},
		"BEARER, two spaces":          {all, "/ws", []string{"Authorization", "BEARER  a.b.c "}, "a.b.c", ""},
		"Authorization is off":        {TokenSources{Cookie: "session"}, "/ws", []string{"Authorization", "Bearer a.b.c"}, "", NoCredentials},
		"another scheme":              {all, "/ws", []string{"Authorization", "Basic YTpi"}, "", NoCredentials},
		"another scheme and a cookie": {all, "/ws", []string{"Authorization", "Basic YTpi", "Cookie", "session=d.e.f"}, "d.e.f", ""},
		"a scheme that begins alike":  {all, "/ws", []string{"Authorization", "BearerX a.b.c"}, "", NoCredentials},
		"no token behind Bearer":      {all, "/ws", []string{"Authorization", "Bearer "}, "", Malformed},
		"Bearer alone":                {all, "/ws", []string{"Authorization", "Bearer"}, "", Malformed},
		"two words":                   {all, "/ws", []string{"Authorization", "Bearer a.b.c d.e.f"}, "", Malformed},
		"a tab instead of a space":    {all, "/ws", []string{"Authorization", "Bearer\ta.b.c"}, "", NoCredentials},
		"two headers":                 {all, "/ws", []string{"Authorization", "Bearer a.b.c", "Authorization", "Bearer d.e.f"}, "", Malformed},
		"two headers, the same":       {all, "/ws", []string{"Authorization", "Bearer a.b.c", "Authorization", "Bearer a.b.c"}, "", Malformed},
		"a list of tokens":            {all, "/ws", []string{"Authorization", "Bearer a.b.c,d.e.f"}, "", Malformed},
		"too large":                   {all, "/ws", []string{"Authorization", "Bearer " + strings.Repeat("a", maxToken+1)}, "", TooLarge},
		"as large as can be":          {all, "/ws", []string{"Authorization", "Bearer " + strings.Repeat("a", maxToken)}, strings.Repeat("a", maxToken), ""},

		"subprotocol":               {all, "/ws", []string{protocols, "bearer, a.b.c"}, "a.b.c", ""},
		"subprotocol among others":  {all, "/ws", []string{protocols, "mtbreactive.v2,bearer,a.b.c , mtbreactive"}, "a.b.c", ""},
		"subprotocol, two headers":  {all, "/ws", []string{protocols, "mtbreactive, bearer", protocols, "a.b.c"}, "a.b.c", ""},
		"subprotocol is off":        {TokenSources{Authorization: true}, "/ws", []string{protocols, "bearer, a.b.c"}, "", NoCredentials},
		"subprotocols without":      {all, "/ws", []string{protocols, "mtbreactive.v2, mtbreactive"}, "", NoCredentials},
		"bearer is the last":        {all, "/ws", []string{protocols, "mtbreactive, bearer"}, "", Malformed},
		"bearer, then nothing":      {all, "/ws", []string{protocols, "bearer,"}, "", Malformed},
		"bearer twice":              {all, "/ws", []string{protocols, "bearer, a.b.c, bearer, d.e.f"}, "", Malformed},
		"bearer followed by bearer": {all, "/ws", []string{protocols, "bearer, bearer"}, "bearer", ""},
		"Bearer is no subprotocol":  {all, "/ws", []string{protocols, "Bearer, a.b.c"}, "", NoCredentials},

		"query":                 {all, "/ws?channel=message&token=a.b.c", nil, "a.b.c", ""},
		"query is off":          {TokenSources{Cookie: "session"}, "/ws?token=a.b.c", nil, "", NoCredentials},
		"query, another name":   {all, "/ws?Token=a.b.c", nil, "", NoCredentials},
		"query twice":           {all, "/ws?token=a.b.c&token=d.e.f", nil, "", Malformed},
		"query empty":           {all, "/ws?token=", nil, "", Malformed},
		"query with a space":    {all, "/ws?token=a.b.c%20", nil, "", Malformed},
		"query that is no such": {all, "/ws?a=1;token=a.b.c", nil, "", Malformed},

		"cookie":              {all, "/ws", []string{"Cookie", "theme=dark; session=a.b.c"}, "a.b.c", ""},
		"cookie is off":       {TokenSources{Query: "token"}, "/ws", []string{"Cookie", "session=a.b.c"}, "", NoCredentials},
		"cookie of that name": {all, "/ws", []string{"Cookie", "session2=a.b.c"}, "", NoCredentials},
		"cookie twice":        {all, "/ws", []string{"Cookie", "session=a.b.c; session=d.e.f"}, "", Malformed},
		"cookie empty":        {all, "/ws", []string{"Cookie", "session="}, "", Malformed},

		"the header comes first":       {all, "/ws?token=q", []string{"Authorization", "Bearer h", protocols, "bearer, p", "Cookie", "session=c"}, "h", ""},
		"then the subprotocol":         {all, "/ws?token=q", []string{protocols, "bearer, p", "Cookie", "session=c"}, "p", ""},
		"then the query":               {all, "/ws?token=q", []string{"Cookie", "session=c"}, "q", ""},
		"a bad one is not passed over": {all, "/ws?token=q", []string{"Authorization", "Bearer !", "Cookie", "session=c"}, "", Malformed},
	} {
		t.Run(name, func(t *testing.T) {
			token, err := c.sources.Token(request(t, c.target, c.headers...))
			wantDenied(t, err, c.refused)
			if token != c.want {
				t.Errorf("token %q, want %q", token, c.want)
			}
			if c.sources.Any() != (c.sources != TokenSources{}) {
				t.Error("Any is wrong")
			}
		})
	}
}

// FuzzToken looks for requests in which something is taken for a token that is none, or for another's. What is found has
// to stand in the place from which it was taken, whole and in a bearer token's characters.
func FuzzToken(f *testing.F) {
	f.Add("Bearer a.b.c", "bearer, d.e.f", "token=g.h.i", "session=j.k.l; session=m")
	f.Add("bearer  ", "bearer,,x", "token=%zz", "session=\"a\"")
	f.Add("Basic x", "bearer", "token=a&token=b", ";;session=")
	f.Add("Bearer a=b", "a , bearer\t,\tb", "a;token=b", "session=a,b")
	f.Fuzz(func(t *testing.T, authorization, protocols, query, cookie string) {
		r := request(t, "/ws", "Authorization", authorization, "Sec-WebSocket-Protocol", protocols, "Cookie", cookie)
		r.URL = &url.URL{Path: "/ws", RawQuery: query}
		for place, c := range map[string]struct {
			sources TokenSources
			text    string
		}{
			"authorization": {TokenSources{Authorization: true}, authorization},
			"subprotocol":   {TokenSources{Subprotocol: true}, protocols},
			"query":         {TokenSources{Query: "token"}, query},
			"cookie":        {TokenSources{Cookie: "session"}, cookie},
		} {
			token, err := c.sources.Token(r)
			if err != nil {
				if token != "" {
					t.Fatalf("%s: a token and an error", place)
				}
				if _, ok := err.(*Denied); !ok { //nolint:errorlint // the very type is the contract
					t.Fatalf("%s: %T", place, err)
				}
				continue
			}
			if strings.Trim(token, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~+/=") != "" || token == "" {
				t.Fatalf("%s: %q is no token", place, token)
			}
			if place != "query" && !strings.Contains(c.text, token) {
				t.Fatalf("%s: %q is not in %q", place, token, c.text)
			}
		}
	})
}
