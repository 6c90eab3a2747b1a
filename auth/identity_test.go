package auth

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/netip"
	"strings"
	"testing"
)

// rawToken signs claims as they are written: json.Marshal would mend them.
func rawToken(t *testing.T, claims string) string {
	t.Helper()
	method := ed25519Method{}
	text := segment(t, object{"alg": "EdDSA", "typ": "JWT"}) + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
	signature, err := method.Sign(text, theIssuer().ed25519)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func TestW36ClaimsThatAreNoUnicodeAreNobodys(t *testing.T) {
	j := newJWT(t, JWTOptions{Keys: mustKeys(t)(JWKS(jwksOf(t, jwkOf(t, theIssuer().ed25519.Public(), nil)))), Algorithms: []string{"EdDSA"}, AllowNoExpiry: true})
	for claims, want := range map[string]Reason{
		`{"sub":"\ud800"}`:                                 Malformed,
		`{"sub":"\udfff"}`:                                 Malformed,
		"{\"sub\":\"\xff\"}":                               Malformed,
		"{\"sub\":\"\xed\xa0\x80\"}":                       Malformed, // a surrogate in UTF-8
		"{\"sub\":\"\xc0\xaf\"}":                           Malformed, // longer than it has to be
		`{"sub":"\uDC00\uD800"}`:                           Malformed, // a pair the wrong way round
		`{"sub":"\ud83dx"}`:                                Malformed,
		`{"sub":"\ud83d\\ude00"}`:                          Malformed, // the second is no escape
		`{"sub":"ada","org":{"ids":["a","\ud800"]}}`:       Malformed,
		`{"sub":"ada","\udfff":1}`:                         Malformed,
		`{"sub":"ada","sub":"eve"}`:                        Malformed,
		`{"sub":"ada","s\u0075b":"eve"}`:                   Malformed,
		`{"sub":"ada","org":[{"id":1,"id":2}]}`:            Malformed,
		`{"sub":9007199254740993.0}`:                       UnusableClaims,
		`{"sub":1e3}`:                                      UnusableClaims,
		`{"sub":18446744073709551616}`:                     UnusableClaims,
		`{"sub":null}`:                                     UnusableClaims,
		`{"sub":true}`:                                     UnusableClaims,
		`{"sub":["ada"]}`:                                  UnusableClaims,
		`{"sub":"\ud83d\ude00"}`:                           "",
		`{"sub":"\\ud800"}`:                                "", // a backslash, and letters
		`{"sub":"\ufffd"}`:                                 "", // the replacement itself is a character
		`{"sub":"😀é"}`:                                     "",
		`{"sub":9007199254740993}`:                         "",
		`{"sub":-7}`:                                       "",
		`{"sub":"ada","org":[{"id":1},{"id":2},1,"id"]}`:   "",
		`{"a":{"x":"sub","sub":"x"},"sub":"ada","b":[[]]}`: "",
	} {
		_, err := j.Verify(t.Context(), rawToken(t, claims))
		t.Logf("%s", claims)
		wantDenied(t, err, want)

		// A webhook's answer is read in the same way, but one that cannot be understood is no answer.
		s := &service{}
		s.says(200, []byte(claims))
		if want != "" {
			want = Unavailable
		}
		_, err = newWebhook(t, WebhookOptions{Transport: s}).Authenticate(request(t, "/ws", "Cookie", "a"))
		wantDenied(t, err, want)
	}
	h, err := NewTrustedHeaders(TrustedHeadersOptions{Proxies: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, Claims: map[string]string{"sub": "X-User"}})
	if err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"\xff", "ada\xed\xa0\x80", "\xc3"} {
		r := request(t, "/ws", "X-User", user)
		r.RemoteAddr = "192.0.2.1:1"
		_, err := h.Authenticate(r)
		wantDenied(t, err, Malformed)
		if _, err := NewPrincipal(map[string]any{"org": []any{user}}, noExpiry); err == nil {
			t.Errorf("%q is taken", user)
		}
	}
}

// Two claims are the same subject only where nothing about them differs.
func TestW36TheSameSubject(t *testing.T) {
	of := func(claims string) *Principal {
		members, err := decodeClaims([]byte(claims))
		if err != nil {
			t.Fatal(err)
		}
		return principal(t, members)
	}
	for _, c := range []struct {
		a, b string
		same bool
	}{
		{`{"sub":"ada"}`, `{"sub":"ada","role":"admin","exp":9}`, true},
		{`{"sub":"ada"}`, `{"sub":"Ada"}`, false},
		{`{"sub":42}`, `{"sub":43}`, false},
		{`{"sub":42}`, `{"sub":42}`, true},
		{`{"sub":42}`, `{"sub":"42"}`, false},
		{`{"sub":9007199254740992}`, `{"sub":9007199254740993}`, false},
		{`{"sub":""}`, `{}`, false},
		{`{"sub":42}`, `{}`, false},
		{`{}`, `{"sub":"ada"}`, false},
		{`{"user_id":1}`, `{"user_id":2}`, false},
		{`{"role":"guest","exp":1,"iat":1,"jti":"a"}`, `{"role":"guest","exp":2,"iat":2,"nbf":2,"jti":"b"}`, true},
		{`{"role":"guest"}`, `{"role":"admin"}`, false},
	} {
		if got := of(c.a).SameSubject(of(c.b)); got != c.same {
			t.Errorf("%s and %s: %v", c.a, c.b, got)
		}
	}
}

// EdDSA and Ed25519 are one algorithm, whichever of them the options, the key and the token say.
func TestW36TheNamesOfEd25519(t *testing.T) {
	is := theIssuer()
	names := []string{"EdDSA", "Ed25519"}
	for _, listed := range names {
		for _, inKey := range append(names, "") {
			jwk := jwkOf(t, is.ed25519.Public(), object{"kid": "k"})
			if inKey != "" {
				jwk["alg"] = inKey
			}
			j := newJWT(t, JWTOptions{Keys: mustKeys(t)(JWKS(jwksOf(t, jwk))), Algorithms: []string{listed}})
			for _, inToken := range names {
				_, err := verify(t, j, sign(t, inToken, is.ed25519, object{"kid": "k"}, claimsFor(nil)))
				wantDenied(t, err, "")
			}
			_, err := verify(t, j, sign(t, "ES256", is.p256, object{"kid": "k"}, claimsFor(nil)))
			wantDenied(t, err, WrongAlgorithm)
		}
	}
	// What cannot be verified is refused by its name, at the start.
	for _, listed := range []string{"Ed448", "ES256K", "ed25519", "ESP256"} {
		_, err := NewJWT(JWTOptions{Keys: mustKeys(t)(PublicKeys(pemOf(t, is.ed25519.Public()))), Algorithms: []string{listed}})
		if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", listed)) || !strings.Contains(err.Error(), "Ed25519") {
			t.Errorf("%s: %v", listed, err)
		}
	}
	if _, err := JWKS(must(json.Marshal(object{"keys": []object{{"kty": "OKP", "crv": "Ed448", "x": "AAAA", "alg": "Ed448"}}}))); err == nil {
		t.Error("a key of Ed448 is taken")
	}
}

func TestW36ATokenThatIsTooLargeIsSaidSo(t *testing.T) {
	j := newJWT(t, JWTOptions{Keys: mustKeys(t)(Secret(theIssuer().secret)), Algorithms: []string{"HS256"}})
	for size, want := range map[int]Reason{8_193: "", maxToken - 200: "", maxToken + 8: TooLarge, 64 << 10: TooLarge} {
		token := sign(t, "HS256", theIssuer().secret, nil, claimsFor(object{"note": ""}))
		token = sign(t, "HS256", theIssuer().secret, nil, claimsFor(object{"note": strings.Repeat("x", (size-len(token))*3/4)}))
		_, err := j.Verify(t.Context(), token)
		if wantDenied(t, err, want); want != "" && !strings.Contains(err.Error(), fmt.Sprint(maxToken)) {
			t.Errorf("it does not say how large it may be: %v", err)
		}
	}
}

func TestW36PlainHTTPIsForWhoSaysSo(t *testing.T) {
	for _, url := range []string{"http://app:3000/session", "http://10.0.0.7/", "http://app.internal:8080/x"} {
		_, err := NewWebhook(WebhookOptions{URL: url, Headers: []string{"Cookie"}})
		if !PlainHTTP(err) || !strings.Contains(err.Error(), strings.Split(url, "/")[2]) {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := NewWebhook(WebhookOptions{URL: url, Headers: []string{"Cookie"}, AllowPlainHTTP: true}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if _, err := NewRemoteJWKS(RemoteJWKSOptions{URL: url}); !PlainHTTP(err) {
			t.Errorf("%s: %v", url, err)
		}
	}
	if _, err := NewWebhook(WebhookOptions{URL: "ftp://app/", Headers: []string{"Cookie"}, AllowPlainHTTP: true}); err == nil || PlainHTTP(err) {
		t.Errorf("ftp: %v", err)
	}
}
