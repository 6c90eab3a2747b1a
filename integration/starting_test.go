package integration_test

import (
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// A slot is made only when every transaction has ended that was open: the gateway says what it waits for.
func TestP28AnOpenTransactionDelaysTheFirstStart(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks)
	writer, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(context.Background())
	if _, err := writer.Exec(t.Context(), `begin; create table unpublished (id int)`); err != nil {
		t.Fatal(err)
	}
	operators := freeAddress(t)
	g := start(t, database, chat, "--admin", operators)
	g.operators = "http://" + operators
	eventually(t, "the slot is being made", func() bool {
		return pgtest.Query[bool](t, database, `select exists (select from pg_replication_slots where slot_name = current_database())`)
	})
	g.awaitReadiness(http.StatusServiceUnavailable, "starting")
	if _, status := g.ask("/status"); !strings.Contains(status, "pg_stat_activity") {
		t.Errorf("the status does not say where to look:\n%s", status)
	}
	if _, err := writer.Exec(t.Context(), `rollback`); err != nil {
		t.Fatal(err)
	}
	g.awaitServing()
	g.awaitReady()
}

// While the issuer of tokens does not answer nobody gets in. That is no reason for the gateway to end, nor to be started
// again when the issuer is there.
func TestAnIssuerThatIsAwayWhenTheGatewayStarts(t *testing.T) {
	onAnyServer(t)
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	address := freeAddress(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	g := start(t, database, fmt.Sprintf("authenticate:\n  jwt: {jwksUrl: %q, algorithms: [EdDSA]}\n%s", "http://"+address+"/keys", chat))
	g.awaitServing()
	g.awaitReadiness(http.StatusServiceUnavailable, "no signing keys yet")
	token := (&issuer{t: t, key: private}).token("1", time.Hour)
	connectAs(t, g, token).expectClose(1013, "try again later")

	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	keys := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, `{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": %q}]}`, base64.RawURLEncoding.EncodeToString(public))
	})}
	go func() { _ = keys.Serve(listener) }()
	t.Cleanup(func() { keys.Close() })
	eventually(t, "the issuer is asked again", func() bool {
		c := connectAs(t, g, token)
		c.send(`{"type": "subscribe", "channel": "message", "scope": {"col": "conversation_id", "value": 1}}`)
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		_, _, err := c.conn.Read(ctx)
		return err == nil
	})
}
