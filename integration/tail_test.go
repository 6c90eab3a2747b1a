package integration_test

import (
	"strings"
	"syscall"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestTailPrintsTheFramesAsTheyAre(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages, twoTalks)
	g := serve(t, database, chat)
	tail := run(t, t.TempDir(), nil, "tail", "--url", g.clients, "message", "conversation_id=1")
	const scope = `"channel":"message","scope":{"col":"conversation_id","value":"1"}`
	const subscribed = `{"type":"subscribed",` + scope + "}\n"
	eventually(t, "it is subscribed", func() bool { return tail.stdout.String() == subscribed })
	pgtest.Exec(t, database, `insert into message values (1, 1, 'Ready?')`)
	const change = `{"type":"change",` + scope + `,"event":{"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"Ready?"}}}` + "\n"
	eventually(t, "the change is printed", func() bool { return tail.stdout.String() == subscribed+change })
	if code := tail.stop(interrupt); code != 0 || tail.stderr.String() != "" {
		t.Errorf("exit code %d on Ctrl-C\n%s", code, tail.stderr)
	}
}

func TestTailEndsWithTheGateway(t *testing.T) {
	onAnyServer(t)
	g := serve(t, newDatabase(t, conversations, messages), chat)
	tail := run(t, t.TempDir(), nil, "tail", "--url", g.clients, "message", "conversation_id=1")
	eventually(t, "it is subscribed", func() bool { return tail.stdout.String() != "" })
	g.stop(syscall.SIGTERM)
	if code := tail.wait(); code != 1 || !strings.Contains(tail.stderr.String(), "1001 going away") {
		t.Errorf("exit code %d\n%s", code, tail.stderr)
	}
}

func TestTailSaysWhatIsWrong(t *testing.T) {
	onAnyServer(t)
	g := serve(t, newDatabase(t, conversations, messages), chat)
	for _, each := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"message"}, 2, "CHANNEL COLUMN=VALUE"},
		{[]string{"--url", g.clients, "message", "conversation_id"}, 1, "COLUMN=VALUE"},
		{[]string{"--url", g.clients + "/elsewhere", "message", "conversation_id=1"}, 1, "404"},
		{[]string{"--url", "ws://" + freeAddress(t) + "/ws", "message", "conversation_id=1"}, 1, "connect"},
	} {
		code, _, stderr := command(t, append([]string{"tail"}, each.args...)...)
		if code != each.code || !strings.Contains(stderr, each.want) {
			t.Errorf("tail %v: exit code %d, want %d and %q\n%s", each.args, code, each.code, each.want, stderr)
		}
	}
}
