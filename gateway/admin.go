package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
)

// Admin is what the operator's handler shows. It asks nobody who they are, and answers no Host but its own. It belongs on a
// listener of its own, never on the clients'.
type Admin struct {
	// Ready tells whether clients should be sent here, and if not, why.
	Ready func() (ok bool, why string)
	// Status returns a value to show as JSON.
	Status  func() any
	Metrics http.Handler
	// Hosts are those that are answered.
	Hosts Hosts
	// Refusals counts and logs requests for others.
	Refusals *Refusals
	// Profiling adds /debug/pprof/.
	Profiling bool
}

// Handler serves /healthz (the process answers), /readyz (clients should come here), /metrics (for Prometheus) and
// /status (for people).
func (a Admin) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if ok, why := a.Ready(); !ok {
			answer(w, http.StatusServiceUnavailable, why)
			return
		}
		answer(w, http.StatusOK, "ready")
	})
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(a.Status())
	})
	mux.Handle("GET /metrics", a.Metrics)
	if a.Profiling {
		mux.HandleFunc("/debug/pprof/", pprof.Index)
		// Not the command line: it may hold the database's password.
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	hosts := a.Hosts.Check(a.Refusals, mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// Load balancers ask so, and no browser does: HTTP/1.0 may come without a Host (RFC 1945, section 10).
		if r.Host == "" && !r.ProtoAtLeast(1, 1) {
			mux.ServeHTTP(w, r)
			return
		}
		hosts.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}
