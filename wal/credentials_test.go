package wal_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// A password that is changed while the gateway runs is read anew from the file that holds it, for every connection.
func TestP56PasswordIsChangedWhileTheGatewayRuns(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	owner := postgres.URL("postgres")
	pgtest.Exec(t, owner, orders, "create role shop login superuser replication password 'first'")
	hba := query[string](t, newServer(t, owner).Pool, "show hba_file")
	rules := "host all postgres 127.0.0.1/32 trust\nhost all,replication shop 127.0.0.1/32 scram-sha-256\n"
	if err := os.WriteFile(hba, []byte(rules), 0o600); err != nil {
		t.Fatal(err)
	}
	passfile := filepath.Join(t.TempDir(), "pass")
	setPassword := func(password string) {
		t.Helper()
		if err := os.WriteFile(passfile, []byte("*:*:*:shop:"+password+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	setPassword("first")
	pgtest.Exec(t, owner, "select pg_reload_conf()")
	url := strings.Replace(owner, "postgres@", "shop@", 1) + "&passfile=" + passfile
	eventually(t, "the password counts", func() bool { return !admits(t, strings.Replace(owner, "postgres@", "shop:wrong@", 1)) })
	g := start(t, url)
	pgtest.Exec(t, owner, "alter role shop password 'second'", "insert into orders values (1, 'bread')")
	g.expect(t, "insert orders 1,bread") // a stream that runs is not cut
	setPassword("second")
	pgtest.Exec(t, owner, "select pg_terminate_backend(pid) from pg_stat_activity where usename = 'shop'", "insert into orders values (2, 'wine')")
	g.expect(t, "insert orders 1,bread", "insert orders 2,wine")
}

// A role that may not log in any more keeps the stream that it has. When that is lost, the gateway ends and says why.
func TestP56RoleThatMayNotLogInAnyMore(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	role := strings.TrimSuffix(newServer(t, url).Slot, slotSuffix) + "_role"
	pgtest.Exec(t, url, fmt.Sprintf("create role %s login superuser", role))
	t.Cleanup(func() { pgtest.Exec(t, url, fmt.Sprintf("drop owned by %[1]s; drop role %[1]s", role)) })
	g := run(t, strings.Replace(url, "postgres@", role+"@", 1), "auto", 1<<20)
	g.live(t)
	walsender := g.walsender(t)
	pgtest.Exec(t, url, fmt.Sprintf("alter role %s nologin", role), "insert into orders values (1, 'bread')")
	g.expect(t, "insert orders 1,bread")
	pgtest.Exec(t, url, fmt.Sprintf("select pg_terminate_backend(pid) from pg_stat_activity where usename = '%s' and pid <> %d", role, walsender),
		fmt.Sprintf("select pg_terminate_backend(%d)", walsender))
	<-g.ended
	if err := g.stop(); err == nil || !strings.Contains(err.Error(), "not permitted to log in") {
		t.Errorf("the gateway ended with %v", err)
	}
}
