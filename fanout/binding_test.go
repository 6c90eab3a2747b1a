package fanout_test

import (
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/protocol"
)

// A table's key may come to include what is excluded.
func TestAnExcludedColumnDoesNotShowInTheKey(t *testing.T) {
	table := messages()
	table.Columns[table.Column("secret")].Key = true
	f := newFeed(t, 1<<20, conversations())
	c := f.hub.Attach(nil)
	subscribe(t, c, "message", `{"col":"conversation_id","value":7}`)
	f.deliver(inserted(table, row(1, 7, 3, "Ready?", "hunter2")))
	frames, _ := taken(t, c)
	if len(frames) != 2 || strings.Contains(frames[1], "hunter2") {
		t.Errorf("got %q", frames)
	}
}

func TestAColumnThatMayBeAnExcludedOneRenamedEndsTheChannel(t *testing.T) {
	for name, test := range map[string]struct {
		known  []string // when the channel was made
		secret string   // what the excluded column is called now
		ends   bool
	}{
		"renamed":                     {[]string{"id", "conversation_id", "author_id", "body", "secret"}, "secret_hash", true},
		"left out by the publication": {[]string{"id", "conversation_id", "author_id", "body", "secret", "sent_at"}, "sent_at", false},
		"still there":                 {[]string{"id", "conversation_id", "author_id", "body", "secret"}, "secret", false},
		"still there, and one added":  {[]string{"id", "conversation_id", "author_id", "secret"}, "secret", false},
	} {
		t.Run(name, func(t *testing.T) {
			table := messages()
			table.Columns[table.Column("secret")].Name = test.secret
			channel := conversations()
			channel.Columns = test.known
			f := newFeed(t, 1<<20, channel)
			c := f.hub.Attach(nil)
			subscribe(t, c, "message", `{"col":"conversation_id","value":7}`)
			f.deliver(inserted(table, row(1, 7, 3, "Ready?", "hunter2")))
			want := protocol.Close(0)
			if test.ends {
				want = protocol.CloseServiceRestart
			}
			frames, code := taken(t, c)
			if code != want || test.ends && len(frames) != 1 {
				t.Errorf("got %q and code %d, want code %d", frames, code, want)
			}
		})
	}
}
