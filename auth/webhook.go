package auth

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// WebhookOptions configure a Webhook.
type WebhookOptions struct {
	// URL is what is asked: https, or http on this machine. Redirects are not followed.
	URL string
	// AllowPlainHTTP admits http elsewhere. Whoever is on the way can then let anybody in.
	AllowPlainHTTP bool
	// Method is POST, the default, or GET. GET forwards the headers as headers; POST sends them as JSON:
	// {"headers": {"Cookie": ["..."]}}.
	Method string
	// Headers lists those that are forwarded, such as Cookie and Authorization. Required: nobody can be told from anybody
	// else without.
	Headers []string
	// Timeout bounds a request; zero is two seconds.
	Timeout time.Duration
	// CacheFor is how long an answer holds that does not say so itself by Cache-Control (RFC 9111, section 5.2.2); zero
	// is not at all. None holds longer than its claim exp, nor than an hour.
	CacheFor time.Duration
	// Transport carries the requests; nil is one like http.DefaultTransport.
	Transport http.RoundTripper
}

// maxWebhookAnswer bounds what a webhook may answer, in bytes; longestCache how long that may hold.
const (
	maxWebhookAnswer = 64 << 10
	longestCache     = time.Hour
)

// Webhook authenticates by asking a service over HTTP. A yes is 200 with a JSON object: its members are the principal's
// claims, and exp among them is when it expires. A no is 401 or 403, or an exp that has passed. Whatever else comes, or
// does not come, is no answer: Unavailable. Clients that send the same headers share an answer. It may be used by many
// goroutines at once.
type Webhook struct {
	options  WebhookOptions
	endpoint *endpoint
	memo     memo[*Principal]
}

// NewWebhook checks the options. It asks for nothing yet.
func NewWebhook(options WebhookOptions) (*Webhook, error) {
	options.Method = cmp.Or(options.Method, http.MethodPost)
	if options.Method != http.MethodPost && options.Method != http.MethodGet {
		return nil, errors.New("authenticate by webhook: the method is neither GET nor POST")
	}
	if len(options.Headers) == 0 {
		return nil, errors.New("authenticate by webhook: no header is forwarded: list those that hold the credentials, such as Cookie")
	}
	headers := make([]string, len(options.Headers))
	for i, name := range options.Headers {
		headers[i] = http.CanonicalHeaderKey(name)
		if slices.Contains(unforwardable(), headers[i]) {
			return nil, fmt.Errorf("authenticate by webhook: the header %s is of the connection and cannot be forwarded", headers[i])
		}
	}
	slices.Sort(headers)
	options.Headers = slices.Compact(headers)
	e, err := newEndpoint(options.URL, options.AllowPlainHTTP, cmp.Or(options.Timeout, 2*time.Second), maxWebhookAnswer, options.Transport)
	if err != nil {
		return nil, fmt.Errorf("authenticate by webhook: %w", err)
	}
	return &Webhook{options: options, endpoint: e}, nil
}

// unforwardable are the headers that mean one connection (RFC 9110, section 7.6.1), or how its bytes are to be read.
func unforwardable() []string {
	return []string{
		"Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Host", "Keep-Alive", "Proxy-Connection",
		"Te", "Trailer", "Transfer-Encoding", "Upgrade",
	}
}

// Close ends the connections that are kept for later requests.
func (w *Webhook) Close() { w.endpoint.close() }

// Authenticate implements Authenticator.
func (w *Webhook) Authenticate(r *http.Request) (*Principal, error) {
	forwarded := http.Header{}
	question := []string{}
	for _, name := range w.options.Headers {
		values := r.Header.Values(name)
		if len(values) > 0 {
			forwarded[name] = values
			question = append(append(question, name, strconv.Itoa(len(values))), values...)
		}
	}
	if len(forwarded) == 0 {
		return nil, deny(NoCredentials)
	}
	// Others may be waiting for this answer: it must not depend on whether this client stays.
	ctx := context.WithoutCancel(r.Context())
	p, err := w.memo.get(digestOf(question...), func() (*Principal, time.Duration, error) { return w.ask(ctx, forwarded) })
	if err != nil {
		return nil, err
	}
	if expires, ok := p.Expires(); ok && !time.Now().Before(expires) {
		return nil, deny(Expired)
	}
	return p, nil
}

func (w *Webhook) ask(ctx context.Context, forwarded http.Header) (*Principal, time.Duration, error) {
	header, body := forwarded, []byte(nil)
	if w.options.Method == http.MethodPost {
		var err error
		if body, err = json.Marshal(map[string]any{"headers": forwarded}); err != nil {
			return nil, 0, deny(Malformed)
		}
		header = http.Header{"Content-Type": {"application/json"}}
	}
	a, err := w.endpoint.ask(ctx, w.options.Method, header, body)
	if err != nil {
		return nil, 0, webhookRefusal(err)
	}
	claims, exp, err := webhookClaims(a.body)
	if err != nil {
		return nil, 0, &Denied{Reason: Unavailable, detail: "the answer cannot be used", cause: err}
	}
	holds := cacheTime(a.header, w.options.CacheFor)
	var expires time.Time
	if exp != nil {
		expires = *exp
		holds = min(holds, time.Until(expires))
	}
	p, err := NewPrincipal(claims, expires)
	if err != nil {
		return nil, 0, denyf(Unavailable, "the answer cannot be used: its claims are none")
	}
	return p, holds, nil
}

// webhookClaims reads an answer: the claims and, among them, until when they hold.
func webhookClaims(body []byte) (claims map[string]any, exp *time.Time, err error) {
	if claims, err = decodeClaims(body); err != nil {
		return nil, nil, err
	}
	if err := checkSubject(claims); err != nil {
		return nil, nil, err
	}
	exp, err = timeClaim(claims, "exp")
	return claims, exp, err
}

// webhookRefusal tells a no from no answer. 404 is none: it is what a wrong URL, or a service that is being deployed, says.
func webhookRefusal(err error) *Denied {
	if answer, ok := errors.AsType[*statusError](err); ok {
		switch answer.status {
		case http.StatusUnauthorized, http.StatusForbidden:
			return deny(Forbidden)
		}
	}
	return &Denied{Reason: Unavailable, cause: err}
}

// cacheTime is how long an answer holds: as long as it says, else as long as usual.
func cacheTime(header http.Header, usual time.Duration) time.Duration {
	told := false
	holds := usual
	for _, directive := range strings.Split(strings.Join(header.Values("Cache-Control"), ","), ",") {
		name, value, _ := strings.Cut(strings.ToLower(strings.TrimSpace(directive)), "=")
		switch name {
		case "no-store", "no-cache":
			return 0
		case "max-age":
			seconds, err := strconv.ParseUint(strings.Trim(value, `"`), 10, 31)
			if err != nil || told {
				return 0
			}
			told, holds = true, time.Duration(seconds)*time.Second
		}
	}
	return min(holds, longestCache)
}
