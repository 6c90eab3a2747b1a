package integration_test

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

func TestASnapshotIsLimitedAndInItsOrder(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, conversations, messages, twoTalks,
		`insert into message values (1, 1, 'b'), (2, 1, 'c'), (3, 1, 'a'), (4, 1, 'c'), (5, 2, 'd')`)
	c := connect(t, serve(t, database, `
reactive:
  - table: message
    scopes: [conversation_id]
    snapshot: {limit: 3, orderBy: body DESC}
`))
	c.ask("message", "conversation_id", "1")
	const scope = `"channel":"message","scope":{"col":"conversation_id","value":1}`
	c.expect(
		`{"type":"subscribed",`+scope+`}`,
		`{"type":"snapshot",`+scope+`,"rows":[{"id":2,"conversation_id":1,"body":"c"},{"id":4,"conversation_id":1,"body":"c"},{"id":1,"conversation_id":1,"body":"b"}]}`)
}

// A commit is in the log before it is visible; with a synchronous standby that does not answer, for as long as one likes.
// The stream has brought it, the snapshot does not show it, and the subscriber gets it all the same, once.
func TestASnapshotMissesNoCommitThatIsLoggedAndNotYetVisible(t *testing.T) {
	t.Parallel()
	postgres := pgtest.Cluster(t, map[string]string{
		"wal_level": "logical", "synchronous_standby_names": "nobody", "synchronous_commit": "local",
	})
	database := postgres.URL("postgres")
	pgtest.Exec(t, database, conversations, messages, twoTalks)
	g := serve(t, database, snapshots)

	writer, err := pgx.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = writer.Close(context.Background()) }()
	written := make(chan error, 1)
	go func() {
		_, err := writer.Exec(context.Background(), `begin; set local synchronous_commit = on; insert into message values (1, 1, 'Ready?'); commit`, pgx.QueryExecModeSimpleProtocol)
		written <- err
	}()
	eventually(t, "the stream has brought the commit", func() bool { return g.metric("reactive_transactions_total") == 1 })
	if got := pgtest.Query[int](t, database, `select count(*) from message`); got != 0 {
		t.Fatal("the commit is visible, so that nothing is tested")
	}
	c := connect(t, g)
	c.ask("message", "conversation_id", "1")
	const scope = `"channel":"message","scope":{"col":"conversation_id","value":1}`
	c.expect(
		`{"type":"subscribed",`+scope+`}`,
		`{"type":"snapshot",`+scope+`,"rows":[]}`,
		`{"type":"change",`+scope+`,"event":{"type":"afterInsert","schemaName":"public","tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"Ready?"}}}`)

	pgtest.Exec(t, database, `select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'`)
	if err := <-written; err != nil {
		t.Fatal(err)
	}
	pgtest.Exec(t, database, `update message set body = 'Go' where id = 1`)
	c.expect(`{"type":"change",` + scope + `,"event":{"type":"afterUpdate","schemaName":"public","tableName":"message","primaryKey":{"id":1},"row":{"id":1,"conversation_id":1,"body":"Go"},"changed":{"body":"Go"}}}`)
}

// What the publication filters out the stream never brings: in a snapshot it would be shown to those from whom it is kept,
// and stand still.
func TestASnapshotHoldsOnlyRowsThatThePublicationLetsThrough(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create table note (id int primary key, team_id int, private bool, body text)`,
		`alter table note replica identity full`,
		`create publication mtbreactive for table note where (not private)`,
		`insert into note values (1, 5, false, 'agenda'), (2, 5, true, 'salaries'), (3, 5, null, 'draft')`)
	c := connect(t, serve(t, database, `
reactive:
  - {table: note, scopes: [team_id], snapshot: {limit: 10}}
`))
	v := c.subscribeWithSnapshot("note", "team_id", "5")
	v.equals(t, database, `select * from note where id = 1`)
	pgtest.Exec(t, database, `update note set private = not private`)
	c.until("both have changed places", func() bool { return len(v.events) == 2 })
	v.equals(t, database, `select * from note where id = 2`)
}

// The changes of a table that inherits come under its own name.
func TestASnapshotHoldsNoRowsOfTablesThatInherit(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create table note (id int primary key, team_id int, body text)`,
		`create table archived_note (primary key (id)) inherits (note)`,
		`insert into note values (1, 5, 'new')`, `insert into archived_note values (2, 5, 'old')`)
	c := connect(t, serve(t, database, `
reactive:
  - {table: note, scopes: [team_id], snapshot: {limit: 10}}
`))
	v := c.subscribeWithSnapshot("note", "team_id", "5")
	v.equals(t, database, `select * from only note`)
}
