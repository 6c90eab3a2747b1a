package wal_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
	"github.com/reactive-gw/reactive-gw/wal"
)

// plan lists what uninstall would do, in its order.
func plan(t *testing.T, server *wal.Server) (list []string) {
	t.Helper()
	remains, err := server.Remains(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range remains.Removals(server.Slot, server.Publication) {
		if one.Left != "" {
			list = append(list, "left "+one.What+": "+one.Left)
		} else {
			list = append(list, one.SQL)
		}
	}
	return list
}

func TestUninstallUndoesWhatIsRememberedInASafeOrder(t *testing.T) {
	t.Parallel()
	url := database(t, orders, `create table "It's" (a int primary key, b int not null, c int)`, `create unique index "By ""b""" on "It's" (b)`,
		`create table keyless (a int)`, `create table elsewhere (a int)`, `create table untouched (a int primary key)`, `create table other (a int primary key)`,
		`create table nothing (a int primary key)`,
		`create publication theirs for table elsewhere, other`)
	server := newServer(t, url)
	prepare(t, server)
	pgtest.Exec(t, url, "delete from mtbreactive.setup", `create trigger mtbreactive_notify after insert on other for each row execute function mtbreactive.notify_change('x')`)
	for _, name := range []string{"orders", `"It's"`, "keyless", "elsewhere", "nothing"} {
		pgtest.Exec(t, url, "alter table "+name+" replica identity full")
	}
	pgtest.Exec(t, url, `alter table untouched replica identity default`)
	for _, m := range []wal.Made{
		{Kind: wal.MadeIdentity, Name: `"public"."orders"`, Before: "DEFAULT"},
		{Kind: wal.MadeIdentity, Name: `"public"."It's"`, Before: `INDEX "By ""b"""`},
		{Kind: wal.MadeIdentity, Name: `"public"."keyless"`, Before: "DEFAULT"},
		{Kind: wal.MadeIdentity, Name: `"public"."elsewhere"`, Before: "DEFAULT"},
		{Kind: wal.MadeIdentity, Name: `"public"."untouched"`, Before: "NOTHING"},
		{Kind: wal.MadeIdentity, Name: `"public"."gone"`, Before: "DEFAULT"},
		{Kind: wal.MadeIdentity, Name: `"public"."nothing"`, Before: `DEFAULT; ALTER ROLE mallory SUPERUSER`},
		{Kind: wal.MadePublication, Name: server.Publication},
		{Kind: wal.MadeSlot, Name: server.Slot},
	} {
		if err := server.Record(t.Context(), server.Pool, m); err != nil {
			t.Fatal(err)
		}
	}
	pgtest.Exec(t, url, "insert into mtbreactive.setup (kind, name, publication) values ('publication table', '\"public\".\"other\"', 'theirs'), ('publication table', '\"public\".\"keyless\"', 'theirs')")
	got := plan(t, server)
	want := []string{
		"SELECT pg_catalog.pg_drop_replication_slot('" + server.Slot + "');",
		`DROP PUBLICATION "` + publication + `";`,
		`ALTER PUBLICATION "theirs" DROP TABLE ONLY "public"."other";`,
		`ALTER TABLE ONLY "public"."orders" REPLICA IDENTITY DEFAULT;`,
		`ALTER TABLE ONLY "public"."It's" REPLICA IDENTITY USING INDEX "By ""b""";`,
		`ALTER TABLE ONLY "public"."keyless" REPLICA IDENTITY DEFAULT;`,
		`left replica identity of "public"."elsewhere": another publication has the table, and with DEFAULT the server would refuse its updates`,
		`left replica identity of "public"."untouched": it is FULL no more: somebody has changed it since`,
		`left replica identity of "public"."gone": the table is gone, or has another name`,
		`left replica identity of "public"."nothing": it is remembered as "DEFAULT; ALTER ROLE mallory SUPERUSER", which is none`,
		`DROP TRIGGER "mtbreactive_notify" ON "public"."other";`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n  %s\nwant\n  %s", strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
	for _, sql := range got {
		if !strings.HasPrefix(sql, "left ") {
			if err := server.Undo(t.Context(), "", sql); err != nil {
				t.Error(err)
			}
			pgtest.Exec(t, url, "insert into elsewhere values (1)", "update elsewhere set a = 2", "update orders set id = id", "update keyless set a = a") // no statement of an application fails
		}
	}
}

// Objects that are not remembered may be somebody else's. They are named, and stay.
func TestUninstallLeavesAloneWhatIsNotRemembered(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	server := newServer(t, url)
	prepare(t, server)
	for _, sql := range []string{"delete from mtbreactive.setup", "drop table mtbreactive.setup", "drop schema mtbreactive cascade"} {
		pgtest.Exec(t, url, sql)
		got := plan(t, server)
		if len(got) != 2 || !strings.HasPrefix(got[0], "left slot "+server.Slot) || !strings.HasPrefix(got[1], "left publication "+publication) {
			t.Errorf("%s: %q", sql, got)
		}
	}
}

// Another gateway on the same database keeps what both use.
func TestUninstallLeavesWhatOtherGatewaysUse(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	server := newServer(t, url)
	prepare(t, server)
	other := server.Slot + "_2"
	pgtest.Exec(t, url, "delete from mtbreactive.setup", "select pg_create_logical_replication_slot('"+other+"', 'pgoutput')",
		"insert into mtbreactive.setup (kind, name) values ('slot', '"+server.Slot+"'), ('slot', '"+other+"'), ('publication', '"+publication+"')")
	defer pgtest.Exec(t, url, "select pg_drop_replication_slot('"+other+"')")
	got := plan(t, server)
	if len(got) != 2 || !strings.Contains(got[0], "pg_drop_replication_slot") || !strings.Contains(got[1], "there is slot "+other) {
		t.Errorf("%q", got)
	}
}

// A table that somebody holds is tried in short attempts, and then said.
func TestUninstallTriesALockedTableInShortAttempts(t *testing.T) {
	t.Parallel()
	url := database(t, orders)
	server := newServer(t, url)
	reader, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close(context.WithoutCancel(t.Context()))
	if _, err := reader.Exec(t.Context(), "begin; select from orders"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		done <- server.Undo(t.Context(), `"public"."orders"`, `ALTER TABLE ONLY "public"."orders" REPLICA IDENTITY FULL`)
	}()
	eventually(t, "it waits", func() bool {
		return query[bool](t, server.Pool, "select exists (select from pg_locks where relation = 'orders'::regclass and mode = 'AccessExclusiveLock' and not granted)")
	})
	if _, err := reader.Exec(t.Context(), "commit"); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil || errors.Is(err, wal.ErrLocked) {
		t.Errorf("error %v", err)
	}
}

// Two entries about a table, which differ in what the first one says, lend each other nothing.
func TestUninstallRunsNothingThatIsRemembered(t *testing.T) {
	t.Parallel()
	const table = `"public"."t"`
	entry := func(publication, before string) wal.RememberedMade {
		return wal.RememberedMade{Made: wal.Made{Kind: wal.MadeIdentity, Name: table, Before: before}, Publication: publication}
	}
	remains := &wal.Remains{Remembered: true,
		Made:   []wal.RememberedMade{entry("", `INDEX "i"`), entry("x", "DEFAULT, OWNER TO mallory")},
		Tables: map[string]*wal.IdentityFacts{table: {Identity: 'f', Index: `"i"`, Key: true}},
	}
	var run []string
	for _, r := range remains.Removals("s", "p") {
		if r.SQL != "" {
			run = append(run, r.SQL)
		}
	}
	if want := `ALTER TABLE ONLY "public"."t" REPLICA IDENTITY USING INDEX "i";`; len(run) != 1 || run[0] != want {
		t.Errorf("it would run %q, want %s alone", run, want)
	}
}
