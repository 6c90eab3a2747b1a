package auth

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"math/big"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

var noExpiry time.Time

// noon is when the tests take place.
var noon = time.Date(2026, time.March, 1, 12, 0, 0, 0, time.UTC)

func atNoon() time.Time { return noon }

// canary stands in every token of the tests: no error may show it.
const canary = "canary-7f3a"

// issuer has a key of every kind.
type issuer struct {
	secret  []byte
	rsa     *rsa.PrivateKey
	other   *rsa.PrivateKey
	p256    *ecdsa.PrivateKey
	p384    *ecdsa.PrivateKey
	p521    *ecdsa.PrivateKey
	ed25519 ed25519.PrivateKey
}

var theIssuer = sync.OnceValue(func() *issuer {
	must := func(key any, err error) any {
		if err != nil {
			panic(err)
		}
		return key
	}
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	return &issuer{
		secret: []byte(strings.Repeat("conversation-secret!", 4)),
		rsa:    must(rsa.GenerateKey(rand.Reader, 2048)).(*rsa.PrivateKey),
		other:  must(rsa.GenerateKey(rand.Reader, 2048)).(*rsa.PrivateKey),
		p256:   must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)).(*ecdsa.PrivateKey),
		p384:   must(ecdsa.GenerateKey(elliptic.P384(), rand.Reader)).(*ecdsa.PrivateKey),
		p521:   must(ecdsa.GenerateKey(elliptic.P521(), rand.Reader)).(*ecdsa.PrivateKey),

		ed25519: must(ed, err).(ed25519.PrivateKey),
	}
})

type object = map[string]any

// claimsFor are what a good token says, with some of it changed; nil removes.
func claimsFor(changes object) object {
	claims := object{
		"sub": "ada", "iss": "https://id.example.com", "aud": "app", "exp": noon.Add(time.Minute).Unix(), "note": canary,
	}
	maps.Copy(claims, changes)
	maps.DeleteFunc(claims, func(_ string, v any) bool { return v == nil })
	return claims
}

// sign makes a token by hand, so that it can be as wrong as it likes.
func sign(t testing.TB, algorithm string, key any, header, claims object) string {
	t.Helper()
	head := object{"alg": algorithm, "typ": "JWT"}
	maps.Copy(head, header)
	maps.DeleteFunc(head, func(_ string, v any) bool { return v == nil })
	method := jwt.GetSigningMethod(algorithm)
	if algorithm == ed25519Alg { // which the library knows only once an authenticator was made
		method = ed25519Method{jwt.SigningMethodEdDSA}
	}
	if method == nil {
		t.Fatalf("no method %s", algorithm)
	}
	text := segment(t, head) + "." + segment(t, claims)
	signature, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func segment(t testing.TB, v any) string {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

// jwkOf writes a public key or a secret as a JWK.
func jwkOf(t testing.TB, key any, more object) object {
	t.Helper()
	encode := base64.RawURLEncoding.EncodeToString
	var jwk object
	switch k := key.(type) {
	case []byte:
		jwk = object{"kty": "oct", "k": encode(k)}
	case *rsa.PublicKey:
		jwk = object{"kty": "RSA", "n": encode(k.N.Bytes()), "e": encode(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		size := (k.Params().BitSize + 7) / 8
		point, err := k.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		jwk = object{"kty": "EC", "crv": k.Params().Name, "x": encode(point[1 : 1+size]), "y": encode(point[1+size:])}
	case ed25519.PublicKey:
		jwk = object{"kty": "OKP", "crv": "Ed25519", "x": encode(k)}
	default:
		t.Fatalf("no JWK for %T", key)
	}
	maps.Copy(jwk, more)
	return jwk
}

func jwksOf(t testing.TB, keys ...object) []byte {
	t.Helper()
	document, err := json.Marshal(object{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return document
}

func pemOf(t testing.TB, keys ...crypto.PublicKey) []byte {
	t.Helper()
	var file []byte
	for _, k := range keys {
		der, err := x509.MarshalPKIXPublicKey(k)
		if err != nil {
			t.Fatal(err)
		}
		file = append(file, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})...)
	}
	return file
}

func mustKeys(t testing.TB) func(Keys, error) Keys {
	return func(k Keys, err error) Keys {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
}

func newJWT(t testing.TB, options JWTOptions) *JWT {
	t.Helper()
	if options.Now == nil {
		options.Now = atNoon
	}
	j, err := NewJWT(options)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// verify returns the refusal and fails when it shows anything of the token.
func verify(t testing.TB, j *JWT, token string) (*Principal, error) {
	t.Helper()
	p, err := j.Verify(t.Context(), token)
	if (p == nil) == (err == nil) {
		t.Fatalf("principal %v and error %v", p, err)
	}
	if err != nil {
		for _, form := range []string{err.Error(), fmt.Sprintf("%+v", err)} {
			for _, part := range append(strings.Split(token, "."), canary, "ada") {
				if len(part) > 3 && strings.Contains(form, part) {
					t.Fatalf("the error shows the token: %s", form)
				}
			}
		}
	}
	return p, err
}

func TestEveryAlgorithmWithItsKey(t *testing.T) {
	is := theIssuer()
	keys := object{
		"HS": is.secret, "RS": is.rsa, "PS": is.rsa, "ES256": is.p256, "ES384": is.p384, "ES512": is.p521, "EdDSA": is.ed25519, "Ed25519": is.ed25519,
	}
	all := jwksOf(t, jwkOf(t, is.secret, nil), jwkOf(t, &is.rsa.PublicKey, nil), jwkOf(t, &is.p256.PublicKey, nil),
		jwkOf(t, &is.p384.PublicKey, nil), jwkOf(t, &is.p521.PublicKey, nil), jwkOf(t, is.ed25519.Public(), nil))
	for _, algorithm := range algorithms() {
		t.Run(algorithm, func(t *testing.T) {
			key, ok := keys[algorithm]
			if !ok {
				key = keys[algorithm[:2]]
			}
			token := sign(t, algorithm, key, nil, claimsFor(nil))
			j := newJWT(t, JWTOptions{Keys: mustKeys(t)(JWKS(all)), Algorithms: []string{algorithm}})
			p, err := verify(t, j, token)
			wantDenied(t, err, "")
			if p.Subject() != "ada" {
				t.Errorf("the token is for %q", p.Subject())
			}
			var others []string
			for _, a := range algorithms() {
				if !sameAlgorithm(a, algorithm) {
					others = append(others, a)
				}
			}
			_, err = verify(t, newJWT(t, JWTOptions{Keys: mustKeys(t)(JWKS(all)), Algorithms: others}), token)
			wantDenied(t, err, WrongAlgorithm)
			_, err = verify(t, j, token[:len(token)-8]+"AAAAAAAA")
			wantDenied(t, err, WrongSignature)
		})
	}
}

// TestW21Tokens is the list of what goes wrong with tokens. The keys are an RSA key and a secret, which only RS256 and HS256
// tokens may use.
func TestW21Tokens(t *testing.T) {
	is := theIssuer()
	file := jwksOf(t, jwkOf(t, &is.rsa.PublicKey, object{"kid": "rsa"}), jwkOf(t, is.secret, object{"kid": "secret"}))
	options := JWTOptions{
		Keys: mustKeys(t)(JWKS(file)), Algorithms: []string{"RS256", "HS256"},
		Audience: []string{"app", "app2"}, Issuer: "https://id.example.com", Leeway: 5 * time.Second,
	}
	rs := func(header, claims object) string { return sign(t, "RS256", is.rsa, header, claimsFor(claims)) }
	kid := object{"kid": "rsa"}
	unix := func(d time.Duration) int64 { return noon.Add(d).Unix() }
	publicPEM := pemOf(t, &is.rsa.PublicKey)
	der, err := x509.MarshalPKIXPublicKey(&is.rsa.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	good := rs(kid, nil)
	parts := strings.Split(good, ".")

	for name, c := range map[string]struct {
		token string
		want  Reason
	}{
		"good":                        {good, ""},
		"alg none, unsigned":          {segment(t, object{"alg": "none"}) + "." + parts[1] + ".", WrongAlgorithm},
		"alg None, unsigned":          {segment(t, object{"alg": "None"}) + "." + parts[1] + ".", WrongAlgorithm},
		"alg none, signed":            {segment(t, object{"alg": "none"}) + "." + parts[1] + "." + parts[2], WrongAlgorithm},
		"alg missing":                 {segment(t, object{"typ": "JWT"}) + "." + parts[1] + "." + parts[2], WrongAlgorithm},
		"alg a number":                {segment(t, object{"alg": 256}) + "." + parts[1] + "." + parts[2], WrongAlgorithm},
		"alg in lower case":           {segment(t, object{"alg": "rs256"}) + "." + parts[1] + "." + parts[2], WrongAlgorithm},
		"signature cut off":           {parts[0] + "." + parts[1] + ".", WrongSignature},
		"public key (PEM) as secret":  {sign(t, "HS256", publicPEM, kid, claimsFor(nil)), UnknownKey},
		"public key (DER) as secret":  {sign(t, "HS256", der, kid, claimsFor(nil)), UnknownKey},
		"public key as secret, nokid": {sign(t, "HS256", publicPEM, nil, claimsFor(nil)), WrongSignature},
		"the secret's kid with RS256": {rs(object{"kid": "secret"}, nil), UnknownKey},
		"the secret":                  {sign(t, "HS256", is.secret, object{"kid": "secret"}, claimsFor(nil)), ""},
		"PS256 is not listed":         {sign(t, "PS256", is.rsa, kid, claimsFor(nil)), WrongAlgorithm},
		"another's key, our kid":      {sign(t, "RS256", is.other, kid, claimsFor(nil)), WrongSignature},
		"kid missing":                 {rs(nil, nil), ""},
		"kid of nobody":               {rs(object{"kid": "rsb"}, nil), UnknownKey},
		"kid a path":                  {rs(object{"kid": "../../etc/passwd"}, nil), UnknownKey},
		"kid a URL":                   {rs(object{"kid": "https://evil.example.com/jwks.json"}, nil), UnknownKey},
		"kid a number":                {rs(object{"kid": 7}, nil), Malformed},
		"kid empty":                   {rs(object{"kid": ""}, nil), Malformed},
		"kid null":                    {segment(t, object{"alg": "RS256", "kid": nil}) + "." + parts[1] + "." + parts[2], Malformed},
		"kid enormous":                {rs(object{"kid": strings.Repeat("k", 257)}, nil), Malformed},
		"jwk of its own": {sign(t, "RS256", is.other, object{"jwk": jwkOf(t, &is.other.PublicKey, nil)},
			claimsFor(nil)), WrongSignature},
		"jku of its own":             {sign(t, "RS256", is.other, object{"jku": "https://evil.example.com/"}, claimsFor(nil)), WrongSignature},
		"crit":                       {rs(object{"kid": "rsa", "crit": []string{"exp"}}, nil), Malformed},
		"typ at+jwt":                 {rs(object{"typ": "application/at+jwt"}, nil), ""},
		"typ missing":                {rs(object{"typ": nil}, nil), ""},
		"typ of a logout token":      {rs(object{"typ": "logout+jwt"}, nil), Malformed},
		"typ a number":               {rs(object{"typ": 1}, nil), Malformed},
		"expired":                    {rs(kid, object{"exp": unix(-6 * time.Second)}), Expired},
		"expired just now":           {rs(kid, object{"exp": unix(-5 * time.Second)}), Expired},
		"expired within leeway":      {rs(kid, object{"exp": unix(-4 * time.Second)}), ""},
		"exp missing":                {rs(kid, object{"exp": nil}), UnusableClaims},
		"exp a string":               {rs(kid, object{"exp": fmt.Sprint(unix(time.Minute))}), UnusableClaims},
		"exp null":                   {sign(t, "RS256", is.rsa, kid, object{"exp": nil, "iss": "https://id.example.com", "aud": "app"}), UnusableClaims},
		"exp a fraction":             {rs(kid, object{"exp": float64(unix(time.Minute)) + 0.5}), ""},
		"exp negative":               {rs(kid, object{"exp": -1}), Expired},
		"exp zero":                   {rs(kid, object{"exp": 0}), Expired},
		"exp beyond time":            {rs(kid, object{"exp": 1e300}), UnusableClaims},
		"exp a list":                 {rs(kid, object{"exp": []int64{unix(time.Minute)}}), UnusableClaims},
		"nbf in the future":          {rs(kid, object{"nbf": unix(6 * time.Second)}), NotYetValid},
		"nbf within leeway":          {rs(kid, object{"nbf": unix(5 * time.Second)}), ""},
		"nbf a string":               {rs(kid, object{"nbf": "tomorrow"}), UnusableClaims},
		"aud a list":                 {rs(kid, object{"aud": []string{"other", "app2"}}), ""},
		"aud wrong":                  {rs(kid, object{"aud": "other"}), WrongAudience},
		"aud a list of wrong ones":   {rs(kid, object{"aud": []string{"other", "ap"}}), WrongAudience},
		"aud missing":                {rs(kid, object{"aud": nil}), UnusableClaims},
		"aud an empty list":          {rs(kid, object{"aud": []string{}}), UnusableClaims},
		"aud a list with a number":   {rs(kid, object{"aud": []any{"app", 7}}), UnusableClaims},
		"aud an object":              {rs(kid, object{"aud": object{"app": true}}), UnusableClaims},
		"iss wrong":                  {rs(kid, object{"iss": "https://id.example.com.evil.example"}), WrongIssuer},
		"iss with a slash more":      {rs(kid, object{"iss": "https://id.example.com/"}), WrongIssuer},
		"iss missing":                {rs(kid, object{"iss": nil}), UnusableClaims},
		"iss a list":                 {rs(kid, object{"iss": []string{"https://id.example.com"}}), UnusableClaims},
		"a claim out of range":       {rs(kid, object{"balance": json.Number("1e999")}), UnusableClaims},
		"claims null":                {sign(t, "RS256", is.rsa, kid, nil), UnusableClaims},
		"claims changed":             {parts[0] + "." + segment(t, claimsFor(object{"sub": "eve"})) + "." + parts[2], WrongSignature},
		"larger than 16 KiB":         {rs(kid, object{"note": strings.Repeat("x", 16<<10)}), TooLarge},
		"empty":                      {"", Malformed},
		"a space in it":              {parts[0] + " ." + parts[1] + "." + parts[2], Malformed},
		"a line break behind it":     {good + "\n", Malformed},
		"two parts":                  {parts[0] + "." + parts[1], Malformed},
		"four parts":                 {good + "." + parts[2], Malformed},
		"an encrypted one":           {parts[0] + "..." + parts[1] + "." + parts[2], Malformed},
		"no base64":                  {"~~~." + parts[1] + "." + parts[2], Malformed},
		"padded base64":              {parts[0] + "." + parts[1] + "." + parts[2] + "==", Malformed},
		"header an array":            {segment(t, []int{1}) + "." + parts[1] + "." + parts[2], Malformed},
		"header null":                {segment(t, nil) + "." + parts[1] + "." + parts[2], WrongAlgorithm},
		"claims no JSON":             {parts[0] + ".e30e." + parts[2], Malformed},
		"loose bits behind base64":   {looseBits(good), Malformed},
		"signature of the parts' 'n": {parts[1] + "." + parts[0] + "." + parts[2], WrongAlgorithm},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := verify(t, newJWT(t, options), c.token)
			wantDenied(t, err, c.want)
		})
	}
}

// looseBits changes the bits behind the last byte of the signature, which a lax decoder does not look at.
func looseBits(token string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, token[len(token)-1])
	return token[:len(token)-1] + string(alphabet[last^1])
}

func TestNullClaimsAreNobody(t *testing.T) {
	is := theIssuer()
	j := newJWT(t, JWTOptions{Keys: mustKeys(t)(Secret(is.secret)), Algorithms: []string{"HS256"}, AllowNoExpiry: true})
	_, err := verify(t, j, sign(t, "HS256", is.secret, nil, nil))
	wantDenied(t, err, Malformed)
	p, err := verify(t, j, sign(t, "HS256", is.secret, nil, object{}))
	wantDenied(t, err, "")
	if _, expires := p.Expires(); expires {
		t.Error("a token without exp expires")
	}
	// exp: 0 is a time that is over, and not the absence of one.
	_, err = verify(t, j, sign(t, "HS256", is.secret, nil, object{"exp": 0}))
	wantDenied(t, err, Expired)
}

func TestWithoutAKidEveryFittingKeyMayHaveSigned(t *testing.T) {
	is := theIssuer()
	both := jwksOf(t, jwkOf(t, &is.other.PublicKey, object{"kid": "old"}), jwkOf(t, &is.rsa.PublicKey, object{"kid": "new"}))
	j := newJWT(t, JWTOptions{Keys: mustKeys(t)(JWKS(both)), Algorithms: []string{"RS256"}})
	for _, key := range []*rsa.PrivateKey{is.rsa, is.other} {
		_, err := verify(t, j, sign(t, "RS256", key, nil, claimsFor(nil)))
		wantDenied(t, err, "")
	}
	// With a kid it is that one only.
	_, err := verify(t, j, sign(t, "RS256", is.rsa, object{"kid": "old"}, claimsFor(nil)))
	wantDenied(t, err, WrongSignature)
}

func TestKeysFromAPEMFileFitAnyKid(t *testing.T) {
	is := theIssuer()
	keys := mustKeys(t)(PublicKeys(pemOf(t, &is.other.PublicKey, &is.rsa.PublicKey, is.ed25519.Public())))
	j := newJWT(t, JWTOptions{Keys: keys, Algorithms: []string{"RS256", "EdDSA"}})
	for _, header := range []object{nil, {"kid": "whatever"}} {
		_, err := verify(t, j, sign(t, "RS256", is.rsa, header, claimsFor(nil)))
		wantDenied(t, err, "")
		_, err = verify(t, j, sign(t, "EdDSA", is.ed25519, header, claimsFor(nil)))
		wantDenied(t, err, "")
	}
}

func TestAKeyIsForWhatItsJWKSays(t *testing.T) {
	is := theIssuer()
	token := sign(t, "RS256", is.rsa, object{"kid": "k"}, claimsFor(nil))
	other := jwkOf(t, &is.other.PublicKey, object{"kid": "other"})
	for name, c := range map[string]struct {
		jwk  object
		want Reason
	}{
		"alg RS256":          {object{"alg": "RS256"}, ""},
		"alg PS256":          {object{"alg": "PS256"}, UnknownKey},
		"use sig":            {object{"use": "sig"}, ""},
		"use enc":            {object{"use": "enc"}, UnknownKey},
		"key_ops verify":     {object{"key_ops": []string{"verify"}}, ""},
		"key_ops encrypt":    {object{"key_ops": []string{"encrypt"}}, UnknownKey},
		"a certificate":      {object{"x5u": "https://127.0.0.1:1/cert", "x5c": []string{"AAAA"}}, ""},
		"private parts":      {object{"d": "AQAB"}, ""},
		"a modulus too many": {object{"n": base64.RawURLEncoding.EncodeToString(make([]byte, 64))}, UnknownKey},
	} {
		t.Run(name, func(t *testing.T) {
			jwk := jwkOf(t, &is.rsa.PublicKey, object{"kid": "k"})
			maps.Copy(jwk, c.jwk)
			j := newJWT(t, JWTOptions{Keys: mustKeys(t)(JWKS(jwksOf(t, jwk, other))), Algorithms: []string{"RS256"}})
			_, err := verify(t, j, token)
			wantDenied(t, err, c.want)
		})
	}
}

func TestACurveIsForItsAlgorithmOnly(t *testing.T) {
	is := theIssuer()
	curves := map[string]*ecdsa.PrivateKey{"ES256": is.p256, "ES384": is.p384, "ES512": is.p521}
	for algorithm := range curves {
		for named, key := range curves {
			if named == algorithm {
				continue
			}
			_, err := NewJWT(JWTOptions{Keys: mustKeys(t)(PublicKeys(pemOf(t, &key.PublicKey))), Algorithms: []string{algorithm}})
			if err == nil {
				t.Errorf("%s is accepted with the curve of %s", algorithm, named)
			}
			// The right algorithm's name over the wrong curve's key: there is no key for it.
			file := jwksOf(t, jwkOf(t, &key.PublicKey, object{"kid": "k"}), jwkOf(t, &curves[algorithm].PublicKey, object{"kid": "other"}))
			j := newJWT(t, JWTOptions{Keys: mustKeys(t)(JWKS(file)), Algorithms: []string{algorithm}})
			token := sign(t, algorithm, curves[algorithm], object{"kid": "k"}, claimsFor(nil))
			_, err = verify(t, j, token)
			wantDenied(t, err, UnknownKey)
		}
	}
}

func TestAPrincipalExpiresWithItsToken(t *testing.T) {
	is := theIssuer()
	j := newJWT(t, JWTOptions{Keys: mustKeys(t)(Secret(is.secret)), Algorithms: []string{"HS256"}, Leeway: 3 * time.Second})
	p, err := verify(t, j, sign(t, "HS256", is.secret, nil, claimsFor(nil)))
	wantDenied(t, err, "")
	if expires, ok := p.Expires(); !ok || !expires.Equal(noon.Add(time.Minute+3*time.Second)) {
		t.Errorf("it expires at %v (%v)", expires, ok)
	}
}

func TestTheClockDecides(t *testing.T) {
	is, now := theIssuer(), noon
	j := newJWT(t, JWTOptions{
		Keys: mustKeys(t)(Secret(is.secret)), Algorithms: []string{"HS256"}, Now: func() time.Time { return now },
	})
	token := sign(t, "HS256", is.secret, nil, claimsFor(nil))
	_, err := verify(t, j, token)
	wantDenied(t, err, "")
	now = noon.Add(time.Minute)
	_, err = verify(t, j, token)
	wantDenied(t, err, Expired)
}

func TestAuthenticateTakesTheTokenFromTheRequest(t *testing.T) {
	is := theIssuer()
	j := newJWT(t, JWTOptions{
		Tokens: TokenSources{Authorization: true}, Keys: mustKeys(t)(Secret(is.secret)), Algorithms: []string{"HS256"},
	})
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/ws", nil)
	_, err := j.Authenticate(r)
	wantDenied(t, err, NoCredentials)
	r.Header.Set("Authorization", "Bearer "+sign(t, "HS256", is.secret, nil, claimsFor(nil)))
	p, err := j.Authenticate(r)
	wantDenied(t, err, "")
	if sub, ok := p.Claim("sub"); !ok || sub != "ada" {
		t.Errorf("sub is %v", sub)
	}
}

func TestOptionsThatNobodyShouldStartWith(t *testing.T) {
	is := theIssuer()
	secret, file := mustKeys(t)(Secret(is.secret)), mustKeys(t)(PublicKeys(pemOf(t, &is.rsa.PublicKey)))
	for name, options := range map[string]JWTOptions{
		"no keys":                {Algorithms: []string{"RS256"}},
		"no algorithms":          {Keys: file},
		"none":                   {Keys: file, Algorithms: []string{"none"}},
		"none among others":      {Keys: file, Algorithms: []string{"RS256", "none"}},
		"an unknown algorithm":   {Keys: file, Algorithms: []string{"RS257"}},
		"an algorithm in small":  {Keys: file, Algorithms: []string{"rs256"}},
		"a secret for RS256":     {Keys: secret, Algorithms: []string{"RS256"}},
		"a public key for HS256": {Keys: file, Algorithms: []string{"HS256"}},
		"leeway negative":        {Keys: file, Algorithms: []string{"RS256"}, Leeway: -1},
	} {
		if _, err := NewJWT(options); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func TestKeysThatAreTooWeak(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: []byte(canary)})
	for name, read := range map[string]func() (Keys, error){
		"RSA of 1024 bits":   func() (Keys, error) { return PublicKeys(pemOf(t, &weak.PublicKey)) },
		"P-224":              func() (Keys, error) { return PublicKeys(pemOf(t, &p224.PublicKey)) },
		"a private key":      func() (Keys, error) { return PublicKeys(private) },
		"an empty file":      func() (Keys, error) { return PublicKeys(nil) },
		"a secret too short": func() (Keys, error) { return Secret([]byte(canary + "-31-bytes-------------")[:31]) },
		"no secret":          func() (Keys, error) { return Secret(nil) },
		"no JWKS":            func() (Keys, error) { return JWKS([]byte(`[]`)) },
		"an empty JWKS":      func() (Keys, error) { return JWKS([]byte(`{"keys":[]}`)) },
		"a JWKS of weak RSA": func() (Keys, error) { return JWKS(jwksOf(t, jwkOf(t, &weak.PublicKey, nil))) },
		"a JWKS of 101 keys": func() (Keys, error) {
			keys := make([]object, 101)
			for i := range keys {
				keys[i] = jwkOf(t, theIssuer().secret, nil)
			}
			return JWKS(jwksOf(t, keys...))
		},
	} {
		_, err := read()
		if err == nil {
			t.Errorf("%s is accepted", name)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("%s: the error shows it: %v", name, err)
		}
	}
	// A secret is for the algorithms that its size allows (RFC 7518, section 3.2).
	for size, want := range map[int]string{32: "HS256", 47: "HS256", 48: "HS256 HS384", 64: "HS256 HS384 HS512", 100: "HS256 HS384 HS512"} {
		keys := mustKeys(t)(Secret(make([]byte, size)))
		var usable []string
		for _, a := range algorithms() {
			if keys.usable(a) == nil {
				usable = append(usable, a)
			}
		}
		if strings.Join(usable, " ") != want {
			t.Errorf("a secret of %d bytes is for %v, want %s", size, usable, want)
		}
	}
}
