package auth

import (
	"errors"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

// wantDenied fails unless err refuses for the reason; an empty reason wants no error.
func wantDenied(t testing.TB, err error, reason Reason) {
	t.Helper()
	if reason == "" {
		if err != nil {
			t.Fatalf("refused: %v", err)
		}
		return
	}
	var denied *Denied
	if !errors.As(err, &denied) {
		t.Fatalf("got %v, want a refusal: %s", err, reason)
	}
	if denied.Reason != reason {
		t.Fatalf("refused with %v, want %s", err, reason)
	}
}

// principal makes one of claims.
func principal(t testing.TB, claims map[string]any) *Principal {
	t.Helper()
	p, err := NewPrincipal(claims, noExpiry)
	if err != nil {
		t.Fatal(err)
	}
	return p
}
