package auth

import (
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"
)

// FuzzVerify looks for a token that gets in although the issuer never signed it, and for one that makes Verify panic.
func FuzzVerify(f *testing.F) {
	is := theIssuer()
	j := newJWT(f, JWTOptions{
		Keys:       mustKeys(f)(JWKS(jwksOf(f, jwkOf(f, is.secret, nil), jwkOf(f, &is.p256.PublicKey, nil)))),
		Algorithms: []string{"HS256", "ES256"}, AllowNoExpiry: true,
	})
	good := sign(f, "HS256", is.secret, nil, claimsFor(nil))
	parts := strings.Split(good, ".")
	f.Add(good)
	f.Add(sign(f, "ES256", is.p256, nil, claimsFor(object{"aud": []string{"a"}})))
	f.Add(segment(f, object{"alg": "none"}) + "." + parts[1] + ".")
	f.Add(parts[0] + ".bnVsbA." + parts[2])
	f.Add("..")
	f.Add("e30.e30.e30")
	f.Fuzz(func(t *testing.T, token string) {
		p, err := j.Verify(t.Context(), token)
		if err != nil {
			if _, ok := err.(*Denied); !ok { //nolint:errorlint // the very type is the contract
				t.Fatalf("%T", err)
			}
			return
		}
		// A second opinion, from nothing but the secret.
		text, encoded := token[:strings.LastIndexByte(token, '.')], token[strings.LastIndexByte(token, '.')+1:]
		signature, err := base64.RawURLEncoding.DecodeString(encoded)
		if err != nil {
			t.Fatal(err)
		}
		hs := jwt.SigningMethodHS256.Verify(text, signature, is.secret)
		es := jwt.SigningMethodES256.Verify(text, signature, &is.p256.PublicKey)
		if hs != nil && es != nil {
			t.Fatalf("%v got in with a token that nobody signed: %s", p.claims, token)
		}
	})
}

// FuzzSigned signs whatever claims it is given: the issuer may be mistaken too.
func FuzzSigned(f *testing.F) {
	is := theIssuer()
	j := newJWT(f, JWTOptions{Keys: mustKeys(f)(Secret(is.secret)), Algorithms: []string{"HS256"}})
	f.Add(`{"sub":"ada","exp":1800000000}`)
	f.Add(`{"exp":1e10,"org":{"id":9007199254740993},"roles":["a",null,1.5]}`)
	f.Add(`{"exp":"1800000000"}`)
	f.Add(`{"exp":-0}`)
	f.Add(`null`)
	f.Fuzz(func(t *testing.T, claims string) {
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"HS256"}`))
		text := header + "." + base64.RawURLEncoding.EncodeToString([]byte(claims))
		signature, err := jwt.SigningMethodHS256.Sign(text, is.secret)
		if err != nil {
			t.Fatal(err)
		}
		p, err := j.Verify(t.Context(), text+"."+base64.RawURLEncoding.EncodeToString(signature))
		if err != nil {
			return
		}
		expires, ok := p.Expires()
		if !ok || !expires.After(noon) {
			t.Fatalf("got in until %v (%v) with %s", expires, ok, claims)
		}
		var read map[string]json.RawMessage
		if err := json.Unmarshal([]byte(claims), &read); err != nil || len(read) != len(p.claims) {
			t.Fatalf("%s became %v (%v)", claims, p.claims, err)
		}
	})
}
