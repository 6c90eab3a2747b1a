package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// AuthorizeWebhookOptions configure AuthorizeWebhook.
type AuthorizeWebhookOptions struct {
	// URL is what is asked: https, or http on this machine. Redirects are not followed.
	URL string
	// AllowPlainHTTP admits http elsewhere. Whoever is on the way can then allow anything.
	AllowPlainHTTP bool
	// Timeout bounds a request; zero is two seconds.
	Timeout time.Duration
	// CacheFor is how long an answer holds that does not say so itself by Cache-Control, a no as well as a yes; zero is
	// not at all. None holds longer than an hour.
	CacheFor time.Duration
	// Transport carries the requests; nil is one like http.DefaultTransport.
	Transport http.RoundTripper
}

// AuthorizeWebhook authorizes by asking a service over HTTP. It posts
//
//	{"ctx": {claims}, "channel": "message", "scope": {"col": "conversation_id", "value": 42}}
//
// and allows what is answered with 200 and {"allowed": true}. A no is {"allowed": false}, 401 or 403. Whatever else comes is no answer. It may be used by many goroutines at once, of which MaxRequests
// ask at a time.
type AuthorizeWebhook struct {
	cacheFor time.Duration
	endpoint *endpoint
	memo     memo[bool]
}

// NewAuthorizeWebhook checks the options. It asks for nothing yet.
func NewAuthorizeWebhook(options AuthorizeWebhookOptions) (*AuthorizeWebhook, error) {
	if options.CacheFor < 0 {
		return nil, errors.New("authorize by webhook: a time is negative")
	}
	timeout := cmp.Or(options.Timeout, 2*time.Second)
	e, err := newEndpoint(options.URL, options.AllowPlainHTTP, timeout, maxWebhookAnswer, options.Transport)
	if err != nil {
		return nil, fmt.Errorf("authorize by webhook: %w", err)
	}
	return &AuthorizeWebhook{cacheFor: options.CacheFor, endpoint: e}, nil
}

// Close ends the connections that are kept for later requests.
func (w *AuthorizeWebhook) Close() { w.endpoint.close() }

// Authorize implements Authorizer.
func (w *AuthorizeWebhook) Authorize(ctx context.Context, p *Principal, s Subscription) error {
	if _, ok := s.Scope.Text(); !ok || p == nil {
		return deny(Forbidden)
	}
	question, err := json.Marshal(map[string]any{
		"ctx": p.claims, "channel": s.Channel, "scope": map[string]any{"col": s.Scope.Column, "value": s.Scope.Value},
	})
	if err != nil {
		return deny(UnusableClaims)
	}
	ctx = context.WithoutCancel(ctx) // others may be waiting for the same answer
	allowed, err := w.memo.get(digestOf(string(question)), func() (bool, time.Duration, error) { return w.ask(ctx, question) })
	switch {
	case err != nil:
		return err
	case !allowed:
		return deny(Forbidden)
	}
	return nil
}

func (w *AuthorizeWebhook) ask(ctx context.Context, question []byte) (bool, time.Duration, error) {
	a, err := w.endpoint.ask(ctx, http.MethodPost, http.Header{"Content-Type": {"application/json"}}, question)
	if err != nil {
		return false, 0, webhookRefusal(err)
	}
	// Not into a struct: encoding/json takes "Allowed" for "allowed" as well.
	answer, err := decodeClaims(a.body)
	if err != nil {
		return false, 0, denyf(Unavailable, "the answer is no JSON object")
	}
	allowed, ok := answer["allowed"].(bool)
	if !ok {
		return false, 0, denyf(Unavailable, "the answer does not say whether the client is allowed, true or false")
	}
	return allowed, cacheTime(a.header, w.cacheFor), nil
}
