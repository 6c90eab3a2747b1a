package auth

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func newWebhook(t testing.TB, options WebhookOptions) *Webhook {
	t.Helper()
	if options.URL == "" {
		options.URL = "https://app.example.com/whoami?secret=" + canary
	}
	if options.Headers == nil {
		options.Headers = []string{"cookie", "Authorization"}
	}
	w, err := NewWebhook(options)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestAWebhookIsToldTheListedHeaders(t *testing.T) {
	const answer = `{"sub":"ada","org":{"id":9007199254740993}}`
	s := &service{}
	s.says(200, []byte(answer))
	r := request(t, "/ws", "Cookie", "session=1", "Authorization", "Bearer a", "X-Other", "secret", "Cookie", "b=2")

	p, err := newWebhook(t, WebhookOptions{Transport: s}).Authenticate(r)
	wantDenied(t, err, "")
	if id, _ := p.Claim("org", "id"); id != int64(9007199254740993) {
		t.Errorf("org.id is %v", id)
	}
	var posted map[string]map[string][]string
	if err := json.Unmarshal([]byte(s.bodies[0]), &posted); err != nil {
		t.Fatal(err)
	}
	want := map[string]map[string][]string{"headers": {"Cookie": {"session=1", "b=2"}, "Authorization": {"Bearer a"}}}
	if !reflect.DeepEqual(posted, want) || s.requests[0].Method != http.MethodPost || s.requests[0].Header.Get("Cookie") != "" {
		t.Errorf("it was told %v", posted)
	}

	_, err = newWebhook(t, WebhookOptions{Transport: s, Method: http.MethodGet}).Authenticate(r)
	wantDenied(t, err, "")
	got := s.requests[1]
	if got.Method != http.MethodGet || got.Header.Get("Authorization") != "Bearer a" || len(got.Header["Cookie"]) != 2 ||
		got.Header.Get("X-Other") != "" || s.bodies[1] != "" {
		t.Errorf("it was told %v %v %q", got.Method, got.Header, s.bodies[1])
	}

	// Without any of them nobody is asked.
	_, err = newWebhook(t, WebhookOptions{Transport: s}).Authenticate(request(t, "/ws", "X-Other", "secret"))
	wantDenied(t, err, NoCredentials)
	if s.asked() != 2 {
		t.Errorf("asked %d times", s.asked())
	}
}

func TestW23AnswersOfAWebhook(t *testing.T) {
	past, future := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	exp := func(at time.Time) string { return string(must(json.Marshal(at.Unix()))) }
	for name, c := range map[string]struct {
		status int
		body   string
		want   Reason
	}{
		"claims":             {200, `{"sub":"ada"}`, ""},
		"no claims":          {200, `{}`, ""},
		"exp ahead":          {200, `{"exp":` + exp(future) + `}`, ""},
		"exp past":           {200, `{"exp":` + exp(past) + `}`, Expired},
		"exp a string":       {200, `{"exp":"` + exp(future) + `"}`, Unavailable},
		"a number too large": {200, `{"n":1e999}`, Unavailable},
		"an array":           {200, `[]`, Unavailable},
		"null":               {200, `null`, Unavailable},
		"empty":              {200, ``, Unavailable},
		"text":               {200, `ok ` + canary, Unavailable},
		"two objects":        {200, `{}{}`, Unavailable},
		"just small enough":  {200, `{"a":"` + strings.Repeat("x", maxWebhookAnswer-8) + `"}`, ""},
		"too large":          {200, `{"a":"` + strings.Repeat("x", maxWebhookAnswer-7) + `"}`, Unavailable},
		"created":            {201, `{"sub":"ada"}`, Unavailable},
		"no content":         {204, ``, Unavailable},
		"a redirect":         {302, `{"sub":"ada"}`, Unavailable},
		"a kept redirect":    {307, `{"sub":"ada"}`, Unavailable},
		"unauthorized":       {401, `{"sub":"ada"}`, Forbidden},
		"forbidden":          {403, `{"sub":"ada"}`, Forbidden},
		"an error":           {500, canary, Unavailable},
		"nobody":             {0, ``, Unavailable},
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{}
			s.says(c.status, []byte(c.body), "Location", "http://169.254.169.254/")
			_, err := newWebhook(t, WebhookOptions{Transport: s}).Authenticate(request(t, "/ws", "Cookie", canary))
			wantDenied(t, err, c.want)
			if err != nil && strings.Contains(err.Error(), canary) {
				t.Errorf("the error shows what was asked or answered: %v", err)
			}
			if s.asked() != 1 {
				t.Errorf("asked %d times", s.asked())
			}
		})
	}
	_, err := newWebhook(t, WebhookOptions{Transport: endless{}}).Authenticate(request(t, "/ws", "Cookie", "a"))
	wantDenied(t, err, Unavailable)
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestW23AWebhookHasNoMoreTimeThanItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{takes: time.Hour}
		s.says(200, []byte(`{"sub":"ada"}`))
		began := time.Now()
		_, err := newWebhook(t, WebhookOptions{Transport: s}).Authenticate(request(t, "/ws", "Cookie", "a"))
		wantDenied(t, err, Unavailable)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("it took %s", took)
		}
	})
}

func TestAnswersHoldAsLongAsTheySay(t *testing.T) {
	for name, c := range map[string]struct {
		control  string
		cacheFor time.Duration
		claims   string
		want     time.Duration
	}{
		"not at all":            {"", 0, `{}`, 0},
		"as configured":         {"", 30 * time.Second, `{}`, 30 * time.Second},
		"as it says":            {"private, max-age=60", 30 * time.Second, `{}`, time.Minute},
		"shorter":               {"max-age=5", 30 * time.Second, `{}`, 5 * time.Second},
		"zero":                  {"max-age=0", 30 * time.Second, `{}`, 0},
		"no-store":              {"No-Store, max-age=60", 30 * time.Second, `{}`, 0},
		"no-cache":              {"no-cache", 30 * time.Second, `{}`, 0},
		"nonsense":              {"max-age=soon", 30 * time.Second, `{}`, 0},
		"twice":                 {"max-age=5, max-age=6", 30 * time.Second, `{}`, 0},
		"forever":               {"max-age=2147483647", 0, `{}`, time.Hour},
		"negative":              {"max-age=-5", 30 * time.Second, `{}`, 0},
		"until the claims end":  {"max-age=60", 0, `{"exp":946684820}`, 20 * time.Second},
		"with another name":     {"s-maxage=60", 30 * time.Second, `{}`, 30 * time.Second},
		"configured above hour": {"", 2 * time.Hour, `{}`, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // it begins at 946684800
				s := &service{}
				s.says(200, []byte(c.claims), "Cache-Control", c.control)
				w := newWebhook(t, WebhookOptions{Transport: s, CacheFor: c.cacheFor})
				ask := func() int {
					_, err := w.Authenticate(request(t, "/ws", "Cookie", "a"))
					if err != nil {
						wantDenied(t, err, Expired)
					}
					return s.asked()
				}
				ask()
				if c.want > 0 {
					time.Sleep(c.want - time.Nanosecond)
					if ask() != 1 {
						t.Fatal("asked again too early")
					}
					time.Sleep(time.Nanosecond)
				}
				if ask() != 2 {
					t.Fatal("not asked again")
				}
			})
		})
	}
}

func TestRefusalsAreNotRemembered(t *testing.T) {
	s := &service{}
	w := newWebhook(t, WebhookOptions{Transport: s, CacheFor: time.Hour})
	for _, status := range []int{0, 500, 401} {
		s.says(status, nil, "Cache-Control", "max-age=600")
		if _, err := w.Authenticate(request(t, "/ws", "Cookie", "a")); err == nil {
			t.Fatal("got in")
		}
	}
	s.says(200, []byte(`{"sub":"ada"}`))
	_, err := w.Authenticate(request(t, "/ws", "Cookie", "a"))
	wantDenied(t, err, "")
}

func TestAnAnswerIsForTheSameHeadersOnly(t *testing.T) {
	s := &service{}
	w := newWebhook(t, WebhookOptions{Transport: s, CacheFor: time.Hour})
	// What might look the same when it is put together carelessly.
	for i, headers := range [][]string{
		{"Cookie", "a"}, {"Authorization", "a"}, {"Cookie", "a", "Authorization", "b"}, {"Cookie", "ab"},
		{"Cookie", "a", "Cookie", "b"}, {"Cookie", "a", "Cookie", "Authorization", "Cookie", "1", "Cookie", "b"},
		{"Cookie", "b", "Authorization", "a"}, {"Cookie", ""}, {"Cookie", "", "Authorization", ""}, {"Cookie", "A"},
	} {
		s.says(200, must(json.Marshal(object{"sub": strings.Join(headers, "|")})))
		for range 2 {
			p, err := w.Authenticate(request(t, "/ws", headers...))
			wantDenied(t, err, "")
			if p.Subject() != strings.Join(headers, "|") {
				t.Errorf("%q got the answer for %q", headers, p.Subject())
			}
		}
		if s.asked() != i+1 {
			t.Errorf("%q: asked %d times", headers, s.asked())
		}
	}
}

func TestClientsThatAskTheSameAtOnceAskOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &service{takes: time.Second}
		s.says(200, []byte(`{"sub":"ada"}`))
		w := newWebhook(t, WebhookOptions{Transport: s})
		var in atomic.Int32
		var clients sync.WaitGroup
		for range 50 {
			clients.Go(func() {
				if _, err := w.Authenticate(request(t, "/ws", "Cookie", "a")); err == nil {
					in.Add(1)
				}
			})
		}
		clients.Wait()
		if s.asked() != 1 || in.Load() != 50 {
			t.Errorf("%d got in after %d questions", in.Load(), s.asked())
		}
	})
}

// TestW23AWebhookOverTheNetwork is the whole way, redirects and kept connections included.
func TestW23AWebhookOverTheNetwork(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	var elsewhere atomic.Int32
	metadata := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		elsewhere.Add(1)
		_, _ = w.Write([]byte(`{"sub":"root"}`))
	}))
	defer metadata.Close()
	app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Header.Get("Cookie") {
		case "session=ada":
			_, _ = w.Write([]byte(`{"sub":"ada"}`))
		case "session=redirect":
			http.Redirect(w, r, metadata.URL, http.StatusTemporaryRedirect)
		default:
			w.WriteHeader(http.StatusUnauthorized)
		}
	}))
	defer app.Close()
	w := newWebhook(t, WebhookOptions{URL: app.URL, Method: http.MethodGet})
	defer w.Close()
	for cookie, want := range map[string]Reason{"session=ada": "", "session=eve": Forbidden, "session=redirect": Unavailable} {
		_, err := w.Authenticate(request(t, "/ws", "Cookie", cookie))
		wantDenied(t, err, want)
	}
	if elsewhere.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestWebhooksThatNobodyShouldStartWith(t *testing.T) {
	const address = "https://app.example.com/whoami"
	for name, options := range map[string]WebhookOptions{
		"no address":      {Headers: []string{"Cookie"}},
		"plain HTTP":      {URL: "http://app.example.com/", Headers: []string{"Cookie"}},
		"no headers":      {URL: address},
		"Connection":      {URL: address, Headers: []string{"connection"}},
		"Host":            {URL: address, Headers: []string{"Host"}},
		"Accept-Encoding": {URL: address, Headers: []string{"accept-encoding"}},
		"PUT":             {URL: address, Headers: []string{"Cookie"}, Method: http.MethodPut},
		"no time":         {URL: address, Headers: []string{"Cookie"}, Timeout: -1},
	} {
		if _, err := NewWebhook(options); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
