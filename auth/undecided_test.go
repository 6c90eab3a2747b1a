package auth

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// A webhook says no with 401 and 403, or with claims that have expired. Everything else is no answer, and must not be told as no.
func TestW30AuthenticateUndecidedByAWebhook(t *testing.T) {
	closed := httptest.NewServer(http.NotFoundHandler())
	refusing := closed.URL
	closed.Close()
	w := newWebhook(t, WebhookOptions{URL: refusing})
	defer w.Close()
	_, err := w.Authenticate(request(t, "/ws", "Cookie", "a"))
	if !Undecided(err) {
		t.Errorf("connection refused: %v", err)
	}
	for name, s := range map[string]struct {
		status int
		body   string
		no     bool
	}{
		"unauthorized":           {401, "", true},
		"forbidden":              {403, `{"sub":"ada"}`, true},
		"expired":                {200, `{"sub":"ada","exp":1}`, true},
		"a bad gateway":          {502, "<html>", false},
		"an error":               {500, "", false},
		"unavailable":            {503, "", false},
		"a time-out in between":  {504, "", false},
		"too many requests":      {429, "", false},
		"not found":              {404, "", false},
		"bad request":            {400, "", false},
		"a login page":           {200, "<html>", false},
		"nothing":                {200, "", false},
		"half an answer":         {200, `{"sub":"ad`, false},
		"a redirect":             {302, "", false},
		"an exp that is no time": {200, `{"sub":"ada","exp":"soon"}`, false},
		"a sub that nobody has":  {200, `{"sub":["ada"]}`, false},
	} {
		service := &service{}
		service.says(s.status, []byte(s.body), "Location", "https://login.example.com/")
		_, err := newWebhook(t, WebhookOptions{Transport: service}).Authenticate(request(t, "/ws", "Cookie", "a"))
		if err == nil || Undecided(err) == s.no {
			t.Errorf("%s: %v", name, err)
		}
	}
	// What comes instead of HTTP reaches no log: it may hold a cookie.
	for _, answer := range []string{"HTTP/1.1 200 OK\r\nSet-Cookie canary\r\n\r\n", "canary\r\n\r\n", "HTTP/1.1 canary OK\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Length: canary\r\n\r\n"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, answer)
		}))
		w := newWebhook(t, WebhookOptions{URL: server.URL})
		_, err := w.Authenticate(request(t, "/ws", "Cookie", "a"))
		if !Undecided(err) || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v", answer, err)
		}
		w.Close()
		server.Close()
	}
	synctest.Test(t, func(t *testing.T) {
		service := &service{takes: time.Hour}
		service.says(200, []byte(`{"sub":"ada"}`))
		_, err := newWebhook(t, WebhookOptions{Transport: service}).Authenticate(request(t, "/ws", "Cookie", "a"))
		if !Undecided(err) {
			t.Errorf("no answer in time: %v", err)
		}
	})
}

// That a key is unknown is an answer only of an issuer that gave its keys.
func TestW30AuthenticateUndecidedForWantOfKeys(t *testing.T) {
	is := theIssuer()
	document := jwksOf(t, jwkOf(t, &is.rsa.PublicKey, object{"kid": "k"}))
	known := sign(t, "RS256", is.rsa, object{"kid": "k"}, object{"sub": "ada"})
	unknown := sign(t, "RS256", is.rsa, object{"kid": "new"}, object{"sub": "ada"})
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		keys, j := remote(t, s, func(o *RemoteJWKSOptions) { o.StartWithoutKeys = true })
		if err := keys.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer keys.Stop()
		if state := keys.State(); state.Loaded || state.Failure == nil || state.Host != "id.example.com" || strings.Contains(state.Failure.Error(), canary) {
			t.Errorf("without keys: %+v", state)
		}
		for _, token := range []string{known, unknown} {
			if _, err := verify(t, j, token); !Undecided(err) {
				t.Errorf("without keys: %v", err)
			}
		}
		// What no key could mend is refused all the same.
		_, err := verify(t, j, sign(t, "HS256", is.secret, nil, object{"sub": "ada"}))
		wantDenied(t, err, WrongAlgorithm)

		s.says(200, document)
		time.Sleep(time.Minute)
		synctest.Wait()
		if state := keys.State(); !state.Loaded || state.Failure != nil {
			t.Errorf("with keys: %+v", state)
		}
		_, err = verify(t, j, unknown)
		wantDenied(t, err, UnknownKey)

		for name, fails := range map[string]func(){
			"an error":     func() { s.says(500, nil) },
			"nobody there": func() { s.says(0, nil) },
			"no keys":      func() { s.says(200, []byte(`{"keys":[]}`)) },
			"too slow":     func() { s.slowsTo(time.Hour) },
		} {
			fails()
			time.Sleep(time.Minute)
			for range 2 { // the second finds that the issuer may not be asked again yet
				if _, err := verify(t, j, unknown); !Undecided(err) {
					t.Errorf("%s: %v", name, err)
				}
			}
			_, err := verify(t, j, known)
			wantDenied(t, err, "")
			if state := keys.State(); !state.Loaded || state.Failure == nil {
				t.Errorf("%s: %+v", name, state)
			}
			s.slowsTo(0)
		}
	})
}

func TestW30AuthenticateUndecidedByAFunction(t *testing.T) {
	for name, c := range map[string]struct {
		f         AuthenticatorFunc
		undecided bool
	}{
		"a time limit": {func(*http.Request) (*Principal, error) { return nil, fmt.Errorf("ask: %w", context.DeadlineExceeded) }, true},
		"no answer":    {func(*http.Request) (*Principal, error) { return nil, fmt.Errorf("%s: %w", canary, ErrUnavailable) }, true},
		"a panic":      {func(*http.Request) (*Principal, error) { panic(canary) }, false},
		"an error":     {func(*http.Request) (*Principal, error) { return nil, errors.New(canary) }, false},
		"nobody":       {func(*http.Request) (*Principal, error) { return nil, nil }, false},
	} {
		p, err := c.f.Authenticate(request(t, "/ws"))
		if p != nil || err == nil || Undecided(err) != c.undecided || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
}

// counted counts the connections of a server.
func counted(t *testing.T, handler http.HandlerFunc) (url string, connections *atomic.Int32) {
	connections = &atomic.Int32{}
	server := httptest.NewUnstartedServer(handler)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	return server.URL, connections
}

// Connections are used again, whatever the answer, and a storm opens no more than are allowed.
func TestW37WebhookConnections(t *testing.T) {
	for name, answer := range map[string]http.HandlerFunc{
		"yes": func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"sub":"ada"}`)) },
		"no, with a body": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("no ", 5000), http.StatusUnauthorized)
		},
		"an error, likewise": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("no ", 5000), http.StatusBadGateway)
		},
		"after some thinking": func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Millisecond)
			_, _ = w.Write([]byte(`{}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			var now, most atomic.Int32
			url, connections := counted(t, func(w http.ResponseWriter, r *http.Request) {
				if n := now.Add(1); n > most.Load() {
					most.Store(n)
				}
				defer now.Add(-1)
				answer(w, r)
			})
			w := newWebhook(t, WebhookOptions{URL: url, Timeout: 20 * time.Second})
			defer w.Close()
			var clients sync.WaitGroup
			for i := range 100 {
				clients.Go(func() {
					for n := range 4 {
						_, err := w.Authenticate(request(t, "/ws", "Cookie", fmt.Sprint(i, n)))
						if d := (*Denied)(nil); errors.As(err, &d) && Undecided(err) && !strings.Contains(err.Error(), "502") {
							t.Error(err)
						}
					}
				})
			}
			clients.Wait()
			if n := connections.Load(); n > MaxRequests || most.Load() > MaxRequests {
				t.Errorf("400 requests took %d connections, %d at a time", n, most.Load())
			}
		})
	}
}

// A request that waits for its turn keeps its time for the answer, and gives up in the end.
func TestW37WebhookTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{takes: 1500 * time.Millisecond}
		s.says(200, []byte(`{"sub":"ada"}`))
		w := newWebhook(t, WebhookOptions{Transport: s})
		var clients sync.WaitGroup
		var in, undecided atomic.Int32
		for i := range 5 * MaxRequests {
			clients.Go(func() {
				switch _, err := w.Authenticate(request(t, "/ws", "Cookie", fmt.Sprint(i))); {
				case err == nil:
					in.Add(1)
				case Undecided(err):
					undecided.Add(1)
				}
			})
		}
		clients.Wait()
		// Four times as many are asked one after the other, the last at 4.5 s; the rest gave up at 5 s.
		if in.Load() != 4*MaxRequests || undecided.Load() != MaxRequests {
			t.Errorf("%d got in and %d were told to come again", in.Load(), undecided.Load())
		}
	})
}
