package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// JWTOptions configure a JWT authenticator.
type JWTOptions struct {
	// Tokens says where a request's token stands. It is not needed where only Verify is used.
	Tokens TokenSources
	// Keys are who may sign. Required.
	Keys Keys
	// Algorithms lists those that tokens may be signed with: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384,
	// PS512, ES256, ES384, ES512, and EdDSA or Ed25519, which are one. Required: what a token says of itself decides nothing.
	Algorithms []string
	// Audience: one of these has to be among the token's aud. Empty: aud is not looked at.
	Audience []string
	// Issuer has to be the token's iss. Empty: iss is not looked at.
	Issuer string
	// Leeway is by how much clocks may differ: exp counts so much later, nbf so much earlier.
	Leeway time.Duration
	// AllowNoExpiry admits tokens without exp, which are valid until the keys change.
	AllowNoExpiry bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
}

// JWT authenticates by a JSON Web Token (RFC 7519). Its claims are the principal's. It may be used by many goroutines at
// once.
type JWT struct {
	options JWTOptions
	parser  *jwt.Parser
}

// maxKeyID bounds what a token may name its key by, in bytes.
const maxKeyID = 256

// NewJWT refuses options with which nobody, or anybody, would get in.
func NewJWT(options JWTOptions) (*JWT, error) {
	if options.Keys == nil {
		return nil, errors.New("verify JWTs: there are no keys to verify them with")
	}
	if len(options.Algorithms) == 0 {
		return nil, errors.New("verify JWTs: no algorithm is allowed: list those that your issuer signs with, such as RS256")
	}
	for _, a := range options.Algorithms {
		if !slices.Contains(algorithms(), a) {
			return nil, fmt.Errorf("verify JWTs: algorithm %q is none of %s", a, strings.Join(algorithms(), ", "))
		}
		if err := options.Keys.usable(a); err != nil {
			return nil, fmt.Errorf("verify JWTs: %w", err)
		}
	}
	if options.Leeway < 0 {
		return nil, errors.New("verify JWTs: the leeway is negative")
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	methods := slices.Clone(options.Algorithms)
	if slices.ContainsFunc(methods, func(a string) bool { return sameAlgorithm(a, eddsa) }) {
		methods = append(methods, eddsa, ed25519Alg)
		if jwt.GetSigningMethod(ed25519Alg) == nil {
			jwt.RegisterSigningMethod(ed25519Alg, func() jwt.SigningMethod { return ed25519Method{jwt.SigningMethodEdDSA} })
		}
	}
	checks := []jwt.ParserOption{
		jwt.WithValidMethods(methods), jwt.WithStrictDecoding(),
		jwt.WithLeeway(options.Leeway), jwt.WithTimeFunc(options.Now),
	}
	if !options.AllowNoExpiry {
		checks = append(checks, jwt.WithExpirationRequired())
	}
	if len(options.Audience) > 0 {
		checks = append(checks, jwt.WithAudience(slices.Clone(options.Audience)...))
	}
	if options.Issuer != "" {
		checks = append(checks, jwt.WithIssuer(options.Issuer))
	}
	return &JWT{options: options, parser: jwt.NewParser(checks...)}, nil
}

// Authenticate implements Authenticator.
func (j *JWT) Authenticate(r *http.Request) (*Principal, error) {
	token, err := j.options.Tokens.Token(r)
	if err != nil {
		return nil, err
	}
	return j.Verify(r.Context(), token)
}

// Verify returns whom a token is for. The principal expires when the token does, Leeway included. The error is a *Denied.
func (j *JWT) Verify(ctx context.Context, token string) (*Principal, error) {
	if _, err := checkToken(token); err != nil {
		return nil, err
	}
	var claims tokenClaims
	listed := false
	_, err := j.parser.ParseWithClaims(token, &claims, func(t *jwt.Token) (any, error) {
		listed = true // the parser asks for keys only after it looked at the algorithm
		return j.keys(ctx, t)
	})
	if err != nil {
		return nil, refusal(err, listed)
	}
	if claims.members == nil {
		return nil, denyf(Malformed, "the claims are no JSON object")
	}
	var expires time.Time
	exp, err := timeClaim(claims.members, "exp")
	switch {
	case err != nil:
		return nil, err
	case exp != nil:
		expires = exp.Add(j.options.Leeway)
	}
	if err := checkSubject(claims.members); err != nil {
		return nil, err
	}
	p, err := NewPrincipal(claims.members, expires)
	if err != nil {
		return nil, deny(UnusableClaims)
	}
	return p, nil
}

// keys finds the keys for a token whose algorithm is one of those allowed. Of its header only alg and kid are used:
// where a token says that its key could be fetched (jku, x5u) or what it is (jwk, x5c), nobody listens.
func (j *JWT) keys(ctx context.Context, t *jwt.Token) (any, error) {
	if _, ok := t.Header["crit"]; ok {
		return nil, denyf(Malformed, "the token has critical extensions") // RFC 7515, section 4.1.11
	}
	// RFC 8725, section 3.11: a token that says it is something else, such as a logout token, is no proof of identity.
	if typ, ok := t.Header["typ"]; ok {
		name, _ := typ.(string)
		name = strings.TrimPrefix(strings.ToLower(name), "application/")
		if name != "jwt" && name != "at+jwt" {
			return nil, denyf(Malformed, "the token is of another type than JWT and at+jwt")
		}
	}
	kid, ok := t.Header["kid"].(string)
	if _, named := t.Header["kid"]; (named && (!ok || kid == "")) || len(kid) > maxKeyID {
		return nil, denyf(Malformed, "the token's kid is unusable")
	}
	candidates, err := j.options.Keys.candidates(ctx, kid, t.Method.Alg())
	if err != nil {
		return nil, err
	}
	set := jwt.VerificationKeySet{}
	for _, k := range candidates {
		set.Keys = append(set.Keys, k)
	}
	return set, nil
}

// refusal says why the parser refused, without its texts: they quote the token.
func refusal(err error, listed bool) *Denied {
	if denied, ok := errors.AsType[*Denied](err); ok {
		return denied
	}
	switch {
	case errors.Is(err, jwt.ErrTokenMalformed):
		return denyf(Malformed, "the token is no JWT")
	case !listed:
		return deny(WrongAlgorithm)
	case errors.Is(err, jwt.ErrTokenExpired):
		return deny(Expired)
	case errors.Is(err, jwt.ErrTokenNotValidYet), errors.Is(err, jwt.ErrTokenUsedBeforeIssued):
		return deny(NotYetValid)
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		return deny(WrongAudience)
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		return deny(WrongIssuer)
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing), errors.Is(err, jwt.ErrInvalidType):
		return deny(UnusableClaims)
	}
	return deny(WrongSignature)
}

// tokenClaims are the claims of a token, read more strictly than the library's own: there a time that is not a number of
// seconds may count as none.
type tokenClaims struct{ members map[string]any }

func (c *tokenClaims) UnmarshalJSON(document []byte) (err error) {
	c.members, err = decodeClaims(document)
	return err
}

func (c *tokenClaims) GetExpirationTime() (*jwt.NumericDate, error) { return c.time("exp") }
func (c *tokenClaims) GetIssuedAt() (*jwt.NumericDate, error)       { return c.time("iat") }
func (c *tokenClaims) GetNotBefore() (*jwt.NumericDate, error)      { return c.time("nbf") }
func (c *tokenClaims) GetIssuer() (string, error)                   { return c.text("iss") }
func (c *tokenClaims) GetSubject() (string, error)                  { return c.text("sub") }

// GetAudience accepts a string or a list of strings (RFC 7519, section 4.1.3).
func (c *tokenClaims) GetAudience() (jwt.ClaimStrings, error) {
	list, ok := c.members["aud"].([]any)
	if !ok {
		aud, err := c.text("aud")
		if err != nil || aud == "" {
			return nil, err
		}
		return jwt.ClaimStrings{aud}, nil
	}
	var audience jwt.ClaimStrings
	for _, v := range list {
		aud, ok := v.(string)
		if !ok {
			return nil, denyf(UnusableClaims, "aud is no list of strings")
		}
		audience = append(audience, aud)
	}
	return audience, nil
}

func (c *tokenClaims) time(name string) (*jwt.NumericDate, error) {
	t, err := timeClaim(c.members, name)
	if t == nil || err != nil {
		return nil, err
	}
	return &jwt.NumericDate{Time: *t}, nil
}

func (c *tokenClaims) text(name string) (string, error) {
	v, ok := c.members[name]
	text, isText := v.(string)
	if ok && !isText {
		return "", denyf(UnusableClaims, "%s is no string", name)
	}
	return text, nil
}
