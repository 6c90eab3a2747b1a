package gateway

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"go.uber.org/zap"
)

func TestAdmin(t *testing.T) {
	ready := false
	admin := Admin{
		Refusals: NewRefusals(zap.NewNop()),
		Ready:    func() (bool, string) { return ready, "the slot is being made" },
		Status:   func() any { return map[string]int{"connections": 3} },
		Metrics:  http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("reactive_connections 3\n")) }),
	}
	ask := func(method, path string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		admin.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, "http://127.0.0.1:9090"+path, http.NoBody))
		return w
	}
	for _, tc := range []struct {
		path        string
		ready       bool
		status      int
		contentType string
		body        string
	}{
		{"/healthz", false, 200, "text/plain; charset=utf-8", "ok\n"},
		{"/readyz", false, 503, "text/plain; charset=utf-8", "the slot is being made\n"},
		{"/readyz", true, 200, "text/plain; charset=utf-8", "ready\n"},
		{"/status", true, 200, "application/json", "{\n  \"connections\": 3\n}\n"},
		{"/metrics", true, 200, "text/plain; charset=utf-8", "reactive_connections 3\n"},
	} {
		ready = tc.ready
		w := ask(http.MethodGet, tc.path)
		if w.Code != tc.status || w.Body.String() != tc.body || w.Header().Get("Content-Type") != tc.contentType {
			t.Errorf("%s: %d %s %q", tc.path, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
		if w := ask(http.MethodPost, tc.path); w.Code != http.StatusMethodNotAllowed {
			t.Errorf("POST %s: %d", tc.path, w.Code)
		}
	}
	for _, path := range []string{"/", "/nothing"} {
		if w := ask(http.MethodGet, path); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d", path, w.Code)
		}
	}

	// Profiles show memory: only who asks for them gets them.
	for _, profiling := range []bool{false, true} {
		admin.Profiling = profiling
		want := http.StatusNotFound
		if profiling {
			want = http.StatusOK
		}
		for _, path := range []string{"/debug/pprof/", "/debug/pprof/symbol", "/debug/pprof/goroutine?debug=1"} {
			if w := ask(http.MethodGet, path); w.Code != want {
				t.Errorf("profiling %v: %s: %d, want %d", profiling, path, w.Code, want)
			}
		}
	}
	// The command line holds what people put there, the database's URL for one.
	if w := ask(http.MethodGet, "/debug/pprof/cmdline"); w.Code != http.StatusNotFound || strings.Contains(w.Body.String(), "test") {
		t.Errorf("/debug/pprof/cmdline: %d %q", w.Code, w.Body)
	}
	if w := ask(http.MethodGet, "/debug/pprof/"); !strings.Contains(w.Body.String(), "goroutine") {
		t.Errorf("%s", w.Body)
	}
}
