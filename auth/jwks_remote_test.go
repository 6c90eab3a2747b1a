package auth

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

const jwksURL = "https://id.example.com/jwks.json?secret=" + canary

// remote makes a JWT authenticator with the keys of an issuer, in the time of a synctest bubble.
func remote(t testing.TB, s *service, change func(*RemoteJWKSOptions)) (*RemoteJWKS, *JWT) {
	t.Helper()
	options := RemoteJWKSOptions{
		URL: jwksURL, Refresh: 10 * time.Minute, MinInterval: 10 * time.Second, Timeout: 2 * time.Second, Transport: s,
	}
	if change != nil {
		change(&options)
	}
	k, err := NewRemoteJWKS(options)
	if err != nil {
		t.Fatal(err)
	}
	return k, newJWT(t, JWTOptions{Keys: k, Algorithms: []string{"RS256", "ES256"}, Now: time.Now, AllowNoExpiry: true})
}

func TestKeysAreFetchedAndRotated(t *testing.T) {
	is := theIssuer()
	oldKey, newKey := jwkOf(t, &is.rsa.PublicKey, object{"kid": "old"}), jwkOf(t, &is.p256.PublicKey, object{"kid": "new"})
	oldToken := sign(t, "RS256", is.rsa, object{"kid": "old"}, object{"sub": "ada"})
	newToken := sign(t, "ES256", is.p256, object{"kid": "new"}, object{"sub": "ada"})
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		s.says(200, jwksOf(t, oldKey))
		keys, j := remote(t, s, nil)
		_, err := verify(t, j, oldToken)
		wantDenied(t, err, Unavailable) // before Start
		if err := keys.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = verify(t, j, oldToken)
		wantDenied(t, err, "")
		_, err = verify(t, j, newToken)
		wantDenied(t, err, UnknownKey)
		if s.asked() != 1 {
			t.Fatalf("asked %d times for a key that was sought right after the last request", s.asked())
		}

		// The issuer rotates: the first token with the new key fetches it.
		s.says(200, jwksOf(t, newKey))
		time.Sleep(10 * time.Second)
		_, err = verify(t, j, newToken)
		wantDenied(t, err, "")
		_, err = verify(t, j, oldToken)
		wantDenied(t, err, UnknownKey)
		if s.asked() != 2 {
			t.Fatalf("asked %d times", s.asked())
		}

		// Without anybody's wish it is fetched anew now and then.
		s.says(200, jwksOf(t, oldKey))
		time.Sleep(10*time.Minute + time.Second)
		synctest.Wait()
		_, err = verify(t, j, oldToken)
		wantDenied(t, err, "")
		if s.asked() != 3 {
			t.Fatalf("asked %d times", s.asked())
		}
		keys.Stop()
		_, err = verify(t, j, oldToken)
		wantDenied(t, err, Unavailable)
	})
}

func TestW21UnknownKeysMakeNoStorm(t *testing.T) {
	is := theIssuer()
	token := func(kid string) string { return sign(t, "RS256", is.rsa, object{"kid": kid}, object{"sub": "ada"}) }
	synctest.Test(t, func(t *testing.T) {
		s := &service{takes: time.Second}
		s.says(200, jwksOf(t, jwkOf(t, &is.rsa.PublicKey, object{"kid": "known"})))
		keys, j := remote(t, s, nil)
		if err := keys.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		defer keys.Stop()
		began := time.Now()
		var clients sync.WaitGroup
		for i := range 20 {
			clients.Go(func() {
				for n := range 60 {
					_, err := j.Verify(t.Context(), token(fmt.Sprintf("kid-%d-%d", i, n)))
					var denied *Denied
					if !errors.As(err, &denied) || denied.Reason != UnknownKey {
						t.Errorf("got %v", err)
					}
					time.Sleep(time.Second)
				}
			})
		}
		clients.Wait()
		if most := int(time.Since(began)/(10*time.Second)) + 2; s.asked() > most || s.asked() < 3 {
			t.Errorf("asked %d times in %s, want 3 to %d", s.asked(), time.Since(began), most)
		}
		_, err := j.Verify(t.Context(), token("known"))
		wantDenied(t, err, "")
	})
}

func TestTheIssuerIsDown(t *testing.T) {
	is := theIssuer()
	document := jwksOf(t, jwkOf(t, &is.rsa.PublicKey, object{"kid": "k"}))
	token := sign(t, "RS256", is.rsa, object{"kid": "k"}, object{"sub": "ada"})
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		keys, _ := remote(t, s, nil)
		err := keys.Start(t.Context())
		if !errors.Is(err, errNobodyThere) || strings.Contains(err.Error(), canary) {
			t.Fatalf("Start: %v", err)
		}
		keys.Stop() // nothing runs

		var failures []error
		keys, j := remote(t, s, func(o *RemoteJWKSOptions) {
			o.StartWithoutKeys = true
			o.OnError = func(err error) { failures = append(failures, err) }
		})
		if err := keys.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := keys.Start(t.Context()); err == nil {
			t.Fatal("started twice")
		}
		_, err = verify(t, j, token)
		wantDenied(t, err, Unavailable)
		s.says(200, document) // up
		time.Sleep(10 * time.Second)
		synctest.Wait()
		_, err = verify(t, j, token)
		wantDenied(t, err, "")
		s.says(500, []byte(canary)) // down again: what was known stays
		time.Sleep(time.Hour)
		synctest.Wait()
		_, err = verify(t, j, token)
		wantDenied(t, err, "")
		keys.Stop()
		keys.Stop()
		if len(failures) < 2 || len(failures) > 15 {
			t.Errorf("%d failures in an hour", len(failures))
		}
		for _, err := range failures {
			if strings.Contains(err.Error(), canary) {
				t.Errorf("an error shows the address or the answer: %v", err)
			}
		}
		// It can be started again.
		s.says(200, document)
		if err := keys.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		_, err = verify(t, j, token)
		wantDenied(t, err, "")
		keys.Stop()
	})
}

func TestWaitingForKeysEnds(t *testing.T) {
	is := theIssuer()
	token := sign(t, "RS256", is.rsa, object{"kid": "other"}, object{"sub": "ada"})
	synctest.Test(t, func(t *testing.T) {
		s := &service{}
		s.says(200, jwksOf(t, jwkOf(t, &is.rsa.PublicKey, object{"kid": "k"})))
		keys, j := remote(t, s, nil)
		if err := keys.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		s.slowsTo(time.Hour)
		time.Sleep(time.Minute)

		// With the client's patience.
		patience, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		_, err := j.Verify(patience, token)
		wantDenied(t, err, Unavailable)
		if took := time.Since(began); took != time.Second {
			t.Errorf("gave up after %s", took)
		}
		// With the request's time.
		_, err = j.Verify(t.Context(), token)
		wantDenied(t, err, Unavailable)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("gave up after %s", took)
		}
		// With Stop.
		time.Sleep(time.Minute)
		var client sync.WaitGroup
		client.Go(func() {
			if _, err := j.Verify(context.Background(), token); err == nil {
				t.Error("got in")
			}
		})
		synctest.Wait()
		keys.Stop()
		client.Wait()

		// Start gives up with its context, and leaves nothing behind.
		hurry, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := keys.Start(hurry); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Start: %v", err)
		}
	})
}

func TestStartAndStopFromEverywhere(t *testing.T) {
	is := theIssuer()
	s := &service{}
	s.says(200, jwksOf(t, jwkOf(t, &is.rsa.PublicKey, nil)))
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	keys, j := remote(t, s, nil)
	token := sign(t, "RS256", is.rsa, nil, object{"sub": "ada"})
	var everybody sync.WaitGroup
	for range 4 {
		everybody.Go(func() {
			for range 50 {
				_ = keys.Start(t.Context()) // which of them succeeds is chance
				_, _ = j.Verify(t.Context(), token)
				keys.Stop()
			}
		})
	}
	everybody.Wait()
	keys.Stop()
	if err := keys.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	_, err := j.Verify(t.Context(), token)
	wantDenied(t, err, "")
	keys.Stop()
}

func TestAnswersThatAreNoKeys(t *testing.T) {
	is := theIssuer()
	good := jwksOf(t, jwkOf(t, &is.rsa.PublicKey, nil))
	for name, s := range map[string]*service{
		"no JSON":        {status: 200, body: []byte(canary)},
		"no keys":        {status: 200, body: []byte(`{"keys":[]}`)},
		"only secrets":   {status: 200, body: jwksOf(t, jwkOf(t, is.secret, nil))},
		"not found":      {status: 404, body: good},
		"another status": {status: 203, body: good},
		"a redirect":     {status: 302, body: good, header: map[string][]string{"Location": {"http://169.254.169.254/" + canary}}},
		"too large":      {status: 200, body: append(good, []byte(strings.Repeat(" ", maxJWKS))...)},
	} {
		t.Run(name, func(t *testing.T) {
			keys, _ := remote(t, s, nil)
			err := keys.Start(t.Context())
			if err == nil {
				keys.Stop()
				t.Fatal("accepted")
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error shows the answer: %v", err)
			}
			if s.asked() != 1 {
				t.Errorf("asked %d times", s.asked())
			}
		})
	}
}

func TestSecretsAmongFetchedKeysDoNotCount(t *testing.T) {
	is := theIssuer()
	s := &service{}
	s.says(200, jwksOf(t, jwkOf(t, is.secret, object{"kid": "k"}), jwkOf(t, &is.rsa.PublicKey, nil)))
	keys, _ := remote(t, s, nil)
	if _, err := NewJWT(JWTOptions{Keys: keys, Algorithms: []string{"HS256"}}); err == nil {
		t.Error("HS256 is accepted with keys from a URL")
	}
	if err := keys.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer keys.Stop()
	if _, err := keys.candidates(t.Context(), "k", "HS256"); err == nil {
		t.Error("a secret is used")
	}
}

func TestAddressesThatAreNotAsked(t *testing.T) {
	for _, address := range []string{
		"", "id.example.com/jwks.json", "ftp://id.example.com/", "https://", "file:///etc/passwd",
		"http://id.example.com/jwks.json", "http://127.0.0.1.example.com/", "http://10.0.0.1/", "https://user:" + canary + "@id.example.com/",
		"http://localhost.example.com/", "https://id.example.com/%zz" + canary,
	} {
		_, err := NewRemoteJWKS(RemoteJWKSOptions{URL: address})
		if err == nil {
			t.Errorf("%s is accepted", address)
		} else if strings.Contains(err.Error(), canary) {
			t.Errorf("the error shows a secret: %v", err)
		}
	}
	for _, options := range []RemoteJWKSOptions{
		{URL: "https://id.example.com/jwks.json"}, {URL: "http://localhost:8080/"}, {URL: "http://127.0.0.1:8080/"},
		{URL: "http://[::1]:8080/"}, {URL: "http://id:8080/", AllowPlainHTTP: true},
	} {
		if _, err := NewRemoteJWKS(options); err != nil {
			t.Errorf("%s: %v", options.URL, err)
		}
	}
	if _, err := NewRemoteJWKS(RemoteJWKSOptions{URL: jwksURL, Refresh: time.Second}); err == nil {
		t.Error("a refresh more frequent than the least interval is accepted")
	}
}
