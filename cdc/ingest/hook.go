package ingest

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"
)

// Handler answers POST of an event, or of an array of events, which is one transaction: 202 with
// {"position":"16/B374D848+7"} once they have their place among all changes, and otherwise
// {"error":{"code","message"}}, with "offset" in bytes or the number of the "event". token is what a request has to have
// in Authorization: Bearer TOKEN; without one nobody gets in.
func (in *Ingest) Handler(token string) http.Handler {
	want := sha256.Sum256([]byte(token))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			answer(w, http.StatusMethodNotAllowed, refusal{Code: "method_not_allowed", Message: "send a POST"})
			return
		}
		// Digests: how long the comparison takes tells nothing, not even the token's length.
		if got := sha256.Sum256([]byte(bearer(r))); token == "" || subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
			w.Header().Set("WWW-Authenticate", "Bearer")
			answer(w, http.StatusUnauthorized, refusal{Code: "unauthorized", Message: "send the token that the gateway has: Authorization: Bearer TOKEN"})
			return
		}
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			answer(w, http.StatusUnsupportedMediaType, refusal{Code: "unsupported_media_type", Message: "send Content-Type: application/json"})
			return
		}
		in.post(w, r)
	})
}

func bearer(r *http.Request) string {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// bodyTimeout is how long a body may take.
const bodyTimeout = 10 * time.Second

func (in *Ingest) post(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(bodyTimeout)) // where the server can
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBytes))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		answer(w, http.StatusRequestEntityTooLarge, refusal{Code: "too_large", Message: "send at most 1 MiB"})
		return
	} else if err != nil {
		answer(w, http.StatusBadRequest, refusal{Code: string(Malformed), Message: "the body cannot be read"})
		return
	}
	events, err := Parse(body)
	if err != nil {
		in.stats[Hook].errors.Add(1)
		Refuse(w, err)
		return
	}
	position, err := in.Emit(r.Context(), events...)
	if err != nil {
		Refuse(w, err)
		return
	}
	answer(w, http.StatusAccepted, accepted{position.String()})
}

type accepted struct {
	Position string `json:"position"`
}

type refusal struct {
	Code    string `json:"code"`
	Message string `json:"message"`
	Offset  *int64 `json:"offset,omitempty"`
	Event   *int   `json:"event,omitempty"`
}

// Refuse answers a request with what is wrong: an error of Parse or Emit.
func Refuse(w http.ResponseWriter, err error) {
	wrong := (*Error)(nil)
	if !errors.As(err, &wrong) {
		w.Header().Set("Retry-After", "1")
		answer(w, http.StatusServiceUnavailable, refusal{Code: "not_live", Message: "the gateway does not follow the database at the moment: try again"})
		return
	}
	r := refusal{Code: string(wrong.Kind), Message: wrong.Detail, Event: &wrong.Event}
	if wrong.Kind == Malformed {
		r.Offset, r.Event = &wrong.Offset, nil
	}
	answer(w, map[Kind]int{
		Malformed: http.StatusBadRequest, Invalid: http.StatusUnprocessableEntity,
		UnknownTable: http.StatusNotFound, WrongSource: http.StatusConflict,
	}[wrong.Kind], r)
}

func answer(w http.ResponseWriter, status int, body any) {
	if r, ok := body.(refusal); ok {
		body = struct {
			Error refusal `json:"error"`
		}{r}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that is gone needs no answer
}
