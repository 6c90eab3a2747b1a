package auth

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"
)

// RemoteJWKSOptions configure a RemoteJWKS.
type RemoteJWKSOptions struct {
	// URL is the issuer's jwks_uri. It is https, or http on this machine.
	URL string
	// AllowPlainHTTP admits http elsewhere. Whoever is on the way can then let anybody in.
	AllowPlainHTTP bool
	// Refresh is how often the keys are fetched anew; zero is an hour. A key that the issuer withdrew is good until then.
	Refresh time.Duration
	// MinInterval is the least time between two requests, whatever tokens ask for; zero is ten seconds.
	MinInterval time.Duration
	// Timeout bounds one request; zero is five seconds.
	Timeout time.Duration
	// StartWithoutKeys lets Start succeed where the issuer does not answer. Nobody gets in until it does, nor is refused.
	StartWithoutKeys bool
	// OnError, if not nil, hears of every request that failed. It is called by one goroutine at a time.
	OnError func(error)
	// Transport carries the requests; nil is one like http.DefaultTransport.
	Transport http.RoundTripper
}

// maxJWKS bounds a JWKS that is fetched, in bytes.
const maxJWKS = 1 << 20

// RemoteJWKS is the key set of an issuer, fetched from its URL. It is fetched anew now and then, and when a token names a
// key that is not in it, though never more often than MinInterval: tokens that name keys which do not exist cost the
// issuer nothing. While the issuer does not answer, the keys that it had last stay. Secrets in it do not count, for what
// everybody can fetch is none.
//
// It works between Start and Stop. Outside, no token is verified.
type RemoteJWKS struct {
	options  RemoteJWKSOptions
	endpoint *endpoint
	wanted   chan struct{} // a token waits for a key; holds one

	mu      sync.Mutex
	round   *round        // nil unless started
	keys    keySet        // empty until they were fetched once
	failure error         // of the last request
	loaded  bool          // there were keys once
	tried   time.Time     // when the last request ended
	fetched chan struct{} // closed when the next request has ended
}

// round is what runs between a Start and its Stop.
type round struct {
	stop context.CancelFunc
	done chan struct{}
}

// NewRemoteJWKS checks the options. It asks for nothing yet.
func NewRemoteJWKS(options RemoteJWKSOptions) (*RemoteJWKS, error) {
	options.Refresh = cmp.Or(options.Refresh, time.Hour)
	options.MinInterval = cmp.Or(options.MinInterval, 10*time.Second)
	options.Timeout = cmp.Or(options.Timeout, 5*time.Second)
	if options.MinInterval < 0 || options.Refresh < options.MinInterval {
		return nil, errors.New("JWKS: the keys would be fetched more often than the least interval allows")
	}
	e, err := newEndpoint(options.URL, options.AllowPlainHTTP, options.Timeout, maxJWKS, options.Transport)
	if err != nil {
		return nil, fmt.Errorf("JWKS: %w", err)
	}
	return &RemoteJWKS{
		options: options, endpoint: e, wanted: make(chan struct{}, 1), fetched: make(chan struct{}),
	}, nil
}

// Start fetches the keys and goes on doing so until Stop. It returns after the first request or when ctx ends. With an
// error nothing runs.
func (k *RemoteJWKS) Start(ctx context.Context) error {
	k.mu.Lock()
	if k.round != nil {
		k.mu.Unlock()
		return errors.New("fetch JWKS: started already")
	}
	refreshing, stop := context.WithCancel(context.Background())
	k.round = &round{stop, make(chan struct{})}
	fetched, done := k.fetched, k.round.done
	go func() {
		defer close(done)
		k.refresh(refreshing)
	}()
	k.mu.Unlock()

	select {
	case <-fetched:
	case <-done:
		return errors.New("fetch JWKS: stopped before there were any")
	case <-ctx.Done():
	}
	k.mu.Lock()
	failure, empty := k.failure, len(k.keys) == 0
	k.mu.Unlock()
	if ctx.Err() != nil {
		failure = fmt.Errorf("fetch JWKS: %w", ctx.Err())
	} else if !empty || k.options.StartWithoutKeys {
		return nil
	}
	k.Stop()
	return failure
}

// Stop ends what Start began, and returns when it has ended. Stopping what does not run does nothing.
func (k *RemoteJWKS) Stop() {
	k.mu.Lock()
	r := k.round
	k.mu.Unlock()
	if r == nil {
		return
	}
	r.stop()
	<-r.done
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.round == r {
		k.round, k.keys, k.loaded = nil, nil, false
		k.endpoint.close()
	}
}

func (k *RemoteJWKS) usable(algorithm string) error {
	if strings.HasPrefix(algorithm, "HS") {
		return fmt.Errorf("%s needs a secret, and keys that are fetched from a URL are none", algorithm)
	}
	return nil
}

// JWKSState is what became of fetching keys.
type JWKSState struct {
	Host   string // that they are fetched from
	Loaded bool   // they were fetched once since Start
	// Failure is why the last request failed; nil where it did not. It holds nothing of the address but the host.
	Failure error
}

// State may be called from any goroutine.
func (k *RemoteJWKS) State() JWKSState {
	k.mu.Lock()
	defer k.mu.Unlock()
	return JWKSState{Host: k.endpoint.address.Host, Loaded: k.loaded, Failure: k.failure}
}

// candidates implements Keys. For a key that it does not have it waits until the set was fetched once more, if it may be. That
// the key is unknown is an answer only where the issuer gave its set: while it does not, nobody can say.
func (k *RemoteJWKS) candidates(ctx context.Context, kid, algorithm string) ([]any, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	found, asked := k.keys.find(kid, algorithm), true
	if len(found) == 0 && k.round != nil && k.due() {
		fetched, done := k.fetched, k.round.done
		k.mu.Unlock()
		select {
		case k.wanted <- struct{}{}:
		default: // somebody else waits as well
		}
		select {
		case <-fetched:
		case <-done:
			asked = false
		case <-ctx.Done():
			asked = false
		}
		k.mu.Lock()
		found = k.keys.find(kid, algorithm)
	}
	switch {
	case len(found) > 0:
		return found, nil
	case len(k.keys) == 0:
		return nil, denyf(Unavailable, "there are no keys from %s", k.endpoint.address.Host)
	case k.failure != nil || !asked:
		return nil, denyf(Unavailable, "%s does not say whether it has such a key", k.endpoint.address.Host)
	}
	return nil, deny(UnknownKey)
}

// due tells whether the keys may be fetched again. It wants the lock.
func (k *RemoteJWKS) due() bool { return time.Since(k.tried) >= k.options.MinInterval }

// refresh fetches the keys at once, then every Refresh and when a token wants one that is not there. After a failure it
// tries again soon, then ever less often.
func (k *RemoteJWKS) refresh(ctx context.Context) {
	pause := k.options.MinInterval
	for {
		keys, err := k.request(ctx)
		if ctx.Err() != nil {
			return
		}
		k.mu.Lock()
		if err == nil {
			k.keys, k.loaded = keys, true
		}
		k.failure, k.tried = err, time.Now()
		close(k.fetched)
		k.fetched = make(chan struct{})
		k.mu.Unlock()

		wait := k.options.Refresh
		if err != nil {
			wait = pause
			pause = min(2*pause, k.options.Refresh)
		} else {
			pause = k.options.MinInterval
		}
		if !k.sleep(ctx, wait) {
			return
		}
	}
}

// sleep returns when it is time to fetch, and false when there will be none any more.
func (k *RemoteJWKS) sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-k.wanted:
			// The wish may be older than the last request.
			k.mu.Lock()
			due := k.due()
			k.mu.Unlock()
			if due {
				return true
			}
		}
	}
}

func (k *RemoteJWKS) request(ctx context.Context) (keySet, error) {
	keys, err := k.fetch(ctx)
	if err != nil {
		err = fmt.Errorf("fetch JWKS: %w", err)
		if k.options.OnError != nil && ctx.Err() == nil {
			k.options.OnError(err)
		}
	}
	return keys, err
}

func (k *RemoteJWKS) fetch(ctx context.Context) (keySet, error) {
	a, err := k.endpoint.ask(ctx, http.MethodGet, http.Header{"Accept": {"application/json"}}, nil)
	if err != nil {
		return nil, err
	}
	keys, err := parseJWKS(a.body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", k.endpoint.address.Host, err)
	}
	if keys = keys.public(); len(keys) == 0 {
		return nil, fmt.Errorf("%s: it holds nothing but secrets", k.endpoint.address.Host)
	}
	return keys, nil
}
