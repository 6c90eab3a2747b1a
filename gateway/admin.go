package gateway

import (
	"encoding/json"
	"net/http"
	"net/http/pprof"
)

// Admin is what the operator's handler shows. It belongs on a listener of its own, never on the clients'.
type Admin struct {
	// Ready tells whether clients should be sent here, and if not, why.
	Ready func() (ok bool, why string)
	// Status returns a value to show as JSON.
	Status  func() any
	Metrics http.Handler
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
		mux.HandleFunc("/debug/pprof/cmdline", pprof.Cmdline)
		mux.HandleFunc("/debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	return mux
}

func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(text + "\n"))
}
