package integration_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestAPartitionedTableIsOneTable(t *testing.T) {
	t.Parallel()
	database := newDatabase(t,
		`create table reading (id int, sensor_id int, at date, celsius float8, primary key (id, at)) partition by range (at)`,
		`create table reading_2025 partition of reading for values from ('2025-01-01') to ('2026-01-01')`,
		`create table reading_2026 partition of reading for values from ('2026-01-01') to ('2027-01-01')`)
	c := connect(t, serve(t, database, `
reactive:
  - table: reading
    scopes: [sensor_id]
`))
	v := c.subscribe("reading", "sensor_id", "3")
	pgtest.Exec(t, database,
		`insert into reading values (1, 3, '2025-12-31', 20.5), (2, 3, '2026-01-01', 21)`,
		`update reading set celsius = 20.75 where id = 1`,
		`delete from reading where id = 2`,
		`update reading set at = '2026-02-01' where id = 1`) // which moves it to the other partition
	c.until("the row is in the other partition", func() bool { return v.rows[`at:"2026-02-01" id:1`] != nil })
	for _, e := range v.events {
		if e.TableName != "reading" || e.SchemaName != "public" {
			t.Errorf("%s of %s.%s, want the partitioned table's name", e.Type, e.SchemaName, e.TableName)
		}
	}
	v.equals(t, database, `select * from reading`)
}

// A partition that is added later has the default replica identity, whatever its table's is: its log does not tell which
// view a row leaves. Then the views begin anew, rather than keep a row that is gone.
func TestAPartitionThatWasAddedLaterLeavesNoRowBehind(t *testing.T) {
	t.Parallel()
	database := newDatabase(t,
		`create table reading (id int, sensor_id int, at date, primary key (id, at)) partition by range (at)`,
		`create table reading_2025 partition of reading for values from ('2025-01-01') to ('2026-01-01')`)
	g := serve(t, database, `
reactive:
  - table: reading
    scopes: [sensor_id]
    snapshot: {limit: 10}
`)
	pgtest.Exec(t, database, `create table reading_2026 partition of reading for values from ('2026-01-01') to ('2027-01-01')`)
	c := connect(t, g)
	v := c.ask("reading", "sensor_id", "3")
	v.keys = []string{"id", "at"}
	c.until("the snapshot has come", func() bool { return v.snapshots == 1 })
	for _, change := range []string{
		`update reading set sensor_id = 4 where id = 1`,
		`delete from reading where id = 2`,
		`update reading set id = 33 where id = 3`,
	} {
		pgtest.Exec(t, database, `insert into reading select n, 3, '2026-01-01' from generate_series(1, 3) n`)
		c.until("the rows have come", func() bool { return len(v.rows) == 3 })
		before := v.snapshots
		pgtest.Exec(t, database, change)
		c.until("a fresh snapshot has come after "+change, func() bool { return v.snapshots > before })
		v.equals(t, database, `select * from reading where sensor_id = 3`)
		pgtest.Exec(t, database, `truncate reading`)
		c.until("the set is empty", func() bool { return len(v.rows) == 0 })
	}
}

// What the stream does not tell of is noticed all the same, and the views begin anew.
func TestP40PartitionsThatComeAndGoInSilence(t *testing.T) {
	t.Parallel()
	database := newDatabase(t,
		`create table reading (id int, sensor_id int, at date, primary key (id, at)) partition by range (at)`,
		`create table reading_2025 partition of reading for values from ('2025-01-01') to ('2026-01-01')`,
		`create table archive (id int, sensor_id int, at date, primary key (id, at))`,
		`insert into reading values (1, 3, '2025-01-01')`, `insert into archive values (2, 3, '2024-01-01')`)
	c := connect(t, serve(t, database, `
reactive:
  - table: reading
    scopes: [sensor_id]
    snapshot: {limit: 10}
`))
	v := c.ask("reading", "sensor_id", "3")
	v.keys = []string{"id", "at"}
	c.until("the snapshot has come", func() bool { return len(v.rows) == 1 })
	for _, step := range []struct {
		sql  string
		rows int
	}{
		{`alter table reading attach partition archive for values from ('2024-01-01') to ('2025-01-01')`, 2},
		{`truncate archive`, 1},
		{`alter table reading detach partition reading_2025`, 0},
	} {
		pgtest.Exec(t, database, step.sql)
		c.until("the view begins anew after "+step.sql, func() bool { return len(v.rows) == step.rows })
		v.equals(t, database, `select * from reading`)
	}
}

func TestP35ALabelThatIsRenamedMakesViewsBeginAnew(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create type mood as enum ('ok', 'sad')`, `create table diary (id int primary key, owner int, mood mood)`,
		`insert into diary values (1, 7, 'ok')`)
	c := connect(t, serve(t, database, `
reactive:
  - table: diary
    scopes: [owner]
    snapshot: {limit: 10}
`))
	v := c.subscribeWithSnapshot("diary", "owner", "7")
	pgtest.Exec(t, database, `alter type mood add value 'great'`, `alter type mood rename value 'ok' to 'fine'`)
	c.until("the view begins anew", func() bool { return v.snapshots == 2 })
	v.equals(t, database, `select * from diary`)
}
