package integration_test

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// issuer signs tokens that a gateway with its settings believes.
type issuer struct {
	t        *testing.T
	key      ed25519.PrivateKey
	settings string
}

func newIssuer(t *testing.T) *issuer {
	t.Helper()
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "issuer.pem")
	write(t, file, string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})))
	settings := fmt.Sprintf("authenticate:\n  jwt: {publicKeyFile: %q, algorithms: [EdDSA], token: {authorization: true, subprotocol: true, query: token, cookie: session}}\n", file)
	return &issuer{t: t, key: private, settings: settings}
}

func (i *issuer) token(user string, validFor time.Duration) string {
	i.t.Helper()
	token, err := jwt.NewWithClaims(jwt.SigningMethodEdDSA, jwt.MapClaims{"sub": user, "exp": time.Now().Add(validFor).Unix()}).SignedString(i.key)
	if err != nil {
		i.t.Fatal(err)
	}
	return token
}

// connectAs connects with a token in the Authorization header.
func connectAs(t *testing.T, g *gateway, token string) *client {
	t.Helper()
	return connectWith(t, g, "", http.Header{"Authorization": {"Bearer " + token}})
}

func connectWith(t *testing.T, g *gateway, query string, header http.Header, subprotocols ...string) *client {
	t.Helper()
	c, status, err := dialWith(t, g.clients+query, header, subprotocols...)
	if err != nil {
		t.Fatalf("connect: %v (status %d)", err, status)
	}
	return c
}

func TestWithoutAGoodTokenTheConnectionIsClosed(t *testing.T) {
	onAnyServer(t)
	good, other := newIssuer(t), newIssuer(t)
	g := serve(t, newDatabase(t, conversations, messages), good.settings)
	for name, header := range map[string]http.Header{
		"none":                 nil,
		"expired":              {"Authorization": {"Bearer " + good.token("ada", -time.Minute)}},
		"of another issuer":    {"Authorization": {"Bearer " + other.token("ada", time.Hour)}},
		"no token":             {"Authorization": {"Bearer x.y.z"}},
		"of another user's":    {"Authorization": {"Basic YWRhOmFkYQ=="}},
		"in the wrong cookie":  {"Cookie": {"token=" + good.token("ada", time.Hour)}},
		"two at the same time": {"Authorization": {"Bearer " + good.token("ada", time.Hour), "Bearer " + good.token("bob", time.Hour)}},
	} {
		t.Run(name, func(t *testing.T) {
			connectWith(t, g, "", header).expectClose(4401, "unauthorized")
		})
	}
}

func TestATokenIsTakenFromWhereItIsSwitchedOn(t *testing.T) {
	onAnyServer(t)
	i := newIssuer(t)
	g := serve(t, newDatabase(t, conversations, messages), i.settings)
	token := i.token("ada", time.Hour)
	for name, connected := range map[string]func(*testing.T) *client{
		"header":      func(t *testing.T) *client { return connectAs(t, g, token) },
		"cookie":      func(t *testing.T) *client { return connectWith(t, g, "", http.Header{"Cookie": {"session=" + token}}) },
		"query":       func(t *testing.T) *client { return connectWith(t, g, "?token="+token, nil) },
		"subprotocol": func(t *testing.T) *client { return connectWith(t, g, "", nil, "bearer", token) },
	} {
		t.Run(name, func(t *testing.T) { connected(t).subscribe("message", "conversation_id", "1") })
	}
}

func TestW17AnOpenConnectionIsClosedWhenItsTokenExpires(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	g := serve(t, newDatabase(t, conversations, messages), i.settings)
	c := connectAs(t, g, i.token("ada", 3*time.Second))
	c.subscribe("message", "conversation_id", "1")
	c.expectClose(4401, "unauthorized")
}

func TestOnlyMembersSubscribe(t *testing.T) {
	t.Parallel()
	for name, authorize := range map[string]string{
		"member": `{member: {table: member, scope: conversation_id, user: user_id}}`,
		"sql":    `{sql: "select exists (select from member where conversation_id = $scope and user_id = $ctx.sub)"}`,
		"cel":    `{cel: "ctx.sub == 'ada' && scope.value == 1"}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newIssuer(t)
			database := newDatabase(t, conversations, messages, twoTalks,
				`create table member (conversation_id bigint, user_id text, primary key (conversation_id, user_id))`,
				`insert into member values (1, 'ada'), (2, 'bob')`)
			g := serve(t, database, i.settings+fmt.Sprintf("reactive:\n  - table: message\n    scopes: [conversation_id]\n    authorize: %s\n", authorize))
			c := connectAs(t, g, i.token("ada", time.Hour))
			mine := c.subscribe("message", "conversation_id", "1")
			c.send(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":2}}`)
			c.expect(`{"type":"error","code":"forbidden"}`)
			// What does not exist is told as such, not as forbidden.
			c.send(`{"type":"subscribe","channel":"message","scope":{"col":"conversation_id","value":"one"}}`)
			c.expect(`{"type":"error","code":"invalid_scope"}`)
			c.send(`{"type":"subscribe","channel":"secrets","scope":{"col":"conversation_id","value":2}}`)
			c.expect(`{"type":"error","code":"unknown_channel"}`)
			pgtest.Exec(t, database,
				`insert into message values (2, 2, 'for Bob')`, // a frame of it would fail the client
				`insert into message values (1, 1, 'for Ada')`)
			c.until("the message has come", func() bool { return len(mine.events) == 1 })
		})
	}
}

func TestAnAuthorizerThatCannotWorkEndsTheStart(t *testing.T) {
	onAnyServer(t)
	g := start(t, newDatabase(t, conversations, messages),
		"reactive:\n  - table: message\n    scopes: [conversation_id]\n    authorize: {member: {table: member, scope: conversation_id, user: user_id}}\n")
	if code := g.wait(); code != 2 {
		t.Errorf("exit code %d", code)
	}
	if want := "reactive.yaml:4:16: "; !strings.Contains(g.stderr.String(), want) {
		t.Errorf("stderr has no %q:\n%s", want, g.stderr.String())
	}
}

// Snapshots of a table that somebody has locked wait, and whoever may subscribe to another one is not refused meanwhile.
func TestW05ALockedTableRefusesNobody(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, `
reactive:
  - {table: message, scopes: [conversation_id], snapshot: {limit: 10}}
  - {table: conversation, scopes: [id], authorize: {sql: "select true"}}
`)
	locker, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = locker.Close(context.Background()) }()
	if _, err := locker.Exec(t.Context(), `begin; lock table message`, pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	waiting := connect(t, g)
	for talk := range 20 { // more than the gateway has connections
		waiting.subscribe("message", "conversation_id", fmt.Sprint(talk))
	}
	eventually(t, "snapshots wait for the lock", func() bool {
		return pgtest.Query[int](t, database, `select count(*) from pg_stat_activity where datname = current_database() and query like 'LOCK TABLE%NOWAIT'`) > 1
	})
	connect(t, g).subscribe("conversation", "id", "1")
}
