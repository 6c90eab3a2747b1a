package integration_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// Nothing but the database's address: what is served is said, with what looks like a secret, in the log and in /status.
func TestP77WithoutAConfigurationItSaysWhatItServes(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	database := postgres.URL("postgres")
	pgtest.Exec(t, database, conversations, messages,
		`create table account (id int primary key, email text, password_hash text, "apiKey" text)`,
		`create table session (id int primary key, account_id int references account, refresh_token text, token_count int)`,
		`create table setting (key text primary key, value text)`)
	dir := t.TempDir()
	g := &gateway{process: run(t, dir, []string{"DATABASE_URL=" + database}, "--slot", "mtbreactive", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")}
	g.awaitServing()
	g.awaitReady()
	connect(t, g).subscribe("account", "id", "1") // it goes on working
	line := g.awaitLogged("no configuration: every table of the publication is served")
	detail := fmt.Sprint(line["detail"])
	_, status := g.ask("/status")
	for _, want := range []string{
		"there is no file " + filepath.Join(dir, "reactive.yaml"), "5 tables with 15 columns", "everyone who can connect to 127.0.0.1:0",
		"public.account (password_hash, apiKey)", "public.session (refresh_token)",
	} {
		if !strings.Contains(detail, want) || !strings.Contains(status, want) {
			t.Errorf("neither log nor status may lack %s:\n%s\n%s", want, detail, status)
		}
	}
	if strings.Contains(detail, "public.setting (") || !strings.Contains(status, `"no configuration"`) {
		t.Errorf("%s\n%s", detail, status)
	}
	g.stop(interrupt)
	awaitFreeSlot(t, database)

	// A file, however short, is a configuration.
	configured := serve(t, database, "")
	if _, warned := configured.logged("no configuration: every table of the publication is served"); warned {
		t.Error("it warns of a file that is there")
	}
	if _, status := configured.ask("/status"); strings.Contains(status, "no configuration") {
		t.Errorf("so does the status:\n%s", status)
	}
}

// The file was forgotten, or lies elsewhere, and what there is would let everybody in.
func TestP77WhatWasMeantToHaveAFileDoesNotStart(t *testing.T) {
	onAnyServer(t)
	database := newDatabase(t, conversations, messages)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "chat.yaml"), chat)
	base := []string{"DATABASE_URL=" + database, "REACTIVE_SLOT=" + slotOf(t, database), "REACTIVE_ADMIN=127.0.0.1:0"}
	public := append([]string{"REACTIVE_LISTEN=0.0.0.0:0", "REACTIVE_ALLOW_ANONYMOUS=true"}, base...)
	for what, c := range map[string]struct {
		env, args []string
		want      string
	}{
		"environment of a container": {public, nil, "there is no file " + filepath.Join(dir, "reactive.yaml")},
		"named by a flag":            {base, []string{"--config", "reactive.yaml"}, "cannot be read: no such file"},
		"named by the environment":   {append([]string{"REACTIVE_CONFIG=/etc/reactive-gw/reactive.yaml"}, public...), nil, "/etc/reactive-gw/reactive.yaml: cannot be read"},
		"misspelt variable":          {append([]string{"REACTIVE_CONFIGS=chat.yaml"}, base...), nil, "write REACTIVE_CONFIG"},
		"section as a variable":      {append([]string{"REACTIVE_AUTHENTICATE={}"}, base...), nil, "authenticate has no variable"},
	} {
		p := run(t, dir, c.env, c.args...)
		if code := p.wait(); code != 2 || !strings.Contains(p.stderr.String(), c.want) {
			t.Errorf("%s: exit code %d, want %s:\n%s", what, code, c.want, p.stderr)
		}
	}
	if got := pgtest.Query[int](t, database, `select count(*) from pg_replication_slots where database = current_database()`); got != 0 {
		t.Errorf("%d slots were made by starts that were refused", got)
	}
	g := &gateway{process: run(t, dir, public, "--config", "chat.yaml")}
	g.awaitServing()
}
