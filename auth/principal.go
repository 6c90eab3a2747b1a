package auth

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Principal is who a client is: the claims that somebody vouched for, and until when. It never changes, so many
// goroutines and connections may share one. It is printed without its claims.
type Principal struct {
	claims  map[string]any
	expires time.Time
	ctx     ref.Val // the claims as expressions see them
}

// NewPrincipal makes a principal of claims as JSON has them: nil, bool, string, int, int64, float64, json.Number, []any
// and map[string]any. A whole number that int64 cannot hold becomes its text, for it must not become another number.
// The zero time never expires.
func NewPrincipal(claims map[string]any, expires time.Time) (*Principal, error) {
	own := make(map[string]any, len(claims))
	for name, v := range claims {
		value, err := claimValue(v)
		if err != nil {
			return nil, fmt.Errorf("claim %q: %w", name, err)
		}
		own[name] = value
	}
	return &Principal{claims: own, expires: expires, ctx: celValue(own)}, nil
}

// Anonymous is a principal without claims.
func Anonymous() *Principal {
	return &Principal{claims: map[string]any{}, ctx: celValue(map[string]any{})}
}

// Expires says from when on the principal is nobody any more, and false where that time never comes. An open connection
// has to end then.
func (p *Principal) Expires() (time.Time, bool) { return p.expires, !p.expires.IsZero() }

// Subject is the claim sub where that is a string, else empty, as it is of no principal at all.
func (p *Principal) Subject() string {
	if p == nil {
		return ""
	}
	sub, _ := p.claims["sub"].(string)
	return sub
}

// SameSubject tells whether a principal is who another one is, whatever else their claims say: their claims sub are equal, in
// type and value. 42 is not "42". Where neither has a sub, all that they say has to be equal but for when and as which token it
// was said: exp, nbf, iat and jti.
func (p *Principal) SameSubject(other *Principal) bool {
	mine, named := p.claims["sub"]
	theirs, otherNamed := other.claims["sub"]
	if named || otherNamed {
		return named == otherNamed && reflect.DeepEqual(mine, theirs)
	}
	return reflect.DeepEqual(p.lasting(), other.lasting())
}

// lasting are the claims that are not of one token alone (RFC 7519, section 4.1).
func (p *Principal) lasting() map[string]any {
	claims := maps.Clone(p.claims)
	for _, name := range []string{"exp", "nbf", "iat", "jti"} {
		delete(claims, name)
	}
	return claims
}

// Claim follows a path of names: Claim("org", "id") is ctx.org.id. The value is nil, a bool, a string, an int64, a
// float64, a []any or a map[string]any, and must not be changed. It returns false where there is no such claim.
func (p *Principal) Claim(path ...string) (any, bool) {
	var value any = p.claims
	for _, name := range path {
		object, ok := value.(map[string]any)
		if !ok {
			return nil, false
		}
		if value, ok = object[name]; !ok {
			return nil, false
		}
	}
	return value, true
}

func (p Principal) String() string { return "principal (claims hidden)" }

// Format keeps the claims out of whatever fmt writes.
func (p Principal) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, p.String()) }

// MarshalText keeps the claims out of JSON and logs.
func (p Principal) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// claimValue copies a value and brings numbers into one form.
func claimValue(v any) (any, error) {
	switch v := v.(type) {
	case string:
		if !utf8.ValidString(v) {
			return nil, errors.New("a text is not UTF-8")
		}
		return v, nil
	case nil, bool, int64, float64:
		return v, nil
	case int:
		return int64(v), nil
	case json.Number:
		return claimNumber(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			value, err := claimValue(v[i])
			if err != nil {
				return nil, err
			}
			list[i] = value
		}
		return list, nil
	case map[string]any:
		object := make(map[string]any, len(v))
		for name, member := range v {
			value, err := claimValue(member)
			if err != nil {
				return nil, err
			}
			object[name] = value
		}
		return object, nil
	}
	return nil, fmt.Errorf("%T is no type of JSON", v)
}

func claimNumber(n json.Number) (any, error) {
	if i, err := strconv.ParseInt(n.String(), 10, 64); err == nil {
		return i, nil
	}
	if !strings.ContainsAny(n.String(), ".eE") {
		return n.String(), nil
	}
	f, err := n.Float64()
	if err != nil {
		return nil, errors.New("a number is out of range")
	}
	return f, nil
}

// checkSubject holds the claim sub of a JSON document against what can be compared exactly: a string (RFC 7519, section
// 4.1.2) or, as some issuers write it, a whole number that int64 holds. Two other numbers may be one after they were read.
func checkSubject(claims map[string]any) error {
	sub, named := claims["sub"]
	switch sub := sub.(type) {
	case string:
		return nil
	case json.Number:
		if _, err := strconv.ParseInt(sub.String(), 10, 64); err == nil {
			return nil
		}
	}
	if !named {
		return nil
	}
	return denyf(UnusableClaims, "sub is neither a string nor a whole number of 64 bits")
}

// decodeClaims reads a JSON object and keeps its numbers as they are written. What two readers may understand differently is
// refused: text that is no Unicode, and a name that is there twice (RFC 7493, section 2; RFC 7519, section 4).
func decodeClaims(document []byte) (map[string]any, error) {
	if !unicodeJSON(document) {
		return nil, denyf(Malformed, "the claims hold text that is no Unicode")
	}
	if repeatsName(document) {
		return nil, denyf(Malformed, "a claim is there twice")
	}
	decoder := json.NewDecoder(bytes.NewReader(document))
	decoder.UseNumber()
	var claims map[string]any
	if err := decoder.Decode(&claims); err != nil || claims == nil {
		return nil, denyf(Malformed, "the claims are no JSON object")
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, denyf(Malformed, "something follows the claims")
	}
	return claims, nil
}

// celValue converts a claim once, so that no evaluation has to.
func celValue(v any) ref.Val {
	adapter := types.DefaultTypeAdapter
	switch v := v.(type) {
	case map[string]any:
		members := make(map[string]any, len(v))
		for name, member := range v {
			members[name] = celValue(member)
		}
		return types.NewStringInterfaceMap(adapter, members)
	case []any:
		list := make([]ref.Val, len(v))
		for i := range v {
			list[i] = celValue(v[i])
		}
		return types.NewRefValList(adapter, list)
	}
	return adapter.NativeToValue(v)
}

// latestTime is the end of year 9999: what lies behind it is no time but a mistake, and would overflow a time.Time.
const latestTime = 253402300799

// timeClaim reads a claim that is a NumericDate (RFC 7519, section 2): seconds since 1970, perhaps with a fraction. It
// returns nil where there is none.
func timeClaim(claims map[string]any, name string) (*time.Time, error) {
	v, ok := claims[name]
	if !ok {
		return nil, nil
	}
	number, ok := v.(json.Number)
	if !ok {
		return nil, denyf(UnusableClaims, "%s is no number", name)
	}
	seconds, err := number.Float64()
	if err != nil || math.Abs(seconds) > latestTime {
		return nil, denyf(UnusableClaims, "%s is out of range", name)
	}
	whole, fraction := math.Modf(seconds)
	t := time.Unix(int64(whole), int64(fraction*float64(time.Second)))
	return &t, nil
}
