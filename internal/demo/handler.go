package demo

import (
	"embed"
	"io/fs"
	"net/http"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
)

//go:embed page
var page embed.FS

// Handler serves the page at / and its data under /api/. The pool's database is one that Setup has seen.
//
//	GET    /api/conversations                 all conversations with their members
//	GET    /api/conversations/{id}/messages   the last 200 messages, oldest first
//	POST   /api/messages                      {"conversation_id", "author_id", "body"}: writes one, gives its id
//	PATCH  /api/messages/{id}                 {"body"} edits it, {"conversation_id"} moves it
//	DELETE /api/messages/{id}                 deletes it
//
// Errors are JSON, {"error": "..."}, with a status. Writes from pages of other origins are refused.
func Handler(pool *pgxpool.Pool, log *zap.Logger) http.Handler {
	a := &api{pool: pool, log: log}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/conversations", a.handle(a.conversations))
	mux.HandleFunc("GET /api/conversations/{id}/messages", a.handle(a.messages))
	mux.HandleFunc("POST /api/messages", a.handle(a.write))
	mux.HandleFunc("PATCH /api/messages/{id}", a.handle(a.change))
	mux.HandleFunc("DELETE /api/messages/{id}", a.handle(a.remove))
	mux.HandleFunc("/api/", a.handle(func(*http.Request) (reply, error) {
		return reply{}, &refusal{http.StatusNotFound, "there is nothing here, or not with this method"}
	}))
	mux.Handle("/", pageFiles())

	sameOrigin := http.NewCrossOriginProtection()
	sameOrigin.SetDenyHandler(a.handle(func(*http.Request) (reply, error) {
		return reply{}, &refusal{http.StatusForbidden, "only the demo's own page may write"}
	}))
	return withHeaders(sameOrigin.Handler(mux))
}

func pageFiles() http.Handler {
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return http.FileServerFS(files)
}

// withHeaders tells the browser to load and run nothing but the page's own files, and to ask for them anew each time:
// they change with the program.
func withHeaders(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
			"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}
