package auth

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"time"
)

// endpoint is an address that the operator configured and that is asked something over HTTP. Nothing that a client sends
// has a say in where a request goes: the address is fixed, and redirects are not followed.
type endpoint struct {
	address *url.URL
	client  *http.Client
	limit   int64         // of a response's body, in bytes, after decompression
	turns   chan struct{} // one for each request at a time
}

// MaxRequests is how many requests to one address are under way at a time. Others wait for their turn: without a bound a storm
// of clients would open a connection for each.
const MaxRequests = 64

// errPlainHTTP does not name the key that allows it: a caller with a configuration does.
var errPlainHTTP = errors.New("others on the way could read and change what is sent")

// PlainHTTP tells whether an error says that an address would be reached without TLS.
func PlainHTTP(err error) bool { return errors.Is(err, errPlainHTTP) }

// newEndpoint checks an address. Without TLS only the own machine is reached, unless plain says that the way is safe.
// transport nil is one like http.DefaultTransport.
func newEndpoint(address string, plain bool, timeout time.Duration, limit int64, transport http.RoundTripper) (*endpoint, error) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Host == "" || u.User != nil || (u.Scheme != "https" && u.Scheme != "http"):
		return nil, errors.New("the address is no https:// URL, or names a user")
	case u.Scheme == "http" && !plain && !loopback(u.Hostname()):
		return nil, fmt.Errorf("%s would be reached without TLS: %w", u.Host, errPlainHTTP)
	case timeout <= 0:
		return nil, errors.New("the time limit is not positive")
	}
	if transport == nil {
		usual, ok := http.DefaultTransport.(*http.Transport)
		if !ok {
			return nil, errors.New("somebody replaced http.DefaultTransport")
		}
		own := usual.Clone()
		own.MaxIdleConnsPerHost, own.MaxConnsPerHost = MaxRequests, MaxRequests
		transport = own
	}
	return &endpoint{address: u, limit: limit, turns: make(chan struct{}, MaxRequests), client: &http.Client{
		Transport: transport, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

func loopback(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || (err == nil && ip.IsLoopback())
}

// answer is a response with status 200 that was read to its end.
type answer struct {
	header http.Header
	body   []byte
}

// ask sends a request; body nil is none. Errors name the host and nothing else of the request, for an address may hold a
// secret as well as a header.
func (e *endpoint) ask(ctx context.Context, method string, header http.Header, body []byte) (*answer, error) {
	response, err := e.send(ctx, method, header, body)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", e.address.Host, err)
	}
	return response, nil
}

// turn waits until fewer than MaxRequests are under way, as long as an SQL question waits for a connection. The time limit of
// the request begins behind that.
func (e *endpoint) turn(ctx context.Context) error {
	select {
	case e.turns <- struct{}{}:
		return nil
	default:
	}
	timer := time.NewTimer(patience(e.client.Timeout))
	defer timer.Stop()
	select {
	case e.turns <- struct{}{}:
		return nil
	case <-timer.C:
		return fmt.Errorf("%d requests are under way already, and none of them ended", MaxRequests)
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (e *endpoint) send(ctx context.Context, method string, header http.Header, body []byte) (*answer, error) {
	if err := e.turn(ctx); err != nil {
		return nil, err
	}
	defer func() { <-e.turns }()
	request, err := http.NewRequestWithContext(ctx, method, e.address.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := e.client.Do(request)
	if err != nil {
		return nil, withoutQuotes(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		// A connection whose answer was not read to its end is not used again.
		_, _ = io.CopyN(io.Discard, response.Body, e.limit)
		return nil, &statusError{response.StatusCode}
	}
	read, err := io.ReadAll(io.LimitReader(response.Body, e.limit+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(read)) > e.limit:
		return nil, fmt.Errorf("the answer is larger than %d bytes", e.limit)
	}
	return &answer{response.Header, read}, nil
}

// quotingError is an error that may quote what came. It says nothing of it.
type quotingError struct{ cause error }

func (e *quotingError) Error() string {
	return "what it answers is no HTTP that can be read, or it closed the connection"
}

func (e *quotingError) Unwrap() error { return e.cause }

// readable is what an error of the client may be, so that it quotes nothing of an answer but what is wrong with it.
func readable(err error) bool {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, http.ErrSchemeMismatch) || errors.Is(err, context.Canceled) {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok { // of the network, or a time that is up
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	_, ok := errors.AsType[*tls.CertificateVerificationError](err)
	return ok
}

// withoutQuotes is an error of the client whose text has neither the address nor what came: a header line that cannot be read
// may hold a cookie.
func withoutQuotes(err error) error {
	if told, ok := errors.AsType[*url.Error](err); ok {
		err = told.Err
	}
	if !readable(err) {
		return &quotingError{err}
	}
	return err
}

// close ends the connections that are kept for later requests.
func (e *endpoint) close() { e.client.CloseIdleConnections() }

// statusError is an answer with another status than 200.
type statusError struct{ status int }

func (e *statusError) Error() string {
	return fmt.Sprintf("the answer is %d %s instead of 200", e.status, http.StatusText(e.status))
}
