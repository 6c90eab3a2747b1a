package ingest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/cdc/ingest"
)

const token = "a token of some length"

func TestHook(t *testing.T) {
	const good = `{"type":"afterDelete",` + message + `,"primaryKey":{"id":1}}`
	type request = *http.Request
	for name, c := range map[string]struct {
		change func(request)
		body   string
		live   bool
		status int
		answer string
	}{
		"accepted":       {nil, good, true, 202, `{"position":"0/100+1"}`},
		"malformed":      {nil, `{"type":}`, true, 400, `{"error":{"code":"malformed","message":"not JSON in UTF-8","offset":8}}`},
		"no token":       {func(r request) { r.Header.Del("Authorization") }, good, true, 401, `{"error":{"code":"unauthorized","message":"send the token that the gateway has: Authorization: Bearer TOKEN"}}`},
		"another token":  {func(r request) { r.Header.Set("Authorization", "Bearer "+token+"x") }, good, true, 401, `{"error":{"code":"unauthorized",`},
		"another scheme": {func(r request) { r.Header.Set("Authorization", "Basic "+token) }, good, true, 401, `{"error":{"code":"unauthorized",`},
		"unknown table":  {nil, `{"schemaName":"public","tableName":"orders"}`, true, 404, `{"error":{"code":"unknown_table","message":"table \"public\".\"orders\" is not served: give it an entry under reactive with source: hook","event":0}}`},
		"GET":            {func(r request) { r.Method = http.MethodGet }, good, true, 405, `{"error":{"code":"method_not_allowed",`},
		"captured":       {nil, `{"schemaName":"public","tableName":"conversation"}`, true, 409, `{"error":{"code":"wrong_source","message":"table \"public\".\"conversation\" is captured from the log, so its changes reach clients by themselves: do not send them, or take it out of the publication and give its entry under reactive the source hook","event":0}}`},
		"too large":      {nil, strings.Repeat(" ", ingest.MaxBytes) + good, true, 413, `{"error":{"code":"too_large",`},
		"a form":         {func(r request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }, good, true, 415, `{"error":{"code":"unsupported_media_type",`},
		"invalid":        {nil, `[` + good + `,{"type":"x",` + message + `}]`, true, 422, `{"error":{"code":"invalid","message":"of public.message: type is none of afterInsert, afterUpdate and afterDelete","event":1}}`},
		"not live":       {nil, good, false, 503, `{"error":{"code":"not_live",`},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			f.live = c.live
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/ingest", strings.NewReader(c.body))
			r.Header.Set("Authorization", "Bearer "+token)
			r.Header.Set("Content-Type", "application/json; charset=utf-8")
			if c.change != nil {
				c.change(r)
			}
			w := httptest.NewRecorder()
			f.Handler(token).ServeHTTP(w, r)
			if w.Code != c.status || !strings.HasPrefix(w.Body.String(), c.answer) {
				t.Errorf("got  %d %s\nwant %d %s", w.Code, w.Body, c.status, c.answer)
			}
			if got := len(f.transactions); (got == 1) != (c.status == http.StatusAccepted) {
				t.Errorf("%d transactions were delivered", got)
			}
		})
	}
}
