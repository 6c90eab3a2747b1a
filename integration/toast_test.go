package integration_test

import (
	"testing"

	"github.com/reactive-gw/reactive-gw/internal/pgtest"
)

// PostgreSQL leaves a big value that an update does not touch out of the log.
func TestABigValueThatAnUpdateLeavesAloneKeepsItsValue(t *testing.T) {
	t.Parallel()
	database := newDatabase(t, `create table document (id int primary key, folder_id int, title text, body text)`,
		`alter table document alter body set storage external`)
	c := connect(t, serve(t, database, `
reactive:
  - table: document
    scopes: [folder_id]
`))
	v := c.subscribe("document", "folder_id", "1")
	pgtest.Exec(t, database,
		`insert into document select 1, 1, 'draft', string_agg(md5(n::text), '') from generate_series(1, 3000) n`,
		`update document set title = 'final'`)
	c.until("the update has come", func() bool { return len(v.events) == 2 })
	if got := v.events[1].Changed.String(); got != `title:"final"` {
		t.Errorf("changed is {%.100s}, want the title alone", got)
	}
	v.equals(t, database, `select * from document`)
}
