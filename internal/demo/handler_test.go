package demo_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/zap/zaptest"

	"github.com/reactive-gw/reactive-gw/internal/demo"
	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestMain(m *testing.M) { pgtest.Main(m) }

type row struct {
	ID             int64   `json:"id"`
	ConversationID int64   `json:"conversation_id"`
	AuthorID       int64   `json:"author_id"`
	Body           string  `json:"body"`
	CreatedAt      string  `json:"created_at"`
	EditedAt       *string `json:"edited_at"`
}

func TestConversationsComeWithTheirMembers(t *testing.T) {
	site := serve(t)
	var list []struct {
		ID      int64
		Title   string
		About   string
		Members []struct {
			ID   int64
			Name string
		}
	}
	site.get("/api/conversations", &list)
	if len(list) != 3 || list[0].Title != "Launch day" || list[0].About == "" || len(list[0].Members) != 3 || list[0].Members[0].Name != "Mira" {
		t.Errorf("conversations: %+v", list)
	}
}

func TestConversationWithoutMembersIsListed(t *testing.T) {
	site := serve(t)
	pgtest.Exec(t, site.database, "insert into conversation (title, about) values ('Quiet', 'Nobody yet')")
	var list []map[string]json.RawMessage
	site.get("/api/conversations", &list)
	if got := string(list[3]["members"]); got != "[]" {
		t.Errorf("members of a conversation without any: %s, want []", got)
	}
}

func TestMessagesAreTheRowsOfToJSONB(t *testing.T) {
	site := serve(t)
	list := site.messages(1)
	if len(list) != 6 || list[0].ID >= list[1].ID || list[0].CreatedAt == "" || list[0].EditedAt != nil {
		t.Fatalf("messages: %+v", list)
	}
	if got := site.messages(99); len(got) != 0 {
		t.Errorf("messages of no conversation: %+v", got)
	}
}

func TestListIsTheLast200(t *testing.T) {
	site := serve(t)
	pgtest.Exec(t, site.database, `insert into message (conversation_id, author_id, body)
		select 3, 7, 'Message ' || n from generate_series(1, 250) n`)
	list := site.messages(3)
	if len(list) != 200 || list[199].Body != "Message 250" || list[0].Body != "Message 51" {
		t.Errorf("%d messages, from %q to %q", len(list), list[0].Body, list[len(list)-1].Body)
	}
}

func TestMessageIsWrittenEditedMovedAndDeleted(t *testing.T) {
	site := serve(t)
	const odd = `"); drop table message; -- <b>ünïcödé</b> 🎂`
	var written struct{ ID int64 }
	site.send("POST", "/api/messages", map[string]any{"conversation_id": 2, "author_id": 4, "body": odd}, http.StatusCreated, &written)
	path := fmt.Sprintf("/api/messages/%d", written.ID)
	if got := last(site.messages(2)); got.ID != written.ID || got.Body != odd || got.AuthorID != 4 {
		t.Errorf("written: %+v", got)
	}

	site.send("PATCH", path, map[string]any{"body": "Cake, then"}, http.StatusNoContent, nil)
	if got := last(site.messages(2)); got.Body != "Cake, then" || got.EditedAt == nil {
		t.Errorf("edited: %+v", got)
	}

	site.send("PATCH", path, map[string]any{"conversation_id": 3}, http.StatusNoContent, nil)
	if got := last(site.messages(2)); got.ID == written.ID {
		t.Errorf("moved, and still in its old conversation: %+v", got)
	}
	if got := last(site.messages(3)); got.ID != written.ID || got.Body != "Cake, then" {
		t.Errorf("moved: %+v", got)
	}

	site.send("DELETE", path, nil, http.StatusNoContent, nil)
	if got := last(site.messages(3)); got.ID == written.ID {
		t.Errorf("deleted, and still there: %+v", got)
	}
}

func TestRefusals(t *testing.T) {
	site := serve(t)
	long := strings.Repeat("é", 2001)
	for _, c := range []struct {
		name, method, path, body string
		status                   int
	}{
		{"no such message", "PATCH", "/api/messages/9999", `{"body": "x"}`, http.StatusNotFound},
		{"delete no such message", "DELETE", "/api/messages/9999", ``, http.StatusNotFound},
		{"id is no number", "DELETE", "/api/messages/first", ``, http.StatusNotFound},
		{"id beyond bigint", "DELETE", "/api/messages/9223372036854775808", ``, http.StatusNotFound},
		{"no such address", "GET", "/api/orders", ``, http.StatusNotFound},
		{"no such method", "PUT", "/api/messages/1", `{}`, http.StatusNotFound},
		{"move to nowhere", "PATCH", "/api/messages/1", `{"conversation_id": 99}`, http.StatusUnprocessableEntity},
		{"nothing to change", "PATCH", "/api/messages/1", `{}`, http.StatusUnprocessableEntity},
		{"empty edit", "PATCH", "/api/messages/1", `{"body": " \n"}`, http.StatusUnprocessableEntity},
		{"empty message", "POST", "/api/messages", `{"conversation_id": 1, "author_id": 1, "body": ""}`, http.StatusUnprocessableEntity},
		{"NUL", "POST", "/api/messages", `{"conversation_id": 1, "author_id": 1, "body": "a\u0000b"}`, http.StatusUnprocessableEntity},
		{"long message", "POST", "/api/messages", `{"conversation_id": 1, "author_id": 1, "body": "` + long + `"}`, http.StatusUnprocessableEntity},
		{"stranger", "POST", "/api/messages", `{"conversation_id": 1, "author_id": 4, "body": "x"}`, http.StatusUnprocessableEntity},
		{"too big", "POST", "/api/messages", `{"body": "` + strings.Repeat("a", 40<<10) + `"}`, http.StatusRequestEntityTooLarge},
		{"no JSON", "POST", "/api/messages", `body=x`, http.StatusBadRequest},
		{"nothing", "POST", "/api/messages", ``, http.StatusBadRequest},
		{"two values", "POST", "/api/messages", `{"conversation_id": 1, "author_id": 1, "body": "x"} {}`, http.StatusBadRequest},
		{"unknown field", "PATCH", "/api/messages/1", `{"id": 7}`, http.StatusBadRequest},
	} {
		t.Run(c.name, func(t *testing.T) {
			expectRefusal(t, site.request(c.method, c.path, c.body, nil), c.status)
		})
	}
	if got := len(site.messages(1)); got != 6 {
		t.Errorf("%d messages after refusals only, want the 6 seeded", got)
	}
}

func TestLongestMessageIsTaken(t *testing.T) {
	site := serve(t)
	body := strings.Repeat("é", 2000)
	site.send("POST", "/api/messages", map[string]any{"conversation_id": 1, "author_id": 1, "body": body}, http.StatusCreated, nil)
}

func TestOtherOriginsMayNotWrite(t *testing.T) {
	site := serve(t)
	for name, header := range map[string]http.Header{
		"by Sec-Fetch-Site": {"Sec-Fetch-Site": {"cross-site"}},
		"by Origin":         {"Origin": {"https://elsewhere.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			expectRefusal(t, site.request("DELETE", "/api/messages/1", "", header), http.StatusForbidden)
		})
	}
	form := http.Header{"Content-Type": {"text/plain"}} // what a form of another site can send without asking
	expectRefusal(t, site.request("POST", "/api/messages", `{"conversation_id": 1, "author_id": 1, "body": "x"}`, form), http.StatusUnsupportedMediaType)
	own := http.Header{"Origin": {site.URL}, "Sec-Fetch-Site": {"same-origin"}}
	if got := site.request("DELETE", "/api/messages/1", "", own); got.status != http.StatusNoContent {
		t.Errorf("the own page's delete: %d", got.status)
	}
}

func TestErrorsOfTheDatabaseStayInTheLog(t *testing.T) {
	site := serve(t)
	pgtest.Exec(t, site.database, "alter table message rename to secret_table")
	got := site.request("DELETE", "/api/messages/1", "", nil)
	if text := expectRefusal(t, got, http.StatusInternalServerError); strings.Contains(text, "relation") || strings.Contains(text, "message") {
		t.Errorf("the client learns %q", text)
	}
}

func TestPageLoadsNothingFromElsewhere(t *testing.T) {
	site := serve(t)
	got := site.request("GET", "/", "", nil)
	body := string(got.body)
	if got.status != http.StatusOK || !strings.Contains(body, "<!doctype html>") {
		t.Errorf("%d: %.100s", got.status, body)
	}
	if policy := got.header.Get("Content-Security-Policy"); !strings.HasPrefix(policy, "default-src 'none'; script-src 'self';") {
		t.Errorf("policy: %s", policy)
	}
	if strings.Contains(body, "http://") || strings.Contains(body, "https://") {
		t.Error("the page names another site")
	}
}

func TestSetupKeepsWhatIsThere(t *testing.T) {
	site := serve(t)
	pgtest.Exec(t, site.database, "delete from message", "update conversation set title = 'Renamed' where id = 1")
	conn, err := pgx.Connect(t.Context(), site.database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := demo.Setup(t.Context(), conn); err != nil {
		t.Fatal(err)
	}
	var messages, conversations int
	err = conn.QueryRow(t.Context(), "select (select count(*) from message), (select count(*) from conversation)").Scan(&messages, &conversations)
	if err != nil || messages != 0 || conversations != 3 {
		t.Errorf("%d messages and %d conversations after a second Setup, want 0 and 3 (%v)", messages, conversations, err)
	}
}

// site is the demo on a database of its own.
type site struct {
	*httptest.Server
	t        *testing.T
	database string
}

// serve starts the demo's handler; more handlers may be laid over it.
func serve(t *testing.T, over ...func(http.Handler) http.Handler) *site {
	t.Helper()
	s := &site{t: t, database: pgtest.Database(t)}
	pool, err := pgxpool.New(t.Context(), s.database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	err = pool.AcquireFunc(t.Context(), func(c *pgxpool.Conn) error { return demo.Setup(t.Context(), c.Conn()) })
	if err != nil {
		t.Fatal(err)
	}
	handler := demo.Handler(pool, zaptest.NewLogger(t))
	for _, layer := range over {
		handler = layer(handler)
	}
	s.Server = httptest.NewServer(handler)
	t.Cleanup(s.Close)
	return s
}

// answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

func (s *site) request(method, path, body string, header http.Header) answer {
	s.t.Helper()
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	maps.Copy(request.Header, header)
	response, err := s.Client().Do(request)
	if err != nil {
		s.t.Fatal(err)
	}
	read, err := io.ReadAll(response.Body)
	if err := errors.Join(err, response.Body.Close()); err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	return answer{response.StatusCode, response.Header, read}
}

func (s *site) get(path string, into any) {
	s.t.Helper()
	s.send("GET", path, nil, http.StatusOK, into)
}

// send makes a request that is to be answered with the status, and reads the answer unless into is nil.
func (s *site) send(method, path string, body any, status int, into any) {
	s.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		s.t.Fatal(err)
	}
	got := s.request(method, path, string(text), nil)
	if got.status != status {
		s.t.Fatalf("%s %s: %d, want %d: %s", method, path, got.status, status, got.body)
	}
	if into == nil {
		return
	}
	if err := json.Unmarshal(got.body, into); err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
}

func (s *site) messages(conversation int) (list []row) {
	s.t.Helper()
	s.get(fmt.Sprintf("/api/conversations/%d/messages", conversation), &list)
	return list
}

func last(list []row) row {
	if len(list) == 0 {
		return row{}
	}
	return list[len(list)-1]
}

// expectRefusal checks the status and the form of an error, and gives its text.
func expectRefusal(t *testing.T, got answer, status int) string {
	t.Helper()
	var refusal struct{ Error string }
	err := json.Unmarshal(got.body, &refusal)
	if got.status != status || err != nil || refusal.Error == "" {
		t.Errorf("%d: %s, want status %d and an error's text", got.status, got.body, status)
	}
	return refusal.Error
}
