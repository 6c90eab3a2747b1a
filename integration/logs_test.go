package integration_test

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"nhooyr.io/websocket"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// Canaries are put wherever a secret can be: the password, rows, scope values, what clients send, what fails. Nothing that
// the program writes, however verbose, holds one.
func TestW22NoSecretIsEverLogged(t *testing.T) {
	t.Parallel()
	const password, rowText, frameText = "pa55w0rd-canary", "row-canary", "frame-canary"
	database := newDatabase(t, `create table note (id int primary key, folder text, body text)`,
		`insert into note values (1, 'row-canary-folder', 'row-canary-0')`)
	const yaml = `
logLevel: debug
reactive:
  - table: note
    scopes: [folder]
    snapshot: {limit: 10}
`
	withPassword := strings.Replace(database, "postgres@", "postgres:"+password+"@", 1)
	g := serve(t, withPassword, yaml)
	c := connect(t, g)
	v := c.subscribeWithSnapshot("note", "folder", `"row-canary-folder"`)
	pgtest.Exec(t, database,
		`insert into note values (2, 'row-canary-folder', 'row-canary-1')`,
		`update note set body = 'row-canary-2'`,
		`delete from note where id = 2`)
	c.until("the changes have come", func() bool { return len(v.events) == 4 })
	for frame, code := range map[string]string{
		`frame-canary`:            "invalid_json",
		`{"type":"frame-canary"}`: "unknown_message_type",
		`{"type":"subscribe","channel":"frame-canary","scope":{"col":"folder","value":"x"}}`:          "unknown_channel",
		`{"type":"subscribe","channel":"note","scope":{"col":"frame-canary","value":"frame-canary"}}`: "invalid_scope",
	} {
		c.send(frame)
		c.expect(`{"type":"error","code":"` + code + `"}`)
	}
	dropSlot(t, database)
	c.until("a fresh snapshot has come", func() bool { return v.snapshots > 1 })
	// From here on the gateway finds fault with the table, for snapshots and for changes. A look at the catalog may find it before
	// the client asks, and then the snapshot that fails is one for the view that there was.
	pgtest.Exec(t, database, `alter table note drop column folder`)
	c.ask("note", "folder", `"frame-canary-folder"`)
	var frame []byte
	var err error
	for err == nil && !bytes.Contains(frame, []byte(`"snapshot_unavailable"`)) {
		frame, err = c.receive(time.Now().Add(patience))
	}
	pgtest.Exec(t, database, `insert into note values (3, 'row-canary-3')`)
	for err == nil {
		_, err = c.receive(time.Now().Add(patience))
	}
	if err := closedWith(err, websocket.StatusServiceRestart, "service restart"); err != nil {
		t.Fatal(err)
	}
	g.awaitLogged("no snapshot")
	g.stop(interrupt)

	unreachable := start(t, "postgres://postgres:"+password+"@"+freeAddress(t)+"/orders?sslmode=disable", yaml)
	unreachable.awaitSaid("refuses connections: trying again in 1s")
	malformed := run(t, t.TempDir(), []string{"DATABASE_URL=postgres://postgres:" + password + "@[::1:x/orders"})
	if code := malformed.wait(); code != 2 {
		t.Errorf("exit code %d for an address that is none", code)
	}
	for _, p := range []*process{g.process, unreachable.process, malformed} {
		for _, canary := range []string{password, rowText, frameText} {
			for line := range strings.Lines(p.stdout.String() + p.stderr.String()) {
				if strings.Contains(line, canary) {
					t.Errorf("%s in: %s", canary, line)
				}
			}
		}
	}
	if !strings.Contains(g.stderr.String(), `"level":"debug"`) {
		t.Error("nothing was logged at debug level, so that nothing was tested")
	}
}

// Nor a token, wherever a client puts it and whether it is good, nor what a client of the extended protocol sends: not in the
// log, the metrics, the status or what the client is answered.
func TestW22NoTokenIsEverShown(t *testing.T) {
	t.Parallel()
	i := newIssuer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, "logLevel: debug\n"+i.settings+snapshots)
	good, expired := i.token("ada", time.Hour), i.token("ada", -time.Hour)
	signature := func(token string) string { return token[strings.LastIndexByte(token, '.')+1:] }
	canaries := []string{signature(good), signature(expired), "token-canary", "since-canary", "lsn-canary", "channel-canary"}
	var answers strings.Builder
	for _, token := range []string{good, expired, "token-canary", good + "token-canary"} {
		for _, connected := range []*client{
			connectWith(t, g, "", http.Header{"Authorization": {"Bearer " + token}}),
			connectWith(t, g, "?token="+token, nil), connectWith(t, g, "", http.Header{"Cookie": {"session=" + token}}),
			connectWith(t, g, "", nil, "bearer", token),
		} {
			if token != good {
				connected.expectClose(4401, "unauthorized")
			}
		}
		c, _ := connectExtended(t, g, http.Header{"Authorization": {"Bearer " + good}})
		c.send(`{"type":"waitFor","lsn":"lsn-canary"}`)
		if f := c.await("error"); f.Code != "invalid_message" || strings.Contains(f.Message, "canary") {
			t.Errorf("error %+v", f)
		}
		c.send(subscribeTo(1, "since-canary"))
		c.await("subscribed")
		c.await("reset")
		c.await("snapshot")
		c.send(fmt.Sprintf(`{"type":"auth","token":%q}`, token))
		if token != good {
			c.expectClose(4401, "unauthorized")
			continue
		}
		fmt.Fprint(&answers, c.await("auth"))
		c.send(`{"type":"subscribe","channel":"channel-canary","scope":{"col":"id","value":1}}`)
		c.await("error") // which repeats what it is about, to that client alone
	}
	for _, path := range []string{"/metrics", "/status", "/readyz", "/healthz"} {
		_, text := g.ask(path)
		answers.WriteString(text)
	}
	g.stop(interrupt)
	for line := range strings.Lines(g.stdout.String() + g.stderr.String() + answers.String()) {
		for _, canary := range canaries {
			if strings.Contains(line, canary) {
				t.Errorf("%s in: %s", canary, line)
			}
		}
	}
	if !strings.Contains(g.stderr.String(), "token not renewed") {
		t.Error("no token was refused, so that nothing was tested")
	}
}
