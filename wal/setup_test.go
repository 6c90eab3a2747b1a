package wal_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// ensure inspects the server and sets it up for all its tables.
func ensure(t *testing.T, server *wal.Server, scopes ...string) (slotMade bool, err error) {
	t.Helper()
	facts, want := wanted(t, server, scopes...)
	return server.Ensure(t.Context(), facts, want)
}

// mustBeReady fails the test unless nothing is left to mend.
func mustBeReady(t *testing.T, server *wal.Server, scopes ...string) {
	t.Helper()
	facts, want := wanted(t, server, scopes...)
	for _, f := range facts.Findings(want) {
		if f.Level > wal.Warn {
			t.Errorf("%s: %s (%s)", f.Check, f.Detail, f.Fix)
		}
	}
}

// lack is a database in which something is missing.
type lack struct {
	schema []string
	detail string // what setup has to say of it
}

// lacking are databases that setup may mend.
func lacking() map[string]lack {
	publish := func(tables string) string { return `create publication "` + publication + `" for table ` + tables }
	return map[string]lack{
		"everything":                 {[]string{orders}, "there is no publication"},
		"odd names":                  {[]string{`create table "Größe ""x""" ("Id" int primary key)`}, "there is no publication"},
		"a table of the publication": {[]string{orders, "create table member (id int primary key)", publish("orders")}, "is not in publication"},
		"the partition root": {[]string{
			"create table payment (id int primary key) partition by range (id)",
			"create table payment_low partition of payment for values from (0) to (10) partition by range (id)",
			"create table payment_lowest partition of payment_low for values from (0) to (5)",
			publish("payment")}, "under the names of their partitions"},
		"the replica identity of partitions": {[]string{
			"create table payment (id int primary key) partition by range (id)",
			"create table payment_low partition of payment for values from (0) to (10)",
			"alter table payment replica identity full",
			publish("payment") + " with (publish_via_partition_root = true)"}, "before images of public.payment_low hold only the key"},
		"any identity": {[]string{orders, "alter table orders replica identity nothing", publish("orders")}, "before images of public.orders leave out"},
		"generated columns": {[]string{
			"create table line (id int primary key, price int, total int generated always as (price * 2) stored)", publish("line")}, ""},
	}
}

func TestAutoMakesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for name, lack := range lacking() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := database(t, lack.schema...)
			server := newServer(t, url)
			slotMade, err := ensure(t, server)
			if err != nil || !slotMade {
				t.Fatalf("slot made: %t, error %v", slotMade, err)
			}
			mustBeReady(t, server)
			if slotMade, err = ensure(t, server); err != nil || slotMade {
				t.Errorf("the second time: slot made: %t, error %v", slotMade, err)
			}
		})
	}
}

func TestCheckRefusesWithTheSQLThatMends(t *testing.T) {
	t.Parallel()
	cases := lacking()
	// That is somebody's choice, which setup does not undo.
	cases["all kinds of changes"] = lack{
		[]string{orders, `create publication "` + publication + `" for table orders with (publish = 'insert')`}, "leaves out a kind of change",
	}
	for name, lack := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := database(t, lack.schema...)
			server := newServer(t, url)
			server.Mode = wal.SetupCheck
			_, err := ensure(t, server)
			var refusal *wal.SetupError
			if !errors.As(err, &refusal) {
				t.Fatalf("error %v, want a SetupError", err)
			}
			if wal.Temporary(err) {
				t.Error("it counts as temporary: the gateway would try for ever")
			}
			if !strings.Contains(err.Error(), lack.detail) {
				t.Errorf("it does not say %q: %v", lack.detail, err)
			}
			for _, f := range refusal.Findings {
				if !strings.Contains(err.Error(), f.Fix) {
					t.Errorf("%q is not in the text: %v", f.Fix, err)
				}
				pgtest.Exec(t, url, f.Fix)
			}
			if _, err := ensure(t, server); err != nil {
				t.Errorf("after all that it told to run: %v", err)
			}
		})
	}
}

// What setup makes must leave the application as able to write as it was.
func TestSetupLeavesTablesWritable(t *testing.T) {
	t.Parallel()
	url := database(t, "create table line (id int primary key, price int, total int generated always as (price * 2) stored)")
	prepare(t, newServer(t, url))
	g := start(t, url)
	pgtest.Exec(t, url, "insert into line values (1, 5)", "update line set price = 6", "delete from line")
	g.await(t, func(lines []string) bool { return len(lines) == 3 })
}

func TestColumnListForbidsFull(t *testing.T) {
	t.Parallel()
	url := database(t, orders, `create publication "`+publication+`" for table orders (id)`)
	server := newServer(t, url)
	if _, err := ensure(t, server); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')", "update orders set item = 'wine'", "delete from orders")
	_, err := ensure(t, server, "item")
	var refusal *wal.SetupError
	if !errors.As(err, &refusal) || !strings.Contains(err.Error(), "column list") {
		t.Errorf("with a scope on a column that is left out: error %v, want a refusal that names the column list", err)
	}
}

func TestP28OpenTransactionDelaysTheSlotOnly(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create table unpublished (id int)")
	server := newServer(t, url)
	writer, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(context.Background())
	for _, sql := range []string{"begin", "insert into unpublished values (1)"} {
		if _, err := writer.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	facts, want := wanted(t, server)
	go func() {
		_, err := server.Ensure(t.Context(), facts, want)
		done <- err
	}()
	other := newServer(t, url).Pool
	eventually(t, "all but the slot is there", func() bool {
		return query[bool](t, other, "select relreplident = 'f' and exists (select from pg_publication where pubname = $1) from pg_class where oid = 'orders'::regclass", publication)
	})
	eventually(t, "the slot is being made", func() bool {
		return query[bool](t, other, "select exists (select from pg_replication_slots where slot_name = $1)", server.Slot)
	})
	pgtest.Exec(t, url, "insert into orders values (1, 'bread')") // nobody else waits
	if _, err := writer.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	mustBeReady(t, server)
}

func TestRoleThatMayNotMendIsToldTheSQL(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	owner := newServer(t, url)
	role := strings.TrimSuffix(owner.Slot, slotSuffix) + "_role"
	pgtest.Exec(t, url, fmt.Sprintf("create role %s login replication password 'secret'", role))
	t.Cleanup(func() { pgtest.Exec(t, url, fmt.Sprintf("drop owned by %[1]s; drop role %[1]s", role)) })
	server := newServer(t, url+"&user="+role+"&password=secret")
	_, err := ensure(t, server)
	var refusal *wal.SetupError
	if !errors.As(err, &refusal) || len(refusal.Findings) != 3 {
		t.Fatalf("error %v, want a SetupError of three findings: the publication, the table and the slot", err)
	}
	if f := refusal.Findings[0]; !strings.HasPrefix(f.Fix, "CREATE PUBLICATION") || !strings.Contains(f.Detail, "may not create one in this database") || f.By != "role postgres" {
		t.Errorf("finding %+v", f)
	}
	if strings.Contains(err.Error(), "secret") {
		t.Errorf("the password is in the text: %v", err)
	}
	if _, err := ensure(t, owner); err != nil { // an owner mends it
		t.Fatal(err)
	}
	mustBeReady(t, server)
}

func TestRoleWithoutReplicationIsRefused(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	role := strings.TrimSuffix(newServer(t, url).Slot, slotSuffix) + "_role"
	pgtest.Exec(t, url, fmt.Sprintf("create role %s login password 'secret'", role))
	t.Cleanup(func() { pgtest.Exec(t, url, fmt.Sprintf("drop role %s", role)) })
	server := newServer(t, url+"&user="+role+"&password=secret")
	_, err := ensure(t, server)
	var refusal *wal.SetupError
	if !errors.As(err, &refusal) {
		t.Fatalf("error %v, want a SetupError", err)
	}
	pgtest.Exec(t, url, refusal.Findings[0].Fix)
	facts, _ := wanted(t, server)
	if !facts.Replication {
		t.Errorf("after %q the role still may not replicate", refusal.Findings[0].Fix)
	}
}

func TestTwoGatewaysSetUpAtOnce(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	servers := []*wal.Server{newServer(t, url), newServer(t, url), newServer(t, url)}
	done := make(chan error, len(servers))
	for _, server := range servers {
		facts, want := wanted(t, server)
		go func() {
			_, err := server.Ensure(t.Context(), facts, want)
			done <- err
		}()
	}
	for range servers {
		if err := <-done; err != nil && !wal.Temporary(err) { // one that is temporary is tried again
			t.Error(err)
		}
	}
	for _, server := range servers {
		if _, err := ensure(t, server); err != nil {
			t.Error(err)
		}
	}
}
