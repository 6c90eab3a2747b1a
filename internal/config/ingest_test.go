package config

import (
	"reflect"
	"strings"
	"testing"
)

// untrusted is what a start says without trustNotify: true.
func untrusted(place string) string {
	return place + ": every role that can connect to the database can NOTIFY, and so forge the events of source: notify: " +
		"write trustNotify: true into ingest.notify if you trust every such role, or use source: hook, which takes events by POST with a token and by mtbreactive.emit, which is granted to roles"
}

func TestS4IngestThatIsRefused(t *testing.T) {
	const typing = "reactive:\n  - {table: typing, source: hook, scopes: [room]}\n"
	for _, c := range []struct{ name, file, want string }{
		{"nothing", "ingest: {}\n", "reactive.yaml:1:9: ingest says nothing: write notify, hook or both"},
		{"unknown source", "reactive:\n  - {table: typing, source: kafka, scopes: [room]}\n",
			`reactive.yaml:2:29: source "kafka" is not one of wal, notify, hook: write wal or notify or hook`},
		{"no scopes", "reactive:\n  - {table: typing, source: hook}\n",
			"reactive.yaml:2:5: scopes is missing, and only for source: wal the database tells: list the columns by which clients subscribe"},
		{"nothing listens", "reactive:\n  - {table: typing, source: notify, scopes: [room]}\n",
			"reactive.yaml:2:29: source is notify, and nothing listens: write ingest: {notify: {channel: mtbreactive, trustNotify: true}}"},
		{"nothing notifies", typing + "ingest:\n  notify: {channel: x}\n",
			"reactive.yaml:4:11: nothing comes by notify: write source: notify into an entry under reactive, or delete the key"},
		{"notify without trust", "reactive:\n  - {table: typing, source: notify, scopes: [room]}\ningest: {notify: {channel: x}}\n",
			untrusted("reactive.yaml:3:18")},
		{"notify with defaults", "ingest:\n  notify: {}\nreactive:\n  - {table: typing, source: notify, scopes: [room]}\n",
			untrusted("reactive.yaml:2:11")},
		{"notify that says no", "reactive:\n  - {table: typing, source: notify, scopes: [room]}\ningest:\n  notify:\n    trustNotify: false\n",
			untrusted("reactive.yaml:5:5")},
		{"nothing by hook", "ingest:\n  hook: {path: /ingest}\n",
			"reactive.yaml:2:9: nothing comes by hook: write source: hook into an entry under reactive, or delete the key"},
		{"the WebSocket's path", typing + "ingest:\n  hook: {path: /ws}\n",
			"reactive.yaml:4:16: /ws is the path of the WebSocket too: write another path, such as /ingest"},
		{"long channel", typing + "ingest:\n  notify: {channel: " + strings.Repeat("x", 64) + "}\n",
			`reactive.yaml:4:21: channel "` + strings.Repeat("x", 64) + `" is longer than 63 bytes: write the name as the catalog has it, without SQL quotes`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv("DATABASE_URL", "postgres://db.internal/app")
			_, err := load(t, c.file)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestCommentedIngestOfTheExample(t *testing.T) {
	t.Setenv("DATABASE_URL", "postgres://db.internal/app")
	_, section, found := strings.Cut(Example(), "# ingest:\n")
	section, _, ended := strings.Cut(section, "\n\n")
	if !found || !ended {
		t.Fatal("the example has no commented section ingest")
	}
	c, err := load(t, "reactive:\n  - {table: a, source: hook, scopes: [room]}\n  - {table: b, source: notify, scopes: [room]}\n"+
		"ingest:\n"+strings.ReplaceAll("\n"+section, "\n# ", "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := &Ingest{Notify: &NotifyIngest{Channel: "mtbreactive", TrustNotify: true}, Hook: &HookIngest{Path: "/ingest", TokenEnv: "REACTIVE_INGEST_TOKEN"}}
	if !reflect.DeepEqual(c.Ingest, want) {
		t.Errorf("got %v", c.Ingest)
	}
	if s := c.String(); !strings.HasSuffix(s, " ingest={notify=mtbreactive hook=/ingest}") {
		t.Errorf("the log has %s", s)
	}
}
