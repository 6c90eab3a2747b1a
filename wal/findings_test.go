package wal_test

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/reactive-gw/reactive-gw/wal"
)

// goodFacts are those of a server on which all is as it should be, with one table whose scope is the customer.
func goodFacts() (*wal.Facts, wal.Wanted) {
	name := wal.TableName{Schema: "public", Name: "orders"}
	table := &wal.TableInfo{
		TableName: name, OID: 1, PrimaryKey: []string{"id"}, KeyIdentifies: true, Columns: []wal.ColumnInfo{{Name: "id"}, {Name: "customer"}},
		Leaves: []wal.LeafInfo{{TableName: name, Identity: 'f'}},
	}
	facts := &wal.Facts{
		Version: 150018, WALLevel: "logical", Encoding: "UTF8", Role: "shop", Replication: true,
		FreeSlots: 3, FreeSenders: 2, MaxSlots: 10, MaxSenders: 10, CurrentDatabase: "shop", Tables: []*wal.TableInfo{table},
		Slot:     &wal.SlotFacts{Plugin: "pgoutput", Logical: true, Database: "shop", WALStatus: "reserved", Confirmed: 0x1000, KeepSize: 4 << 30, Failover: true},
		Settings: wal.Settings{KeepSize: 4 << 30, SenderTimeout: time.Minute},
		Publication: &wal.PublicationFacts{
			ViaRoot: true, Insert: true, Update: true, Delete: true, Truncate: true, Tables: map[wal.TableName]bool{name: true},
			Filtered: map[wal.TableName]bool{}, Columns: map[wal.TableName][]string{name: {"id", "customer"}}, Listed: map[wal.TableName]bool{},
		},
	}
	return facts, wal.Wanted{Slot: "shop", Publication: "Shop", Tables: []wal.WantedTable{{TableInfo: table, Scopes: []string{"customer"}}}}
}

func TestFindingsOfAGoodServer(t *testing.T) {
	facts, want := goodFacts()
	var checks []string
	for _, f := range facts.Findings(want) {
		if f.Level != wal.Good || f.Detail == "" || f.Fix != "" {
			t.Errorf("%+v: want it good, with a word on why, and nothing to mend", f)
		}
		checks = append(checks, f.Check)
	}
	all := []string{"version", "wal_level", "primary", "encoding", "role", "connection", "max_wal_senders",
		"max_slot_wal_keep_size", "wal_sender_timeout", "synchronous_standby_names", "publication", "table public.orders", "slot shop", "retained log"}
	if !slices.Equal(checks, all) {
		t.Errorf("checks %q, want %q", checks, all)
	}
}

func TestFindings(t *testing.T) {
	type change = func(f *wal.Facts, w *wal.Wanted)
	table := func(w *wal.Wanted) *wal.TableInfo { return w.Tables[0].TableInfo }
	name := wal.TableName{Schema: "public", Name: "orders"}
	const full = `ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;`
	const create = "SELECT pg_catalog.pg_create_logical_replication_slot('shop', 'pgoutput');"
	const remake = "SELECT pg_catalog.pg_drop_replication_slot('shop'); " + create
	for what, c := range map[string]struct {
		change      change
		check       string
		level       wal.Level
		detail, fix string
	}{
		"old server": {func(f *wal.Facts, _ *wal.Wanted) { f.Version = 130012 },
			"version", wal.Fail, "PostgreSQL 13 is too old", "-- upgrade to PostgreSQL 14 or newer"},
		"wal_level": {func(f *wal.Facts, _ *wal.Wanted) { f.WALLevel = "replica" },
			"wal_level", wal.Fail, "wal_level is replica, logical decoding needs logical", "ALTER SYSTEM SET wal_level = 'logical'; -- then restart PostgreSQL"},
		"standby": {func(f *wal.Facts, _ *wal.Wanted) { f.InRecovery = true },
			"primary", wal.Fail, "the server is a standby", "-- connect to the primary"},
		"encoding": {func(f *wal.Facts, _ *wal.Wanted) { f.Encoding = "SQL_ASCII" },
			"encoding", wal.Fail, "SQL_ASCII", "-- move the data to a database made with ENCODING 'UTF8'"},
		"role": {func(f *wal.Facts, _ *wal.Wanted) { f.Replication, f.Role = false, `the "shop"` },
			"role", wal.Fail, `role the "shop" may not open replication connections`, `ALTER ROLE "the ""shop""" REPLICATION;`},
		"a stranger's publication": {func(f *wal.Facts, _ *wal.Wanted) { f.Publication.Stranger = "mallory" },
			"publication", wal.Warn, "publication Shop belongs to role mallory", `-- unless it is meant so: ALTER PUBLICATION "Shop" OWNER TO "shop";`},
		"a stranger's function": {func(f *wal.Facts, _ *wal.Wanted) {
			f.StrangersCode = map[wal.TableName]wal.StrangersCode{name: {What: []string{"function f() of role mallory in index i"}, Fix: []string{"ALTER ROUTINE f() OWNER TO shop;"}}}
		},
			"table public.orders", wal.Warn, "its snapshots are refused",
			"-- drop what calls them or, once you have read them and trust them:\n-- ALTER ROUTINE f() OWNER TO shop;"},
		"unreadable table": {func(_ *wal.Facts, w *wal.Wanted) { table(w).Unreadable = true },
			"table public.orders", wal.Warn, "role shop may not read it", `GRANT USAGE ON SCHEMA "public" TO "shop"; GRANT SELECT ON "public"."orders" TO "shop";`},
		"pooler": {func(f *wal.Facts, _ *wal.Wanted) { f.ProxyInBetween = true },
			"connection", wal.Warn, "a pooler stands between", "-- give databaseUrl the server's own address"},
		"no free walsender": {func(f *wal.Facts, _ *wal.Wanted) { f.FreeSenders = 0 },
			"max_wal_senders", wal.Fail, "all 10 are in use", "ALTER SYSTEM SET max_wal_senders = 15; -- then restart PostgreSQL"},
		"no free walsender, but one is that of this slot": {func(f *wal.Facts, _ *wal.Wanted) { f.FreeSenders, f.Slot.Active, f.Slot.ActivePID = 0, true, 42 },
			"slot shop", wal.Warn, "is in use by process 42: a second gateway waits for its turn", ""},

		"no publication": {func(f *wal.Facts, _ *wal.Wanted) { f.Publication = nil },
			"publication", wal.Mendable, "there is no publication Shop",
			`CREATE PUBLICATION "Shop" WITH (publish_via_partition_root = true);`},
		"no publication, version 18": {func(f *wal.Facts, _ *wal.Wanted) { f.Publication, f.Version = nil, 180004 },
			"publication", wal.Mendable, "there is no publication Shop",
			`CREATE PUBLICATION "Shop" WITH (publish_via_partition_root = true, publish_generated_columns = stored);`},
		"nothing to publish": {func(f *wal.Facts, w *wal.Wanted) { f.Publication, w.Tables = nil, nil },
			"publication", wal.Fail, "there is no publication Shop, and no table with a primary key to publish", "-- create a table with a primary key first"},
		"a kind of change": {func(f *wal.Facts, _ *wal.Wanted) { f.Publication.Truncate = false },
			"publication", wal.Fail, "leaves out a kind of change", `ALTER PUBLICATION "Shop" SET (publish = 'insert, update, delete, truncate');`},
		"partitions under their names": {func(f *wal.Facts, w *wal.Wanted) { f.Publication.ViaRoot, table(w).Partitioned = false, true },
			"publication", wal.Mendable, "under the names of their partitions", `ALTER PUBLICATION "Shop" SET (publish_via_partition_root = true);`},
		"a table that is not published": {func(f *wal.Facts, _ *wal.Wanted) { f.Publication.Tables = nil },
			"table public.orders", wal.Mendable, "is not in publication Shop", `ALTER PUBLICATION "Shop" ADD TABLE ONLY "public"."orders";`},
		"a partitioned table that is not published": {func(f *wal.Facts, w *wal.Wanted) { f.Publication.Tables, table(w).Partitioned = nil, true },
			"table public.orders", wal.Mendable, "is not in publication Shop", `ALTER PUBLICATION "Shop" ADD TABLE "public"."orders";`},
		"a partitioned table whose key is deferrable": {func(f *wal.Facts, w *wal.Wanted) {
			f.Publication.Tables, table(w).Partitioned, table(w).KeyIdentifies = nil, true, false
		},
			"table public.orders", wal.Fail, "no primary key can be the replica identity of partitions that are made later", `-- give "public"."orders" a primary key that is not DEFERRABLE; or publish it yourself, and give each partition REPLICA IDENTITY FULL when it is made`},
		"all tables are published": {func(f *wal.Facts, _ *wal.Wanted) { f.Publication.Tables, f.Publication.AllTables = nil, true },
			"publication", wal.Good, "Shop has 0 tables", ""},
		"generated columns, version 18": {func(f *wal.Facts, w *wal.Wanted) {
			f.Version, table(w).Columns[1].Generated = 180004, wal.StoredGenerated
		},
			"publication", wal.Mendable, "leaves out the generated columns of tables", `ALTER PUBLICATION "Shop" SET (publish_generated_columns = stored);`},

		"no primary key": {func(_ *wal.Facts, w *wal.Wanted) { table(w).PrimaryKey = nil },
			"table public.orders", wal.Fail, "has no primary key", `-- ALTER TABLE "public"."orders" ADD PRIMARY KEY (...);`},
		"a column list without the scope": {func(f *wal.Facts, _ *wal.Wanted) { f.Publication.Columns[name] = []string{"id"} },
			"table public.orders", wal.Fail, "the publication's column list leaves out customer",
			`-- put "customer" into the column list of "public"."orders" in publication "Shop", or drop the list`},
		"a row filter": {func(f *wal.Facts, _ *wal.Wanted) { f.Publication.Filtered[name] = true },
			"table public.orders", wal.Warn, "the publication filters its rows", ""},
		"identity without the scope": {func(_ *wal.Facts, w *wal.Wanted) {
			table(w).Leaves[0].Identity, table(w).Leaves[0].Columns = 'd', []string{"id"}
		},
			"table public.orders", wal.Mendable, "leave out columns that scopes, filterRow or authorize look at", full},
		"identity nothing": {func(_ *wal.Facts, w *wal.Wanted) { table(w).Leaves[0].Identity = 'n' },
			"table public.orders", wal.Mendable, "leave out columns that scopes, filterRow or authorize look at", full},
		"identity of the key, which is the scope": {func(_ *wal.Facts, w *wal.Wanted) {
			w.Tables[0].Scopes = []string{"id"}
			table(w).Leaves[0].Identity, table(w).Leaves[0].Columns = 'd', []string{"id"}
		}, "table public.orders", wal.Mendable, "hold only the key", full},
		"identity of an index that covers all": {func(_ *wal.Facts, w *wal.Wanted) {
			table(w).Leaves[0].Identity, table(w).Leaves[0].Columns = 'i', []string{"id", "customer"}
		}, "table public.orders", wal.Warn, "hold only its identity index", full},
		"a table of another owner, whose identity leaves out a scope": {func(_ *wal.Facts, w *wal.Wanted) {
			table(w).Leaves[0] = wal.LeafInfo{TableName: name, Identity: 'd', Columns: []string{"id"}, Owner: "stock"}
		}, "table public.orders", wal.Fail, "role shop does not own it", full},
		"a table of another owner, whose identity is enough": {func(_ *wal.Facts, w *wal.Wanted) {
			w.Tables[0].Scopes = nil
			table(w).Leaves[0] = wal.LeafInfo{TableName: name, Identity: 'd', Columns: []string{"id"}, Owner: "stock"}
		}, "table public.orders", wal.Warn, "an update lists every other column as changed", full},
		"a table of another owner that is not published": {func(f *wal.Facts, w *wal.Wanted) { f.Publication.Tables, table(w).Owner = nil, "stock" },
			"table public.orders", wal.Fail, "it takes the rights of the table's owner, stock, and of the publication's, shop", `ALTER PUBLICATION "Shop" ADD TABLE ONLY "public"."orders";`},
		"a table that is not published, and nobody has named": {func(f *wal.Facts, w *wal.Wanted) {
			f.Publication.Tables, table(w).Owner, w.Tables[0].Optional = nil, "stock", true
		}, "table public.orders", wal.Warn, "is not served: is not in publication Shop", `ALTER PUBLICATION "Shop" ADD TABLE ONLY "public"."orders";`},
		"a deferrable key, which is no identity": {func(_ *wal.Facts, w *wal.Wanted) { table(w).Leaves[0] = wal.LeafInfo{TableName: name, Identity: 'd'} },
			"table public.orders", wal.Mendable, "leave out columns", full},
		"a foreign partition": {func(_ *wal.Facts, w *wal.Wanted) { table(w).Leaves[0].Kind = 'f' },
			"table public.orders", wal.Fail, "is a foreign table, whose changes no log has", `-- ALTER TABLE "public"."orders" DETACH PARTITION "public"."orders"; if its rows need not be there`},
		"an option of a publication of all tables": {func(f *wal.Facts, w *wal.Wanted) {
			f.Publication.AllTables, f.Publication.ViaRoot, table(w).Partitioned = true, false, true
		}, "table public.orders", wal.Fail, "the publication is not the gateway's to alter", `ALTER PUBLICATION "Shop" SET (publish_via_partition_root = true);`},
		"no right to make the publication": {func(f *wal.Facts, _ *wal.Wanted) { f.Publication, f.Creator = nil, "boss" },
			"publication", wal.Fail, "role shop may not create one in this database", `CREATE PUBLICATION "Shop" WITH (publish_via_partition_root = true);`},
		"a right that could not be tried": {func(f *wal.Facts, _ *wal.Wanted) { f.Replication, f.Untried = false, errors.New("no route") },
			"role", wal.Warn, "could not be tried: no route", ""},
		"FULL and a column list": {func(f *wal.Facts, _ *wal.Wanted) { f.Publication.Listed[name] = true },
			"table public.orders", wal.Fail, "the server refuses to update or delete rows of public.orders",
			`-- drop the column list of "public"."orders" from publication "Shop"`},
		"FULL and virtual columns": {func(_ *wal.Facts, w *wal.Wanted) { table(w).Columns[1].Generated = wal.VirtualGenerated },
			"table public.orders", wal.Fail, "the table has virtual generated columns", `-- make the virtual generated columns of "public"."orders" STORED`},
		"a column list, and an identity that does not cover": {func(f *wal.Facts, w *wal.Wanted) {
			f.Publication.Listed[name], table(w).Leaves[0].Identity, table(w).Leaves[0].Columns = true, 'd', []string{"id"}
		}, "table public.orders", wal.Fail, "REPLICA IDENTITY FULL is not possible",
			`-- drop the column list of "public"."orders" from publication "Shop", or give it a unique index over id, customer as REPLICA IDENTITY`},
		"a column list, and an identity that covers": {func(f *wal.Facts, w *wal.Wanted) {
			f.Publication.Listed[name], table(w).Leaves[0].Identity, table(w).Leaves[0].Columns = true, 'i', []string{"id", "customer"}
		}, "table public.orders", wal.Warn, "hold only its identity", `-- drop the column list of "public"."orders" from publication "Shop"`},

		"no slot": {func(f *wal.Facts, _ *wal.Wanted) { f.Slot = nil }, "slot shop", wal.Mendable, "does not exist", create},
		"no slot and none free": {func(f *wal.Facts, _ *wal.Wanted) { f.Slot, f.FreeSlots = nil, 0 },
			"slot shop", wal.Fail, "all 10 replication slots are in use", "ALTER SYSTEM SET max_replication_slots = 15; -- then restart PostgreSQL"},
		"physical slot": {func(f *wal.Facts, _ *wal.Wanted) { f.Slot.Logical, f.Slot.Plugin = false, "" },
			"slot shop", wal.Fail, "is no logical slot of pgoutput", "-- choose another slot name or, if nobody needs it: " + remake},
		"slot of another plugin": {func(f *wal.Facts, _ *wal.Wanted) { f.Slot.Plugin = "wal2json" },
			"slot shop", wal.Fail, "is no logical slot of pgoutput", "-- choose another slot name or, if nobody needs it: " + remake},
		"slot of another database": {func(f *wal.Facts, _ *wal.Wanted) { f.Slot.Database = "stock" },
			"slot shop", wal.Fail, "belongs to database stock", "-- choose another slot name, or connect to that database"},
		"temporary slot": {func(f *wal.Facts, _ *wal.Wanted) { f.Slot.Temporary = true },
			"slot shop", wal.Fail, "is temporary and belongs to another session", "-- choose another slot name"},
		"lost slot": {func(f *wal.Facts, _ *wal.Wanted) { f.Slot.WALStatus = "lost" },
			"slot shop", wal.Mendable, "is lost: the server removed log that it still needed", remake},
		"lost slot, version 18": {func(f *wal.Facts, _ *wal.Wanted) {
			f.Version, f.Slot.WALStatus, f.Slot.Invalidated = 180004, "lost", "idle_timeout"
		}, "slot shop", wal.Mendable, "no gateway ran for longer than idle_replication_slot_timeout",
			"SELECT pg_catalog.pg_drop_replication_slot('shop'); SELECT pg_catalog.pg_create_logical_replication_slot('shop', 'pgoutput', failover => true);"},

		"minor version": {func(f *wal.Facts, _ *wal.Wanted) { f.Version = 150013 },
			"version", wal.Warn, "PostgreSQL 15.13 may lose changes", "-- upgrade to PostgreSQL 15.14 or newer"},
		"little log may be kept": {func(f *wal.Facts, _ *wal.Wanted) { f.Settings.KeepSize = 64 << 20 },
			"max_slot_wal_keep_size", wal.Warn, "64 MB: the slot is lost", "ALTER SYSTEM SET max_slot_wal_keep_size = '10GB'; SELECT pg_reload_conf();"},
		"all log is kept": {func(f *wal.Facts, _ *wal.Wanted) { f.Settings.KeepSize = -1 },
			"max_slot_wal_keep_size", wal.Good, "until the disk is full", ""},
		"idle timeout": {func(f *wal.Facts, _ *wal.Wanted) { f.Settings.IdleTimeout = time.Hour },
			"idle_replication_slot_timeout", wal.Warn, "when no gateway runs for 1h0m0s", "ALTER SYSTEM SET idle_replication_slot_timeout = 0; SELECT pg_reload_conf();"},
		"no idle timeout": {func(f *wal.Facts, _ *wal.Wanted) { f.Version = 180004 }, "idle_replication_slot_timeout", wal.Good, "none", ""},
		"impatient server": {func(f *wal.Facts, _ *wal.Wanted) { f.Settings.SenderTimeout = 500 * time.Millisecond },
			"wal_sender_timeout", wal.Warn, "after 500ms without a word", "ALTER SYSTEM SET wal_sender_timeout = '60s'; SELECT pg_reload_conf();"},
		"a server that waits for ever": {func(f *wal.Facts, _ *wal.Wanted) { f.Settings.SenderTimeout = 0 }, "wal_sender_timeout", wal.Good, "after 10s", ""},
		"nobody answers commits": {func(f *wal.Facts, _ *wal.Wanted) { f.Settings.SyncNames = "nobody" },
			"synchronous_standby_names", wal.Warn, "commits wait for nobody, and none", "ALTER SYSTEM RESET synchronous_standby_names; SELECT pg_reload_conf();"},
		"somebody answers commits": {func(f *wal.Facts, _ *wal.Wanted) { f.Settings.SyncNames, f.Settings.SyncStandbys = "s1", 1 },
			"synchronous_standby_names", wal.Good, "nobody who is away", ""},
		"who answers commits is hidden": {func(f *wal.Facts, _ *wal.Wanted) { f.Settings.SyncNames, f.Settings.SyncHidden = "s1", true },
			"synchronous_standby_names", wal.Good, "nobody who is away", ""},
		"half of the log is held back": {func(f *wal.Facts, _ *wal.Wanted) { f.Slot.Retained = 3 << 30 },
			"retained log", wal.Warn, "holds back 3072 of 4096 MB", "ALTER SYSTEM SET max_slot_wal_keep_size = '12289MB'; SELECT pg_reload_conf();"},
		"no failover": {func(f *wal.Facts, _ *wal.Wanted) { f.Version, f.Slot.Failover = 170006, false },
			"failover of slot shop", wal.Warn, "standbys have no copy", "-- stop the gateway; then, connected with replication=database:\nALTER_REPLICATION_SLOT \"shop\" ( FAILOVER true );"},
		"failover": {func(f *wal.Facts, _ *wal.Wanted) { f.Version = 170006 }, "failover of slot shop", wal.Good, "sync_replication_slots = on", ""},
		"failover without a gate": {func(f *wal.Facts, _ *wal.Wanted) { f.Version, f.Settings.Standbys = 170006, 1 },
			"failover of slot shop", wal.Warn, "synchronized_standby_slots is empty", "ALTER SYSTEM SET synchronized_standby_slots = '...'; SELECT pg_reload_conf(); -- the slots that the standbys replicate through"},
		"failover, and the standby is away": {func(f *wal.Facts, _ *wal.Wanted) {
			f.Version, f.Settings.FailoverGate, f.Settings.FailoverAbsent = 170006, "s1", []string{"s1"}
		}, "failover of slot shop", wal.Warn, "nobody uses s1", "ALTER SYSTEM SET synchronized_standby_slots = ''; SELECT pg_reload_conf(); -- or start the standby"},
	} {
		t.Run(what, func(t *testing.T) {
			facts, want := goodFacts()
			c.change(facts, &want)
			var found []wal.Finding
			for _, f := range facts.Findings(want) {
				if f.Check == c.check && f.Level == c.level && strings.Contains(f.Detail, c.detail) && f.Fix == c.fix {
					return
				}
				if f.Level != wal.Good {
					found = append(found, f)
				}
			}
			t.Errorf("found %+v, want %s: %q with %q", found, c.check, c.detail, c.fix)
		})
	}
}

func TestCandidatesAreWhatIsPublishedOrHasAKey(t *testing.T) {
	info := func(name string, key ...string) *wal.TableInfo {
		return &wal.TableInfo{TableName: wal.TableName{Schema: "public", Name: name}, PrimaryKey: key}
	}
	keyless, own, root := info("log"), info("geometry", "id"), info("payment", "id")
	own.Extension, root.Partitioned = true, true
	tables := []*wal.TableInfo{info("orders", "id"), info("member", "id"), keyless, own, root}
	published := map[wal.TableName]bool{{Schema: "public", Name: "orders"}: true, keyless.TableName: true, root.TableName: true}
	for what, c := range map[string]struct {
		publication *wal.PublicationFacts
		want        string
	}{
		"no publication":     {nil, "member orders payment"},
		"all tables":         {&wal.PublicationFacts{AllTables: true}, "member orders payment"},
		"some, via the root": {&wal.PublicationFacts{Tables: maps.Clone(published), ViaRoot: true}, "orders payment"},
		"some, by partition": {&wal.PublicationFacts{Tables: maps.Clone(published)}, "orders"},
	} {
		var names []string
		for _, table := range (&wal.Facts{Tables: tables, Publication: c.publication}).Candidates() {
			names = append(names, table.Name)
		}
		slices.Sort(names)
		if got := strings.Join(names, " "); got != c.want {
			t.Errorf("%s: %s, want %s", what, got, c.want)
		}
	}
}

// An operator who runs the SQL from the top may stop anywhere: a table's identity comes before its membership, for all tables.
func TestFindingsAreInASafeOrder(t *testing.T) {
	facts, want := goodFacts()
	second := *want.Tables[0].TableInfo
	second.Name = "line"
	second.Leaves = []wal.LeafInfo{{TableName: second.TableName, Identity: 'd', Columns: []string{"id"}}}
	want.Tables[0].Leaves[0].Identity = 'n'
	want.Tables = append(want.Tables, wal.WantedTable{TableInfo: &second})
	facts.Tables = append(facts.Tables, &second)
	facts.Publication.Tables, facts.Publication.Update, facts.Slot, facts.WALLevel = nil, false, nil, "replica"
	var fixes []string
	for _, f := range facts.Findings(want) {
		if f.Level >= wal.Mendable {
			fixes = append(fixes, f.By+": "+f.Fix)
		}
	}
	expected := []string{
		"a superuser: ALTER SYSTEM SET wal_level = 'logical'; -- then restart PostgreSQL",
		`role shop: ALTER TABLE "public"."orders" REPLICA IDENTITY FULL;`,
		`role shop: ALTER TABLE "public"."line" REPLICA IDENTITY FULL;`,
		`role shop: ALTER PUBLICATION "Shop" ADD TABLE ONLY "public"."orders";`,
		`role shop: ALTER PUBLICATION "Shop" ADD TABLE ONLY "public"."line";`,
		`role shop: ALTER PUBLICATION "Shop" SET (publish = 'insert, update, delete, truncate');`,
		`role shop: SELECT pg_catalog.pg_create_logical_replication_slot('shop', 'pgoutput');`,
	}
	if !slices.Equal(fixes, expected) {
		t.Errorf("in this order:\n  %s\nwant\n  %s", strings.Join(fixes, "\n  "), strings.Join(expected, "\n  "))
	}
}

// The index that costs less than FULL is offered with it.
func TestFindingsOfferAnIdentityIndex(t *testing.T) {
	facts, want := goodFacts()
	want.Tables[0].Leaves[0] = wal.LeafInfo{TableName: want.Tables[0].TableName, Identity: 'd', Columns: []string{"id"}}
	want.Tables[0].Columns[0].NotNull = true
	for _, f := range facts.Findings(want) {
		if f.Level != wal.Mendable {
			continue
		}
		for _, part := range []string{
			`CREATE UNIQUE INDEX CONCURRENTLY "orders_identity" ON "public"."orders" ("customer", "id");`,
			`ALTER TABLE "public"."orders" REPLICA IDENTITY USING INDEX "orders_identity";`, "NOT NULL, which customer may not be yet",
		} {
			if !strings.Contains(f.Or, part) {
				t.Errorf("%s\nlacks %s", f.Or, part)
			}
		}
		for line := range strings.Lines(f.Or) {
			if !strings.HasPrefix(line, "--") {
				t.Errorf("%q is no comment", line)
			}
		}
	}
}
