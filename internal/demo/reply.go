package demo

import (
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap"
)

// api answers the requests for data.
type api struct {
	pool *pgxpool.Pool
	log  *zap.Logger
}

// reply is what a request that went well is answered with. A nil body makes an empty answer.
type reply struct {
	status int
	body   any
}

// refusal is an error that is the client's. Its text is for people.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

// bodyLimit is the size of a request's body in bytes: more than a message takes even where every character is escaped.
const bodyLimit = 32 << 10

// handle makes an http.HandlerFunc of a function that returns its answer. Errors other than refusals are ours: they are
// logged, and the client learns no more than that.
func (a *api) handle(answer func(*http.Request) (reply, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, bodyLimit)
		out, err := answer(r)
		var refused *refusal
		switch {
		case errors.As(err, &refused):
			out = failure(refused.status, refused.text)
		case err != nil && r.Context().Err() != nil:
			return // nobody is there to answer
		case err != nil:
			a.log.Error("answer a request of the demo", zap.String("method", r.Method), zap.String("path", r.URL.Path), zap.Error(err))
			out = failure(http.StatusInternalServerError, "the demo could not do that, its log says why")
		}
		if out.body == nil {
			w.WriteHeader(out.status)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(out.status)
		_ = json.NewEncoder(w).Encode(out.body) // fails when the client has gone
	}
}

func failure(status int, text string) reply {
	return reply{status, map[string]string{"error": text}}
}

// read reads the request's JSON into v.
func read(r *http.Request, v any) error {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return &refusal{http.StatusUnsupportedMediaType, "the content type must be application/json"}
	}
	body := json.NewDecoder(r.Body)
	body.DisallowUnknownFields()
	err := body.Decode(v)
	if err == nil {
		if _, err = body.Token(); errors.Is(err, io.EOF) {
			return nil
		}
	}
	var tooBig *http.MaxBytesError
	if errors.As(err, &tooBig) {
		return &refusal{http.StatusRequestEntityTooLarge, "the request is too big"}
	}
	return &refusal{http.StatusBadRequest, "the request is not the JSON it should be"}
}

// pathID reads the id in the request's path.
func pathID(r *http.Request) (int64, error) {
	id, err := strconv.ParseInt(r.PathValue("id"), 10, 64)
	if err != nil {
		return 0, &refusal{http.StatusNotFound, "there is no such id"}
	}
	return id, nil
}
