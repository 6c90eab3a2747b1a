package integration_test

import (
	"strings"
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// The primary was set up by nothing but wal_level=logical, and the gateway gets nothing but its address.
func TestEveryTableIsServedWithoutConfiguration(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "logical"})
	database := postgres.URL("postgres")
	pgtest.Exec(t, database, conversations, messages, twoTalks,
		`create schema shop`, `create schema garden`,
		`create table shop.plant (id int primary key, name text)`,
		`create table garden.plant (id uuid primary key, shop_plant_id int references shop.plant)`,
		`create table log_line (text text)`) // without a key nobody could tell its rows apart
	g := &gateway{process: run(t, t.TempDir(), nil, "--database-url", database, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")}
	g.awaitServing()
	g.awaitReady()
	c := connect(t, g)
	v := c.subscribe("message", "conversation_id", "1") // by the foreign key
	c.subscribe("message", "id", "1")                   // by the primary key
	c.subscribe("conversation", "id", "1")
	shop := c.subscribe("shop.plant", "id", "7")
	garden := c.subscribe("garden.plant", "shop_plant_id", "7")
	for _, unknown := range []string{
		`{"type":"subscribe","channel":"plant","scope":{"col":"id","value":7}}`,
		`{"type":"subscribe","channel":"log_line","scope":{"col":"text","value":"x"}}`,
		`{"type":"subscribe","channel":"checkpoint","scope":{"col":"slot","value":"mtbreactive"}}`,
	} {
		c.send(unknown)
		c.expect(`{"type":"error","code":"unknown_channel"}`)
	}
	c.send(`{"type":"subscribe","channel":"message","scope":{"col":"body","value":"x"}}`)
	c.expect(`{"type":"error","code":"invalid_scope"}`)
	pgtest.Exec(t, database,
		`insert into message values (1, 1, 'Ready?')`,
		`insert into shop.plant values (7, 'fern')`,
		`insert into garden.plant values ('0f8fad5b-d9cb-469f-a165-70867728950e', 7)`,
		`update message set conversation_id = 2`)
	c.until("all has come", func() bool { return len(v.events) == 2 && len(shop.events) == 1 && len(garden.events) == 1 })
	if e := garden.events[0]; e.SchemaName != "garden" || e.TableName != "plant" {
		t.Errorf("%s.%s, want the table's own schema", e.SchemaName, e.TableName)
	}
	if got := pgtest.Query[string](t, database, `select string_agg(slot_name || ' ' || plugin, ', ') from pg_replication_slots`); got != "mtbreactive pgoutput" {
		t.Errorf("slots: %s, want mtbreactive alone", got)
	}
}

func TestWalLevelReplicaIsRefusedWithWhatToDo(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{"wal_level": "replica"})
	database := postgres.URL("postgres")
	pgtest.Exec(t, database, conversations)
	g := start(t, database, "")
	if code := g.wait(); code != 1 {
		t.Errorf("exit code %d, want 1", code)
	}
	const mend = `ALTER SYSTEM SET wal_level = 'logical'; -- then restart PostgreSQL`
	if sql := advised(g.stderr.String()); len(sql) == 0 || sql[0] != mend {
		t.Errorf("the refusal does not say what to do:\n%s", g.stderr)
	}
	code, stdout, _ := command(t, "doctor", "--database-url", database)
	if code != 1 || !strings.Contains(stdout, "FAIL   wal_level") || !strings.Contains(stdout, mend) {
		t.Errorf("doctor: exit code %d\n%s", code, stdout)
	}
	pgtest.Exec(t, database, strings.TrimSuffix(mend, " -- then restart PostgreSQL"))
	if err := postgres.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	serve(t, database, "")
}
