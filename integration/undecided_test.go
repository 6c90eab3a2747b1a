package integration_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// said is a service whose answers a test sets.
type said struct {
	*httptest.Server
	status atomic.Int32
	body   atomic.Value
}

func newSaid(t *testing.T) *said {
	t.Helper()
	s := &said{}
	s.says(http.StatusServiceUnavailable, "")
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(int(s.status.Load()))
		_, _ = w.Write([]byte(s.body.Load().(string)))
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *said) says(status int, body string) {
	s.body.Store(body)
	s.status.Store(int32(status))
}

// A client that is told 4401 must not come back with its token. Only a service that said no may have that told.
func TestW30AuthenticateNoAnswerOfAWebhookIsNotNo(t *testing.T) {
	onAnyServer(t)
	s := newSaid(t)
	g := serve(t, newDatabase(t, conversations, messages), fmt.Sprintf("authenticate:\n  webhook: {url: %q, headers: [Cookie]}\n", s.URL)+chat)
	connectNow := func() *client { return connectWith(t, g, "", http.Header{"Cookie": {"session=canary-7f3a"}}) }
	for _, c := range []struct {
		status int
		body   string
	}{{502, ""}, {503, ""}, {429, ""}, {404, ""}, {500, "canary-7f3a"}, {200, "<html>canary-7f3a"}, {200, `{"sub":`}, {302, ""}} {
		s.says(c.status, c.body)
		connectNow().expectClose(1013, "try again later")
	}
	for _, status := range []int{401, 403} {
		s.says(status, "")
		connectNow().expectClose(4401, "unauthorized")
	}
	s.says(200, `{"sub":"ada"}`)
	connectNow().subscribe("message", "conversation_id", "1")
	s.Close()
	connectNow().expectClose(1013, "try again later")
	if line := g.awaitLogged("refused"); line["reason"] != "undecided" || !strings.Contains(fmt.Sprint(line["error"]), "502") {
		t.Errorf("the log says %v", line)
	}
	_, metrics := g.ask("/metrics")
	for _, want := range []string{`reactive_refusals_total{reason="undecided"} 9`, `reactive_refusals_total{reason="token"} 2`} {
		if !strings.Contains(metrics, want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if strings.Contains(g.stderr.String(), "canary-7f3a") {
		t.Error("the log has a cookie, or what the service said")
	}
}

// While nobody ever said which keys there are, nobody can be refused, and clients should not be sent here.
func TestW30AuthenticateNoKeysYet(t *testing.T) {
	onAnyServer(t)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	token := func(kid string) string {
		token := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": "ada", "exp": time.Now().Add(time.Hour).Unix()})
		token.Header["kid"] = kid
		text, err := token.SignedString(private)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	s := newSaid(t)
	g := start(t, newDatabase(t, conversations, messages), fmt.Sprintf("authenticate:\n  jwt: {jwksUrl: %q, algorithms: [Ed25519]}\n", s.URL+"/keys?secret=canary-7f3a")+chat)
	g.awaitServing()
	g.awaitReadiness(http.StatusServiceUnavailable, "no signing keys yet")
	connectAs(t, g, token("k")).expectClose(1013, "try again later")
	host := strings.TrimPrefix(s.URL, "http://")
	if _, status := g.ask("/status"); !strings.Contains(status, `"no signing keys yet"`) || !strings.Contains(status, host) || !strings.Contains(status, "503") || strings.Contains(status, "canary") {
		t.Errorf("/status says %s", status)
	}
	if line := g.awaitLogged("fetch signing keys: trying again; without any, nobody gets in"); line["level"] != "warn" {
		t.Errorf("the log says %v", line)
	}

	s.says(200, fmt.Sprintf(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"Ed25519","kid":"k","x":%q}]}`, base64.RawURLEncoding.EncodeToString(public)))
	g.awaitReady()
	c := connectAs(t, g, token("k"))
	c.subscribe("message", "conversation_id", "1")
	if _, status := g.ask("/status"); strings.Contains(status, "signing keys") {
		t.Errorf("/status says %s", status)
	}
	connectAs(t, g, token("other")).expectClose(4401, "unauthorized") // the issuer was just asked
	s.Close()
	connectAs(t, g, token("k")).subscribe("message", "conversation_id", "1") // what was known stays
	if strings.Contains(g.stderr.String(), "canary") {
		t.Error("the log has the query of the address")
	}
}

// The message names the key that admits it, and where it goes.
func TestW36PlainHTTPHasAKey(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages)
	for _, c := range []struct{ yaml, place, section string }{
		{"authenticate:\n  jwt: {jwksUrl: 'http://app:3000/keys', algorithms: [RS256]}\n", "reactive.yaml:2:18: ", "jwt"},
		{"authenticate:\n  webhook: {url: 'http://app:3000/me', headers: [Cookie]}\n", "reactive.yaml:2:18: ", "webhook"},
		{"reactive:\n  - table: message\n    authorize: {webhook: 'http://10.0.0.7/may'}\n", "reactive.yaml:3:26: ", "authorize"},
	} {
		g := start(t, database, c.yaml)
		if code := g.wait(); code != 2 || !strings.Contains(g.stderr.String(), c.place) ||
			!strings.Contains(g.stderr.String(), "allowPlainHttp: true to "+c.section) {
			t.Errorf("exit code %d: %s", code, g.stderr)
		}
	}
	g := start(t, database, "authenticate:\n  jwt: {jwksUrl: 'http://app.invalid:3000/keys', algorithms: [RS256], allowPlainHttp: true}\n"+
		strings.Replace(chat, "scopes: [conversation_id]", "scopes: [conversation_id]\n    authorize: {webhook: 'http://app.invalid:3000/may', allowPlainHttp: true}", 1))
	g.awaitServing()
	g.awaitReadiness(http.StatusServiceUnavailable, "no signing keys yet")
}
