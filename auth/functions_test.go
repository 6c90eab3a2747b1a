package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

func TestAFunctionsErrorsAndPanicsAreANo(t *testing.T) {
	wrapped := errors.Join(errors.New(canary), deny(Expired))
	for name, each := range map[string]struct {
		fail func() error
		want Reason
	}{
		"an error":            {func() error { return errors.New(canary) }, Forbidden},
		"a *Denied":           {func() error { return deny(Expired) }, Expired},
		"a *Denied in others": {func() error { return wrapped }, Expired},
		"no answer":           {func() error { return fmt.Errorf("%s: %w", canary, ErrUnavailable) }, Unavailable},
		"in no time":          {func() error { return fmt.Errorf("%s: %w", canary, context.DeadlineExceeded) }, Unavailable},
		"a panic":             {func() error { panic(canary) }, EvaluationFailed},
	} {
		_, in := AuthenticatorFunc(func(*http.Request) (*Principal, error) { return Anonymous(), each.fail() }).Authenticate(request(t, "/ws"))
		subscribe := AuthorizerFunc(func(context.Context, *Principal, Subscription) error { return each.fail() }).
			Authorize(t.Context(), Anonymous(), Subscription{})
		for i, err := range []error{in, subscribe} {
			if name == "a panic" && i == 0 {
				continue
			}
			if d := (*Denied)(nil); !errors.As(err, &d) || d.Reason != each.want || strings.Contains(err.Error(), canary) {
				t.Errorf("%s became %v, want %s", name, err, each.want)
			}
		}
	}
}

func TestNobodyIsNotLetIn(t *testing.T) {
	p, err := AuthenticatorFunc(func(*http.Request) (*Principal, error) { return nil, nil }).Authenticate(request(t, "/ws"))
	if d := (*Denied)(nil); p != nil || !errors.As(err, &d) || d.Reason != NoCredentials {
		t.Errorf("%v, %v", p, err)
	}
}

func TestAFunctionsYesIsAYes(t *testing.T) {
	ada := principal(t, map[string]any{"sub": "ada"})
	if p, err := (AuthenticatorFunc(func(*http.Request) (*Principal, error) { return ada, nil })).Authenticate(request(t, "/ws")); p != ada || err != nil {
		t.Errorf("%v, %v", p, err)
	}
	if err := (AuthorizerFunc(func(context.Context, *Principal, Subscription) error { return nil })).Authorize(t.Context(), ada, Subscription{}); err != nil {
		t.Error(err)
	}
}
