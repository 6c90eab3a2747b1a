package wal_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// application writes all the time, and fails the test where the server refuses a statement or lets one wait for longer than
// the lock timeout. stop ends it.
func application(t *testing.T, url, lockTimeout string, statements ...string) (stop func()) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "set lock_timeout = '"+lockTimeout+"'"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan string, 1)
	round := make(chan struct{}, 1)
	go func() {
		defer conn.Close(context.Background())
		for ctx.Err() == nil {
			for _, sql := range statements {
				if _, err := conn.Exec(context.Background(), sql); err != nil {
					done <- fmt.Sprintf("%s: %v", sql, err)
					return
				}
			}
			select {
			case round <- struct{}{}:
			default:
			}
		}
		done <- ""
	}()
	select {
	case <-round: // it is able to write
	case failure := <-done:
		t.Fatalf("before the set-up: %s", failure)
	}
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if failure := <-done; failure != "" {
				t.Errorf("the application: %s", failure)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// sessionOf is one that runs statements and stays open.
func sessionOf(t *testing.T, url string, statements ...string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	execute(t, conn, statements...)
	return conn
}

func execute(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if _, err := conn.Exec(t.Context(), sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// keepOn lets the server go on with its tables until the test ends.
func keepOn(t *testing.T, server *wal.Server, want wal.Wanted) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Prepare(ctx, want, func() bool { return true })
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// state is how far a table of schema public is.
func state(server *wal.Server, table string) wal.TableState {
	for _, s := range server.Tables() {
		if s.Table.String() == "public."+table {
			return s
		}
	}
	return wal.TableState{}
}

func awaitState(t *testing.T, server *wal.Server, table string, progress wal.Progress) {
	t.Helper()
	eventually(t, fmt.Sprintf("table %s is %s", table, progress), func() bool { return state(server, table).Progress == progress })
}

// all wants every table, those without a key as tables that are only watched.
func all(t *testing.T, server *wal.Server) (*wal.Facts, wal.Wanted) {
	t.Helper()
	facts, err := server.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := wal.Wanted{Slot: server.Slot, Publication: server.Publication}
	for _, table := range facts.Tables {
		want.Tables = append(want.Tables, wal.WantedTable{TableInfo: table, Watched: len(table.PrimaryKey) == 0})
	}
	return facts, want
}

// P70: a dump reads all tables while the set-up runs. None of them has an identity with which the server would let rows be
// updated once it is published.
func TestP70NoTableIsPublishedBeforeItHasAnIdentity(t *testing.T) {
	t.Parallel()
	tables := map[string]string{
		"post_tag": "create table post_tag (post int, tag int)",
		"ordered":  "create table ordered (id int, primary key (id) deferrable)",
		"nothing":  "create table nothing (id int primary key); alter table nothing replica identity nothing",
		"dropped":  "create table dropped (id int primary key, code int not null); create unique index code on dropped (code); alter table dropped replica identity using index code; drop index code",
	}
	schema, writes := []string{orders}, []string{"insert into orders values (1, 'bread')", "update orders set item = 'wine'", "delete from orders"}
	names := []string{}
	for name, sql := range tables {
		column := "id"
		insert := "insert into " + name + " values (1)"
		switch name {
		case "post_tag":
			column = "tag"
		case "dropped":
			insert = "insert into dropped values (1, 1)"
		}
		names, schema = append(names, name), append(schema, sql)
		writes = append(writes, insert, fmt.Sprintf("update %s set %s = 2", name, column), "delete from "+name)
	}
	url := database(t, schema...)
	dump := sessionOf(t, url, "begin", "lock table "+strings.Join(names, ", ")+" in access share mode")
	server := newServer(t, url)
	stop := application(t, url, "1s", writes...)
	facts, want := all(t, server)
	slotMade, err := server.Ensure(t.Context(), facts, want)
	if err != nil || !slotMade {
		t.Fatalf("slot made: %t, error %v: a table that has to wait must not hold up the start", slotMade, err)
	}
	if got := state(server, "orders"); got.Progress != wal.Ready {
		t.Errorf("orders is %s, want it ready: nobody holds it", got.Progress)
	}
	for _, name := range names {
		if got := state(server, name); got.Progress != wal.Locked || got.Detail == "" {
			t.Errorf("%s is %s (%q), want it locked, with why", name, got.Progress, got.Detail)
		}
	}
	if got := query[string](t, server.Pool, "select string_agg(tablename, ' ') from pg_publication_tables where pubname = $1", publication); got != "orders" {
		t.Errorf("published: %s, want orders alone", got)
	}
	keepOn(t, server, want)
	execute(t, dump, "rollback")
	for _, name := range names {
		awaitState(t, server, name, wal.Ready)
	}
	stop()
	facts, want = all(t, server)
	for _, f := range facts.Findings(want) {
		if f.Level > wal.Warn {
			t.Errorf("left: %s: %s", f.Check, f.Detail)
		}
	}
}

// P71: a table enters the publication without those that inherit from it.
func TestP71InheritedTablesStayWritable(t *testing.T) {
	t.Parallel()
	const schema = "create table city (id int primary key, name text)"
	children := []string{schema, "create table capital (country text) inherits (city)", "create table metropolis (mayor text) inherits (capital)"}
	writes := []string{
		"insert into city values (1, 'a')", "insert into capital values (2, 'b', 'c')", "insert into metropolis values (3, 'd', 'e', 'f')",
		"update city set name = 'x'", "update capital set country = 'y'", "delete from metropolis", "delete from city",
	}
	url := database(t, children...)
	server := newServer(t, url)
	stop := application(t, url, "1s", writes...)
	if _, err := ensure(t, server, "name"); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, "create table late () inherits (city)", "insert into late values (4, 'z')", "update city set name = 'late'", "delete from late")
	stop()
	pgtest.Exec(t, url, writes...)
	mustBeReady(t, server, "name")

	// Another hand has published them with the parent: what the server refuses is found, and mended by the SQL.
	other := database(t, append(children, `create publication "`+publication+`" for table city`)...)
	server = newServer(t, other)
	if _, err := ensure(t, server); err != nil {
		t.Fatal(err)
	}
	facts, want := wanted(t, server)
	mended := 0
	for _, f := range facts.Findings(want) {
		if strings.Contains(f.Detail, "refuses every UPDATE and DELETE") {
			pgtest.Exec(t, other, f.Fix)
			mended++
		}
	}
	if mended != 2 {
		t.Errorf("%d tables are found of which the server refuses updates, want the two that inherit", mended)
	}
	pgtest.Exec(t, other, writes...)
}

// P72: VACUUM holds a lock that lets everybody read and write, for long.
func TestP72BehindAVacuum(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create table member (id int primary key)")
	vacuum := sessionOf(t, url, "begin", "lock table orders in share update exclusive mode")
	server := newServer(t, url)
	stop := application(t, url, "200ms", "insert into orders values (1, 'bread')", "update orders set item = 'wine'", "delete from orders")
	facts, want := wanted(t, server)
	if _, err := server.Ensure(t.Context(), facts, want); err != nil {
		t.Fatal(err)
	}
	if got := state(server, "orders").Progress; got != wal.Locked {
		t.Errorf("orders is %s, want it locked", got)
	}
	if got := state(server, "member").Progress; got != wal.Ready {
		t.Errorf("member is %s, want it ready", got)
	}
	keepOn(t, server, want)
	other := newServer(t, url).Pool
	eventually(t, "the lock is waited for that only VACUUM is in the way of", func() bool {
		return query[bool](t, other, "select exists (select from pg_locks where relation = 'orders'::regclass and mode = 'ShareUpdateExclusiveLock' and not granted)")
	})
	execute(t, vacuum, "rollback")
	awaitState(t, server, "orders", wal.Ready)
	stop()
	mustBeReady(t, server)
	if got := query[string](t, server.Pool, "show lock_timeout"); got != "0" {
		t.Errorf("the pool's connection keeps lock_timeout %s", got)
	}
}

// A transaction that wrote to a table before it was published is in the stream without that. The table is ready when it is
// over, also when it was prepared meanwhile, and from where the log has all.
func TestP70TableIsReadyWhenEarlierWritersHaveEnded(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create table member (id int primary key)", "alter table member replica identity full")
	server := newServer(t, url)
	facts, want := wanted(t, server)
	first := want
	first.Tables = slices.DeleteFunc(slices.Clone(want.Tables), func(w wal.WantedTable) bool { return w.Name == "member" })
	if _, err := server.Ensure(t.Context(), facts, first); err != nil {
		t.Fatal(err)
	}
	reports := make(chan wal.TableState, 10)
	server.Report = func(s wal.TableState) { reports <- s }
	writer := sessionOf(t, url, "begin", "insert into member values (1)")
	if slotMade, err := ensure(t, server); err != nil || slotMade {
		t.Fatalf("slot made: %t, error %v", slotMade, err)
	}
	if got := reported(t, reports); got.Progress != wal.Draining || got.Table.Name != "member" {
		t.Errorf("reported %+v, want that member drains", got)
	}
	later := sessionOf(t, url, "begin", "insert into member values (2)")

	// A gateway that starts meanwhile, after the first has crashed, finds the table published, and knows better.
	second := newServer(t, url)
	if _, err := ensure(t, second); err != nil {
		t.Fatal(err)
	}
	if got := state(second, "member").Progress; got != wal.Draining {
		t.Errorf("for a gateway that finds it published, member is %s, want draining", got)
	}
	keepOn(t, server, want)
	execute(t, writer, "insert into member values (3)", "commit")
	before := lsn(t, query[string](t, server.Pool, "select pg_current_wal_flush_lsn()::text"))
	if got := reported(t, reports); got.Progress != wal.Ready || got.Table.Name != "member" || got.From < before {
		t.Errorf("reported %+v, want that member is ready from %s on or later", got, before)
	}
	execute(t, later, "commit")
}

func reported(t *testing.T, reports <-chan wal.TableState) wal.TableState {
	t.Helper()
	select {
	case s := <-reports:
		return s
	case <-time.After(patience):
		t.Fatal("nothing is reported")
		return wal.TableState{}
	}
}

// restricted makes a role that may log in, replicate and create in the database, and gives a URL for it.
func restricted(t *testing.T, url, rights string) (as, role string) {
	t.Helper()
	role = strings.TrimSuffix(newServer(t, url).Slot, slotSuffix) + "_role"
	pgtest.Exec(t, url, fmt.Sprintf("create role %s login %s password 'secret'", role, rights),
		fmt.Sprintf("do $$ begin execute format('grant create on database %%I to %s', current_database()); end $$", role), "grant all on schema public to "+role)
	t.Cleanup(func() { pgtest.Exec(t, url, fmt.Sprintf("drop owned by %[1]s; drop role %[1]s", role)) })
	return url + "&user=" + role + "&password=secret", role
}

// optional makes all wanted tables such as nobody has named.
func optional(want wal.Wanted) wal.Wanted {
	for i := range want.Tables {
		want.Tables[i].Optional = true
	}
	return want
}

// P73: a table of another owner among those that nobody has named is left out, and named with the SQL for its owner.
func TestP73TablesOfOthersAreLeftOut(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create table member (id int primary key)")
	as, role := restricted(t, url, "replication")
	pgtest.Exec(t, url, "alter table orders owner to "+role)
	server := newServer(t, as)
	facts, want := wanted(t, server)
	if _, err := server.Ensure(t.Context(), facts, optional(want)); err != nil {
		t.Fatal(err)
	}
	if got := state(server, "orders").Progress; got != wal.Ready {
		t.Errorf("orders is %s, want it ready", got)
	}
	left := state(server, "member")
	if left.Progress != wal.LeftOut || !strings.Contains(left.Fix, `"member"`) || left.By == "" {
		t.Errorf("member: %+v, want it left out with the SQL and who may run it", left)
	}
	if got := query[string](t, server.Pool, "select relreplident::text from pg_class where oid = 'member'::regclass"); got != "d" {
		t.Errorf("the identity of a table that is left out was changed to %s", got)
	}

	// A later start serves what is published by now, names the other one again, and takes it in when it may.
	again := newServer(t, as)
	facts, err := again.Inspect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(facts.Candidates()); n != 2 {
		t.Errorf("%d candidates after the first start, want both tables", n)
	}
	pgtest.Exec(t, url, "alter table member owner to "+role)
	if _, err := ensure(t, again); err != nil {
		t.Fatal(err)
	}
	facts, want = wanted(t, again)
	if got := state(again, "member").Progress; got != wal.Ready {
		t.Errorf("member is %s once the role owns it", got)
	}
	if _, err := again.Ensure(t.Context(), facts, optional(want)); err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, url, `alter publication "`+publication+`" drop table member`)
	if facts, err = again.Inspect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := len(facts.Candidates()); got != 1 {
		t.Errorf("%d candidates, though somebody took one out of the publication", got)
	}

	// One that was named is refused.
	pgtest.Exec(t, url, "alter table member owner to postgres")
	named := newServer(t, as)
	facts, want = wanted(t, named, "id")
	_, err = named.Ensure(t.Context(), facts, want)
	if refused := (*wal.SetupError)(nil); !errors.As(err, &refused) || wal.Temporary(err) {
		t.Errorf("with a table that was named: error %v, want a refusal", err)
	}
}

// P73: publications of others are left as they are.
func TestP73PublicationsOfOthersAreLeftAlone(t *testing.T) {
	t.Parallel()
	partitioned := []string{
		orders, "create table payment (id int primary key) partition by range (id)",
		"create table payment_low partition of payment for values from (0) to (10)",
	}
	for name, c := range map[string]struct {
		sql  string
		left string
	}{
		"for all tables":                {`create publication "` + publication + `" for all tables`, "payment"},
		"for one table":                 {`create publication "` + publication + `" for table orders with (publish_via_partition_root = true)`, "payment"},
		"for both, under other options": {`create publication "` + publication + `" for table orders, payment`, "payment"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := database(t, append(partitioned, c.sql)...)
			as, role := restricted(t, url, "replication")
			for _, table := range []string{"orders", "payment", "payment_low"} {
				pgtest.Exec(t, url, "alter table "+table+" owner to "+role)
			}
			const now = "select string_agg(x, chr(10)) from (select p::text from pg_publication p union all select r::text from pg_publication_rel r) as everything(x)"
			server := newServer(t, as)
			before := query[string](t, server.Pool, now)
			facts, want := wanted(t, server)
			if _, err := server.Ensure(t.Context(), facts, optional(want)); err != nil {
				t.Fatal(err)
			}
			if after := query[string](t, server.Pool, now); after != before {
				t.Errorf("the publication was changed from %s to %s", before, after)
			}
			if got := state(server, "orders").Progress; got != wal.Ready {
				t.Errorf("orders is %s, want it ready", got)
			}
			if got := state(server, c.left); got.Progress != wal.LeftOut || got.Fix == "" {
				t.Errorf("%s: %+v, want it left out with the SQL", c.left, got)
			}
			pgtest.Exec(t, url, "insert into payment values (1)", "update payment set id = 2", "delete from payment")
		})
	}
}

// P73: on managed servers a membership confers replication, and no flag says so. Here a superuser's connection that acts as
// the role stands for such a server.
func TestP73MayReplicateIsKnownByTrying(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	as, role := restricted(t, url, "")
	facts, _ := wanted(t, newServer(t, as))
	if facts.Replication || facts.Refusal == nil {
		t.Errorf("a role that may not: replication %t, refusal %v, want the server's own word", facts.Replication, facts.Refusal)
	}
	facts, want := wanted(t, newServer(t, url+"&options=-c%20role%3D"+role))
	if facts.Role != role || !facts.Replication {
		t.Errorf("role %s, replication %t: want that it may, for the server lets it", facts.Role, facts.Replication)
	}
	for _, f := range facts.Findings(want) {
		if f.Check == "role" && f.Level != wal.Good {
			t.Errorf("%+v", f)
		}
	}
}

// What setup makes is remembered, in the transaction that makes it, with what was there before.
func TestSetupRemembersWhatItMakes(t *testing.T) {
	t.Parallel()
	url := database(t, orders, "create table member (id int primary key, code int not null)", "create unique index code on member (code)",
		"alter table member replica identity using index code", "create table nothing (id int primary key)", "alter table nothing replica identity nothing")
	prepare(t, newServer(t, url))
	made := pgtest.Query[[]string](t, url, `select array_agg(trim(kind || ' ' || name || ' ' || before) order by kind, name) from mtbreactive.setup`)
	want := []string{
		"publication " + publication, `publication table "public"."member"`, `publication table "public"."nothing"`, `publication table "public"."orders"`,
		`replica identity "public"."member" INDEX "code"`, `replica identity "public"."nothing" NOTHING`, `replica identity "public"."orders" DEFAULT`,
		"slot " + newServer(t, url).Slot,
	}
	if !slices.Equal(made, want) {
		t.Errorf("remembered\n  %s\nwant\n  %s", strings.Join(made, "\n  "), strings.Join(want, "\n  "))
	}
}
