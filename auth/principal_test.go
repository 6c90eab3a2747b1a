package auth

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestClaimsKeepTheirValues(t *testing.T) {
	claims, err := decodeClaims([]byte(`{"id":9007199254740993,"big":18446744073709551616,"f":1.0,"e":1e3,"n":null,
		"b":true,"org":{"id":7,"tags":["a",1]}}`))
	if err != nil {
		t.Fatal(err)
	}
	p := principal(t, claims)
	for path, want := range map[string]any{
		"id": int64(9007199254740993), "big": "18446744073709551616", "f": 1.0, "e": 1000.0, "n": nil, "b": true,
		"org.id": int64(7), "org.tags": []any{"a", int64(1)},
	} {
		got, ok := p.Claim(strings.Split(path, ".")...)
		if !ok || !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v (%v), want %#v", path, got, ok, want)
		}
	}
	for _, path := range []string{"", "none", "id.x", "org.none", "org.tags.0"} {
		if v, ok := p.Claim(strings.Split(path, ".")...); ok {
			t.Errorf("%q is %v", path, v)
		}
	}
}

func TestAPrincipalIsACopy(t *testing.T) {
	roles := []any{"reader"}
	given := map[string]any{"sub": "ada", "roles": roles}
	p := principal(t, given)
	roles[0], given["sub"] = "admin", "eve"
	if got, _ := p.Claim("roles"); !reflect.DeepEqual(got, []any{"reader"}) || p.Subject() != "ada" {
		t.Errorf("it changed with what it was made of: %v", got)
	}
}

func TestAPrincipalHidesItsClaims(t *testing.T) {
	p := principal(t, map[string]any{"sub": canary, "email": canary})
	encoded, err := json.Marshal(map[string]any{"p": p})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		fmt.Sprint(p), fmt.Sprintf("%v %+v %#v %s %x", p, p, p, p, p), string(encoded), fmt.Sprintf("%v", []any{p}),
		fmt.Sprintf("%+v", *p), fmt.Sprintf("%+v", struct{ P *Principal }{p}),
	} {
		if strings.Contains(text, canary) {
			t.Errorf("it shows its claims: %s", text)
		}
	}
}

func TestOptionsHideTheirSecret(t *testing.T) {
	keys := mustKeys(t)(Secret([]byte(strings.Repeat(canary, 4))))
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%d", "%x"} {
		for _, value := range []any{keys, JWTOptions{Keys: keys}, &JWTOptions{Keys: keys}} {
			if text := fmt.Sprintf(verb, value); strings.Contains(text, canary) || strings.Contains(text, "99 97 110") || strings.Contains(text, "63616e") {
				t.Errorf("%s shows the secret: %s", verb, text)
			}
		}
	}
}

func TestWhatIsNoClaim(t *testing.T) {
	for name, v := range map[string]any{
		"a struct": struct{}{}, "a channel": make(chan int), "out of range": json.Number("1e999"), "deep": []any{map[string]any{"a": time.Now()}},
	} {
		if _, err := NewPrincipal(map[string]any{"c": v}, noExpiry); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	for _, document := range []string{``, `null`, `[]`, `"a"`, `{"a":1}{}`, `{"a":1} x`, `{"a":}`} {
		if claims, err := decodeClaims([]byte(document)); err == nil {
			t.Errorf("%s became %v", document, claims)
		}
	}
}

func TestAnonymousHasNoClaims(t *testing.T) {
	p := Anonymous()
	if p.Subject() != "" {
		t.Fatalf("%v", p)
	}
	if _, expires := p.Expires(); expires {
		t.Error("nobody expires")
	}
}

// What logs a refusal may have nobody to name.
func TestNobodyHasNoSubject(t *testing.T) {
	if subject := (*Principal)(nil).Subject(); subject != "" {
		t.Errorf("nobody is %q", subject)
	}
}
